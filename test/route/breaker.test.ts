import { describe, expect, test } from "bun:test";

import { Breaker } from "../../src/route/breaker.ts";

const CONFIG = { failures: 3, cooldownMs: 1_000 };

function opened(): Breaker {
  const breaker = new Breaker(CONFIG);
  for (let count = 0; count < 3; count += 1) breaker.failed(0);
  return breaker;
}

describe("Breaker", () => {
  test("opens with the failure that makes it so many in a row", () => {
    const breaker = new Breaker(CONFIG);
    expect([breaker.failed(0), breaker.failed(0)]).toEqual([false, false]);
    expect(breaker.allows(0)).toBe(true);
    expect(breaker.failed(0)).toBe(true);
    expect(breaker.allows(0)).toBe(false);
  });

  test("counts failures in a row only", () => {
    const breaker = new Breaker(CONFIG);
    for (let round = 0; round < 10; round += 1) {
      breaker.failed(0);
      breaker.failed(0);
      breaker.succeeded();
    }
    expect(breaker.allows(0)).toBe(true);
  });

  test("lets one probe through when the cooldown is over, and nobody else", () => {
    const breaker = opened();
    expect([breaker.enter(999), breaker.waitMs(999)]).toEqual([false, 1]);
    expect([breaker.allows(1_000), breaker.waitMs(1_000)]).toEqual([true, 0]);
    expect([breaker.enter(1_000), breaker.enter(1_000)]).toEqual([true, false]);
    expect(breaker.allows(1_500)).toBe(false);
  });

  test("looking does not take the probe's place", () => {
    const breaker = opened();
    expect([breaker.allows(1_000), breaker.allows(1_000)]).toEqual([true, true]);
    expect(breaker.enter(1_000)).toBe(true);
  });

  test("closes when the probe succeeds, and counts from nothing again", () => {
    const breaker = opened();
    breaker.enter(1_000);
    expect(breaker.succeeded()).toBe(true);
    expect(breaker.allows(1_000)).toBe(true);
    expect([breaker.failed(1_000), breaker.failed(1_000)]).toEqual([false, false]);
    expect(breaker.allows(1_000)).toBe(true);
  });

  test("opens again for another cooldown when the probe fails", () => {
    const breaker = opened();
    breaker.enter(1_000);
    expect(breaker.failed(1_200)).toBe(true);
    expect([breaker.allows(2_199), breaker.allows(2_200)]).toEqual([false, true]);
  });

  test("lets another probe through where the first one is never heard of again", () => {
    const breaker = opened();
    breaker.enter(1_000);
    expect([breaker.enter(1_999), breaker.enter(2_000)]).toEqual([false, true]);
  });

  test("what was under way when it opened neither closes it nor keeps it open longer", () => {
    const breaker = opened();
    expect([breaker.succeeded(), breaker.failed(900)]).toEqual([false, false]);
    expect([breaker.allows(999), breaker.allows(1_000)]).toEqual([false, true]);
  });
});
