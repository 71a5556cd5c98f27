import { afterEach, beforeEach, describe, expect, test } from "bun:test";

import { ids, isUnavailable, LedgerWorld, settled, turn, USAGE } from "../support/ledger_world.ts";
import { usageEvent } from "../support/usage_event.ts";

let world: LedgerWorld;

beforeEach(() => {
  world = new LedgerWorld();
});

afterEach(() => world.dispose());

describe("open()", () => {
  test("refuses at usage.spool_max, unlike close(), until something is shipped", async () => {
    const ledger = world.open("a", { usage: { ...USAGE, spoolBytesMax: 5000 } });
    world.store.isAway = true;
    ledger.open(usageEvent(900));
    let number = 0;
    while (!isUnavailable(() => turn(ledger, number))) number += 1;
    expect(number).toBeGreaterThan(1);
    expect(isUnavailable(() => turn(ledger, number))).toBe(true);
    expect(world.kinds()).toEqual(["spool_full"]);
    ledger.close(usageEvent(900));
    world.store.isAway = false;
    await ledger.flush();
    expect(world.store.ids).toEqual([...ids(0, number), usageEvent(900).event_id]);
    turn(ledger, number);
  });

  test("and close() cost a bounded record, whatever text an event has", async () => {
    const ledger = world.open("a");
    const long = "\u{1f600}\0".repeat(100_000);
    turn(ledger, 1);
    ledger.close(usageEvent(2, { requested_model: long, details: { stream_id: long } }));
    await ledger.flush();
    expect(world.store.rows.get(usageEvent(2).event_id)?.requested_model).toBe(long.slice(0, 512));
  });
});

describe("stored()", () => {
  test("is told every row once, when the store has it, and no completions", async () => {
    const told: string[] = [];
    const stored = (rows: readonly { readonly event_id: string }[]) =>
      void told.push(...rows.map((row) => row.event_id));
    const ledger = world.open("a", { stored });
    for (let number = 0; number < 15; number += 1) turn(ledger, number);
    world.store.isAway = true;
    await ledger.flush().catch(() => undefined);
    expect(told).toEqual([]);
    world.store.isAway = false;
    ledger.open(usageEvent(20));
    ledger.close(usageEvent(20, { status: "pending" }));
    ledger.complete(usageEvent(20));
    await ledger.flush();
    await ledger.flush();
    expect(told).toEqual([...ids(0, 15), usageEvent(20).event_id]);
  });
});

describe("close()", () => {
  test("returns nothing to wait for, or under power_loss a promise kept by fsync", async () => {
    const ledger = world.open("a");
    expect(ledger.close(usageEvent(1))).toBeUndefined();
    const careful = world.open("b", { usage: { ...USAGE, durability: "power_loss" } });
    const gate = Promise.withResolvers<void>();
    world.files.syncGate = gate.promise;
    let isSynced = false;
    const closed = careful.close(usageEvent(2))?.then(() => (isSynced = true));
    expect(closed).toBeInstanceOf(Promise);
    await settled();
    expect(isSynced).toBe(false);
    gate.resolve();
    await closed;
    expect(isSynced).toBe(true);
  });

  test("under power_loss rejects when the disk does not take it", async () => {
    const careful = world.open("b", { usage: { ...USAGE, durability: "power_loss" } });
    world.files.failingSyncs = 2;
    const error = await careful.close(usageEvent(2))?.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ledger_unavailable" });
  });

  test("on a full disk throws, and the turn is stored from memory all the same", async () => {
    const ledger = world.open("a");
    ledger.open(usageEvent(1, { status: "interrupted" }));
    world.files.room = 0;
    expect(isUnavailable(() => ledger.close(usageEvent(1)))).toBe(true);
    expect(isUnavailable(() => ledger.open(usageEvent(2)))).toBe(true);
    expect(world.kinds()).toEqual(["write_failed", "turn_owed"]);
    expect(ledger.status().unshippedRecords).toBe(1);
    await ledger.flush();
    expect(world.store.rows.get(usageEvent(1).event_id)?.status).toBe("completed");
    world.files.room = Infinity;
    turn(ledger, 2);
    await ledger.stop();
    expect(world.store.ids).toEqual(ids(1, 3));
    expect(world.kinds()).toEqual(["write_failed", "turn_owed", "write_recovered"]);
  });
});

describe("complete()", () => {
  test("completes a pending turn once, in whatever order it is shipped", async () => {
    const ledger = world.open("a");
    ledger.close(usageEvent(1, { status: "pending" }));
    ledger.complete(usageEvent(1, { input_tokens: 7 }));
    await ledger.flush();
    ledger.complete(usageEvent(1, { input_tokens: 8 }));
    ledger.complete(usageEvent(2, { input_tokens: 9 }));
    ledger.close(usageEvent(2, { status: "pending" }));
    await ledger.flush();
    expect([...world.store.rows.values()].map((row) => [row.status, row.input_tokens])).toEqual([
      ["completed", 7],
      ["completed", 9],
    ]);
  });
});

describe("stop()", () => {
  test("records turns that are still running as they were opened", async () => {
    const ledger = world.open("a");
    ledger.open(usageEvent(1, { status: "interrupted" }));
    await ledger.stop();
    expect(world.store.rows.get(usageEvent(1).event_id)?.status).toBe("interrupted");
    expect(world.kinds()).toEqual(["turns_interrupted"]);
    expect(world.spoolEntries()).toEqual([]);
    expect(world.clock.pendingTimers).toBe(0);
  });

  test("with the store away leaves the spool, which the next node ships", async () => {
    await world.dieWith("a", (ledger) => {
      for (let number = 0; number < 25; number++) turn(ledger, number);
      ledger.open(usageEvent(25, { status: "interrupted" }));
    });
    expect(world.clock.pendingTimers).toBe(0);
    const next = world.open("b");
    expect(next.status().spoolBytes).toBeGreaterThan(0);
    await next.flush();
    expect(world.store.ids).toEqual(ids(0, 26));
    expect(world.store.rows.get(usageEvent(25).event_id)?.status).toBe("interrupted");
    expect(world.kinds()).toEqual(["turns_interrupted"]);
    expect(world.spoolEntries()).toEqual(["node-b"]);
  });
});

describe("openLedger()", () => {
  test("refuses a node id that is no file name", () => {
    expect(() => world.open("../x")).toThrow("node id");
  });

  test("gives a second process of the same node id a folder of its own", async () => {
    const one = world.open("a");
    const two = world.open("a");
    turn(one, 1);
    turn(two, 2);
    await Promise.all([one.flush(), two.flush()]);
    expect(world.store.ids).toEqual(ids(1, 3));
    expect(world.spoolEntries().toSorted()).toEqual(["node-a", "node-a.2"]);
  });
});
