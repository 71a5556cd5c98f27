import { describe, expect, test } from "bun:test";
import { LoginThrottle } from "../../src/admin/throttle.ts";
import { FakeClock } from "../support/fake_clock.ts";

function setUp() {
  const clock = new FakeClock();
  const throttle = new LoginThrottle(clock);
  const fail = (address: string, times = 10) => {
    for (let time = 0; time < times; time++) throttle.failed(address);
  };
  return { clock, throttle, fail };
}

describe("LoginThrottle", () => {
  test("counts the failures of any minute, not of a fixed one", () => {
    const { clock, throttle, fail } = setUp();
    fail("192.0.2.1", 5);
    clock.advance(30_000);
    fail("192.0.2.1", 4);
    expect(throttle.waitMs("192.0.2.1")).toBe(0);
    throttle.failed("192.0.2.1");
    expect(throttle.waitMs("192.0.2.1")).toBe(30_000);
    clock.advance(30_000);
    expect(throttle.waitMs("192.0.2.1")).toBe(0);
    fail("192.0.2.1", 5);
    expect(throttle.waitMs("192.0.2.1")).toBe(30_000);
  });

  test("forgets an address that got in", () => {
    const { throttle, fail } = setUp();
    fail("192.0.2.1", 9);
    throttle.succeeded("192.0.2.1");
    throttle.failed("192.0.2.1");
    expect(throttle.waitMs("192.0.2.1")).toBe(0);
  });

  test.each([
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", true],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
    ["2001:db8::1", "2001:db8:0:0:1::1", true],
    ["::1", "::2", true],
    ["::1", "fe80::1", false],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.2", false],
    ["192.0.2.1", "192.0.2.2", false],
  ])("%s and %s are one client: %p", (one, other, isOne) => {
    const { throttle, fail } = setUp();
    fail(one);
    expect(throttle.waitMs(other) > 0).toBe(isOne);
  });

  test("remembers ten thousand addresses, the latest ones", () => {
    const { throttle, fail } = setUp();
    for (let number = 0; number <= 10_000; number++) fail(`192.0.2.1#${number}`);
    expect(throttle.waitMs("192.0.2.1#0")).toBe(0);
    expect(throttle.waitMs("192.0.2.1#1")).toBe(60_000);
    expect(throttle.waitMs("192.0.2.1#10000")).toBe(60_000);
  });
});
