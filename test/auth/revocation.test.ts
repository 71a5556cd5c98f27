import { describe, expect, test } from "bun:test";
import { Revocations } from "../../src/auth/revocation.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryStore } from "../support/memory_store.ts";

function setUp() {
  const clock = new FakeClock();
  const revocations = new Revocations(clock, 5000);
  const told: string[][] = [];
  revocations.onRevoked((jtis) => told.push([...jtis]));
  return { clock, revocations, told };
}

describe("Revocations", () => {
  test("revoke() tells the listeners of what is new, once", () => {
    const { clock, revocations, told } = setUp();
    const row = { jti: "a", expires_at: clock.nowMs() + 1000 };
    expect(revocations.isRevoked("a")).toBe(false);
    revocations.revoke([row]);
    revocations.revoke([row, { ...row, jti: "b" }]);
    revocations.revoke([row]);
    expect(revocations.isRevoked("a")).toBe(true);
    expect(told).toEqual([["a"], ["b"]]);
  });

  test("an entry outlives its token's leeway, and is forgotten after", () => {
    const { clock, revocations } = setUp();
    revocations.revoke([{ jti: "a", expires_at: clock.nowMs() + 100_000 }]);
    clock.advance(104_999);
    revocations.revoke([{ jti: "b", expires_at: clock.nowMs() + 1_000_000 }]);
    expect(revocations.isRevoked("a")).toBe(true);
    clock.advance(60_000);
    revocations.revoke([{ jti: "c", expires_at: clock.nowMs() + 1_000_000 }]);
    expect(revocations.isRevoked("a")).toBe(false);
    expect(revocations.size).toBe(2);
  });

  test("never holds more than the revocations of one lifetime and a sweep interval", () => {
    const { clock, revocations } = setUp();
    let largest = 0;
    for (let second = 0; second < 3600; second++) {
      revocations.revoke([{ jti: String(second), expires_at: clock.nowMs() + 60_000 }]);
      clock.advance(1000);
      largest = Math.max(largest, revocations.size);
    }
    expect(largest).toBeLessThan(130);
  });

  test("an earlier expiry does not shorten an entry", () => {
    const { clock, revocations } = setUp();
    revocations.revoke([{ jti: "a", expires_at: clock.nowMs() + 1_000_000 }]);
    revocations.revoke([{ jti: "a", expires_at: clock.nowMs() }]);
    clock.advance(120_000);
    revocations.revoke([]);
    expect(revocations.isRevoked("a")).toBe(true);
  });

  test("load() takes what could still verify, leeway included", async () => {
    const { clock, revocations, told } = setUp();
    const store = new MemoryStore();
    const row = { revoked_at: clock.nowMs(), expires_at: clock.nowMs() - 4999 };
    await store.insertRevocation({ ...row, jti: "in leeway" });
    await store.insertRevocation({ ...row, jti: "over", expires_at: clock.nowMs() - 5000 });
    await revocations.load(store);
    expect(told).toEqual([["in leeway"]]);
  });
});
