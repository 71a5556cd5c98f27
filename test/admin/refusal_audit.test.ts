/** Refusals on their way to the audit: by themselves or summed, now or when the store answers. */

import { describe, expect, test } from "bun:test";
import { RefusalAudit } from "../../src/admin/refusal_audit.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { BY_ADMIN } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";

const ENTRY = {
  ...BY_ADMIN,
  action: "login",
  outcome: "refused",
  details: { status: 401, code: "unauthorized", path: "/manage" },
} as const;

function setUp() {
  const clock = new FakeClock();
  clock.advance(60_000 - (clock.nowMs() % 60_000));
  const store = new MemoryStore(clock);
  const failures: unknown[] = [];
  const audit = new RefusalAudit({ store, clock, onFailure: (error) => failures.push(error) });
  const note = (client_address: string, times: number, isKnown = false) =>
    Array.from({ length: times }, () => audit.note({ ...ENTRY, client_address }, isKnown));
  const counts = () => store.audit.map(({ details }) => details["count"] ?? 1);
  return { clock, store, audit, failures, note, counts };
}

describe("RefusalAudit", () => {
  test("sums what comes after the tenth of a network and minute", async () => {
    const { clock, store, audit, note, counts } = setUp();
    const minute = new Date(clock.nowMs()).toISOString();
    const noted = [...note("2001:db8::1", 6), ...note("2001:db8::2", 6)];
    expect(noted).toEqual([...new Array<"single">(10).fill("single"), "first", "another"]);
    expect(note("192.0.2.9", 1)).toEqual(["single"]);
    await audit.written();
    expect(counts()).toEqual(new Array<number>(11).fill(1));
    clock.advance(59_999);
    await audit.flush("finished");
    expect(store.audit).toHaveLength(11);
    clock.advance(1);
    await audit.flush("finished");
    expect(store.audit.at(-1)).toMatchObject({
      action: "login",
      subject: "",
      request_id: "",
      client_address: "2001:db8:0:0::/64",
      details: { status: 401, code: "unauthorized", count: 2, minute },
    });
    expect(note("2001:db8::1", 1)).toEqual(["single"]);
  });

  test("does not sum those of somebody who is known", () => {
    const { note } = setUp();
    expect(note("192.0.2.1", 30, true)).toEqual(new Array<"single">(30).fill("single"));
  });

  test("waits half a second for the store once, and no more until it answers", async () => {
    const { clock, store, audit, note } = setUp();
    const appending = Promise.withResolvers<void>();
    const append = store.appendAudit.bind(store);
    store.appendAudit = async (entries) => {
      await appending.promise;
      return append(entries);
    };
    note("192.0.2.1", 1);
    const written = audit.written();
    clock.advance(500);
    await written;
    note("192.0.2.1", 1);
    await audit.written();
    expect(store.audit).toHaveLength(0);
    appending.resolve();
    await audit.flush("finished");
    expect(store.audit).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
  });

  test("keeps what the store refuses, and says later when it was", async () => {
    const { clock, store, audit, failures, note } = setUp();
    const refused_at = new Date(clock.nowMs()).toISOString();
    store.failWith = new Error("away");
    note("192.0.2.1", 12);
    await audit.written();
    expect(failures).toHaveLength(1);
    store.failWith = null;
    clock.advance(120_000);
    await audit.flush("finished");
    expect(store.audit).toHaveLength(11);
    expect(store.audit[0]?.details).toEqual({ ...ENTRY.details, refused_at });
    expect(store.audit[10]?.details["count"]).toBe(2);
  });

  test("loses no count and no bound, however many there are", async () => {
    const { store, audit, note, counts } = setUp();
    for (let host = 0; host < 5_000; host += 1) note(`192.0.2.${host}`, 1);
    expect(note("192.0.2.1", 1, true)).toEqual(["another"]);
    await audit.stop();
    const total = counts().reduce<number>((sum, count) => sum + Number(count), 0);
    expect(total).toBe(5_001);
    expect(store.audit).toHaveLength(1_000 + 1_001);
    const others = store.audit.find(({ details }) => Number(details["count"]) > 1);
    expect(others).toMatchObject({ actor: "unknown", client_address: "" });
  });

  test("what is added to a sum while that is written is not lost", async () => {
    const { store, audit, note, counts } = setUp();
    note("192.0.2.1", 11);
    await audit.written();
    const append = store.appendAudit.bind(store);
    store.appendAudit = (entries) => {
      note("192.0.2.1", 1);
      store.appendAudit = append;
      return append(entries);
    };
    await audit.flush("all");
    await audit.stop();
    expect(counts().slice(10)).toEqual([1, 1]);
  });
});
