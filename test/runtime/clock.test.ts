import { describe, expect, test } from "bun:test";

import { AdjustedClock } from "../../src/runtime/clock.ts";
import { FakeClock } from "../support/fake_clock.ts";

const TEN_MINUTES_MS = 600_000;

describe("AdjustedClock", () => {
  test("leaves a difference within the tolerance alone", () => {
    const machine = new FakeClock();
    const clock = new AdjustedClock(machine, 1000);
    expect(clock.adjust(machine.nowMs() + 900)).toBeFalse();
    expect(clock.nowMs()).toBe(machine.nowMs());
  });

  test.each([TEN_MINUTES_MS, -TEN_MINUTES_MS])("takes over a difference of %p ms", (difference) => {
    const machine = new FakeClock();
    const clock = new AdjustedClock(machine, 1000);
    expect(clock.adjust(machine.nowMs() + difference)).toBeTrue();
    expect(clock.nowMs()).toBe(machine.nowMs() + difference);
    machine.advance(5000);
    expect(clock.nowMs()).toBe(machine.nowMs() + difference);
    expect(clock.differenceMs).toBe(difference);
  });

  test("does not jump by what the network adds", () => {
    const machine = new FakeClock();
    const clock = new AdjustedClock(machine, 1000);
    clock.adjust(machine.nowMs() + TEN_MINUTES_MS);
    expect(clock.adjust(machine.nowMs() + TEN_MINUTES_MS + 40)).toBeFalse();
    expect(clock.differenceMs).toBe(TEN_MINUTES_MS);
  });

  test("goes back to the machine's time once that is right", () => {
    const machine = new FakeClock();
    const clock = new AdjustedClock(machine, 1000);
    clock.adjust(machine.nowMs() + TEN_MINUTES_MS);
    machine.advance(TEN_MINUTES_MS);
    expect(clock.adjust(machine.nowMs() + 40)).toBeTrue();
    expect(clock.differenceMs).toBe(0);
  });

  test("measures durations and waits by the clock underneath", () => {
    const machine = new FakeClock();
    const clock = new AdjustedClock(machine, 1000);
    clock.adjust(machine.nowMs() + TEN_MINUTES_MS);
    const before = clock.monotonicMs();
    let calls = 0;
    clock.after(100, () => (calls += 1));
    clock.every(100, () => (calls += 1));
    machine.advance(100);
    expect(clock.monotonicMs() - before).toBe(100);
    expect(calls).toBe(2);
  });
});
