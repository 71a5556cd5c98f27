/** Changes that the store does not take at once: kept, repeated, and in the audit once. */

import { describe, expect, test } from "bun:test";
import { PendingChanges } from "../../src/auth/pending.ts";
import type { AuditEntry } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { BY_ADMIN } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";

const NOW_MS = new FakeClock().nowMs();

function setUp() {
  const clock = new FakeClock();
  const store = new MemoryStore(clock);
  const failures: unknown[] = [];
  const pending = new PendingChanges({ store, clock, onFailure: (error) => failures.push(error) });
  const settled: string[] = [];
  const change = (jti: string, write?: (entry: AuditEntry) => Promise<unknown>) => ({
    entry: { ...BY_ADMIN, subject: `token:${jti}`, request_id: `req-${jti}` },
    write:
      write ??
      ((entry: AuditEntry) =>
        store.insertRevocation({ jti, revoked_at: 0, expires_at: NOW_MS * 2 }, entry)),
    settle: () => void settled.push(jti),
  });
  return { clock, store, pending, failures, settled, change };
}

describe("PendingChanges", () => {
  test("writes at once where the store takes it", async () => {
    const { pending, store, settled, change, clock } = setUp();
    expect(await pending.apply(change("a"))).toBe("written");
    expect([settled, pending.size, clock.pendingTimers]).toEqual([["a"], 0, 0]);
    expect(store.audit).toHaveLength(1);
    expect(store.audit[0]?.details).toEqual({});
  });

  test("keeps what the store refuses, and writes it once, saying since when it holds", async () => {
    const { pending, store, settled, change, clock, failures } = setUp();
    store.failWith = new Error("away");
    expect(await pending.apply(change("a"))).toBe("kept");
    expect(await pending.apply(change("b"))).toBe("kept");
    await pending.flush();
    expect([pending.size, settled, failures.length]).toEqual([2, [], 3]);
    store.failWith = null;
    clock.advance(60_000);
    await Promise.all([pending.flush(), pending.flush()]);
    expect([pending.size, settled.toSorted()]).toEqual([0, ["a", "b"]]);
    expect([...store.revocations.keys()].toSorted()).toEqual(["a", "b"]);
    const since = new Date(NOW_MS).toISOString();
    expect(store.audit.map(({ details }) => details)).toEqual([
      { in_force_since: since },
      { in_force_since: since },
    ]);
    await pending.flush();
    expect(store.audit).toHaveLength(2);
  });

  test("answers after two seconds where the store does not, and goes on", async () => {
    const { pending, settled, change, clock } = setUp();
    const writing = Promise.withResolvers<void>();
    const first = pending.apply(change("a", () => writing.promise));
    const second = pending.apply(change("b"));
    clock.advance(2_000);
    expect(await Promise.all([first, second])).toEqual(["kept", "kept"]);
    writing.resolve();
    await pending.flush();
    expect(settled).toEqual(["a", "b"]);
  });

  test("does not write again what was written although it seemed to fail", async () => {
    const { pending, store, settled, change } = setUp();
    const row = { jti: "a", revoked_at: 0, expires_at: NOW_MS * 2 };
    const lost = change("a", async (entry) => {
      await store.insertRevocation(row, entry);
      throw new Error("the answer was lost");
    });
    expect(await pending.apply(lost)).toBe("kept");
    await pending.flush();
    expect([pending.size, settled]).toEqual([0, ["a"]]);
    expect(store.audit).toHaveLength(1);
  });

  test("takes an older entry of the same request id for another change", async () => {
    const { pending, store, change, clock } = setUp();
    await pending.apply(change("a"));
    clock.advance(1_000);
    store.failWith = new Error("away");
    await pending.apply(change("a"));
    store.failWith = null;
    await pending.flush();
    expect(store.audit).toHaveLength(2);
  });

  test("one that fails again and again holds up no other", async () => {
    const { pending, settled, change } = setUp();
    const never = change("never", () => Promise.reject(new Error("no")));
    await pending.apply(never);
    expect(await pending.apply(change("a"))).toBe("written");
    expect([settled, pending.size]).toEqual([["a"], 1]);
  });

  test("catchUp() tells whether the store has all of a subject", async () => {
    const { pending, store, change } = setUp();
    store.failWith = new Error("away");
    await pending.apply(change("a"));
    expect(await pending.catchUp("token:b")).toBe(true);
    expect(await pending.catchUp("token:a")).toBe(false);
    store.failWith = null;
    expect(await pending.catchUp("token:a")).toBe(true);
    expect(pending.size).toBe(0);
  });

  test("is full with ten thousand", () => {
    const { pending, change } = setUp();
    const never = Promise.withResolvers<void>().promise;
    for (let count = 0; count < 9_999; count += 1) {
      void pending.apply(change(`${count}`, () => never));
    }
    expect(pending.isFull).toBe(false);
    void pending.apply(change("last", () => never));
    expect(pending.isFull).toBe(true);
  });
});
