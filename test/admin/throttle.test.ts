import { describe, expect, test } from "bun:test";
import { LoginThrottle, networkOf } from "../../src/admin/throttle.ts";
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
    expect(throttle.waitMs("192.0.2.1", null)).toBe(0);
    throttle.failed("192.0.2.1");
    expect(throttle.waitMs("192.0.2.1", null)).toBe(30_000);
    clock.advance(30_000);
    expect(throttle.waitMs("192.0.2.1", null)).toBe(0);
    fail("192.0.2.1", 5);
    expect(throttle.waitMs("192.0.2.1", null)).toBe(30_000);
  });

  test("lets in who got in from there within a day, and still counts what is wrong", () => {
    const { clock, throttle, fail } = setUp();
    throttle.succeeded("192.0.2.1", "alice");
    fail("192.0.2.1");
    expect(throttle.waitMs("192.0.2.1", "alice")).toBe(0);
    expect(throttle.waitMs("192.0.2.1", "victor")).toBe(60_000);
    expect(throttle.waitMs("192.0.2.1", null)).toBe(60_000);
    throttle.succeeded("192.0.2.1", "alice");
    expect(throttle.waitMs("192.0.2.1", null)).toBe(60_000);
    fail("192.0.2.2");
    expect(throttle.waitMs("192.0.2.2", "alice")).toBe(60_000);
    clock.advance(24 * 3_600_000);
    fail("192.0.2.1");
    expect(throttle.waitMs("192.0.2.1", "alice")).toBe(60_000);
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
    expect(throttle.waitMs(other, null) > 0).toBe(isOne);
  });

  test("remembers ten thousand addresses, the latest ones", () => {
    const { throttle, fail } = setUp();
    for (let number = 0; number <= 10_000; number++) fail(`192.0.2.1#${number}`);
    expect(throttle.waitMs("192.0.2.1#0", null)).toBe(0);
    expect(throttle.waitMs("192.0.2.1#1", null)).toBe(60_000);
    expect(throttle.waitMs("192.0.2.1#10000", null)).toBe(60_000);
  });
});

test("networkOf() is the address, and of IPv6 its /64", () => {
  expect(networkOf("192.0.2.1")).toBe("192.0.2.1");
  expect(networkOf("2001:db8::9")).toBe("2001:db8:0:0::/64");
});
