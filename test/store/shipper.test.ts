import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

import type { LedgerProblem } from "../../src/store/ledger_problem.ts";
import { Shipper } from "../../src/store/shipper.ts";
import { Spool } from "../../src/store/spool.ts";
import { SpoolFolders } from "../../src/store/spool_folder.ts";
import { ids, isUnavailable, LedgerWorld, settled, turn, USAGE } from "../support/ledger_world.ts";
import { usageEvent } from "../support/usage_event.ts";

let world: LedgerWorld;

beforeEach(() => {
  world = new LedgerWorld();
});

afterEach(() => world.dispose());

describe("Shipper", () => {
  test("brings each turn to the store once, in batches, an interval after the first", async () => {
    const ledger = world.open("a", { segmentBytesMax: 1_000_000 });
    for (let number = 0; number < 25; number++) turn(ledger, number);
    expect(ledger.status()).toMatchObject({ unshippedRecords: 25, lastShippedAtMs: null });
    world.clock.advance(199);
    expect(ledger.status().oldestUnshippedMs).toBe(199);
    expect(world.store.rows.size).toBe(0);
    const shipped = Promise.withResolvers<void>();
    world.store.during = () => shipped.resolve();
    world.clock.advance(1);
    await shipped.promise;
    await ledger.flush();
    expect(world.store.ids).toEqual(ids(0, 25));
    expect([...world.store.rows.values()].every((row) => row.status === "completed")).toBe(true);
    expect(Math.max(...world.store.batches)).toBe(10);
    expect(world.store.duplicates).toBe(0);
    expect(ledger.status()).toEqual({
      unshippedRecords: 0,
      spoolBytes: 0,
      oldestUnshippedMs: 0,
      lastShippedAtMs: world.clock.nowMs(),
      storeReachable: true,
      takesTurns: true,
    });
    expect(world.problems).toEqual([]);
  });

  test("removes a segment that is full and shipped, and everything at the end", async () => {
    const ledger = world.open("a");
    for (let number = 0; number < 25; number++) turn(ledger, number);
    const folder = join(world.dataDir, "spool", "node-a");
    expect(readdirSync(folder).length).toBeGreaterThan(5);
    await ledger.flush();
    expect(readdirSync(folder)).toHaveLength(2);
    await ledger.stop();
    expect(world.spoolEntries()).toEqual([]);
    expect(isUnavailable(() => ledger.open(usageEvent(1)))).toBe(true);
  });

  test("tries ever less often while the store is away, and traffic goes on", async () => {
    const ledger = world.open("a");
    world.store.isAway = true;
    const tries: number[] = [];
    world.store.during = () => void tries.push(world.clock.monotonicMs());
    turn(ledger, 0);
    for (let step = 0; step < 600; step++) {
      world.clock.advance(50);
      // The round's file is read on a thread: let it end.
      if (ledger.status().unshippedRecords > 0 && step % 4 === 3) await settled();
      if (step % 10 === 0) turn(ledger, step + 1);
    }
    const gaps = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
    expect(gaps.length).toBeGreaterThan(5);
    expect(gaps.length).toBeLessThan(20);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5400);
    expect(ledger.status()).toMatchObject({ unshippedRecords: 61, storeReachable: false });
    expect(world.kinds()).toEqual(["ship_failed"]);
    world.store.isAway = false;
    await ledger.flush();
    expect(world.store.rows.size).toBe(61);
    expect(ledger.status().storeReachable).toBe(true);
    expect(world.kinds()).toEqual(["ship_failed", "ship_recovered"]);
  });

  test("ships a batch again that was committed unacknowledged, which adds nothing", async () => {
    const ledger = world.open("a");
    for (let number = 0; number < 25; number++) turn(ledger, number);
    let commits = 0;
    world.store.during = () => {
      commits += 1;
      if (commits !== 2) return;
      // The second batch is committed, and then the connection breaks.
      for (const id of ids(10, 20)) world.store.rows.set(id, usageEvent(Number(id.slice(4))));
      throw new Error("connection reset");
    };
    expect(await ledger.flush().catch(String)).toContain("connection reset");
    await ledger.flush();
    expect(world.store.ids).toEqual(ids(0, 25));
    expect(world.store.duplicates).toBeGreaterThan(0);
  });

  test("goes on behind a segment that cannot be read, and reports that once", async () => {
    const ledger = world.open("a");
    for (let number = 0; number < 25; number++) turn(ledger, number);
    rmSync(world.files.created[1] ?? "");
    await ledger.flush();
    await ledger.flush();
    expect(world.store.rows.size).toBeGreaterThan(20);
    expect(world.store.rows.size).toBeLessThan(25);
    expect(world.kinds()).toEqual(["read_failed"]);
    expect(ledger.status().unshippedRecords).toBe(25 - world.store.rows.size);
  });

  test("does one round at a time, however many ask at once", async () => {
    await world.dieWith("dead", (ledger) => {
      for (let number = 0; number < 40; number++) turn(ledger, number);
    });
    const ledger = world.open("a");
    let inside = 0;
    world.store.during = async () => {
      expect(++inside).toBe(1);
      await settled();
      inside -= 1;
    };
    for (let number = 40; number < 60; number++) turn(ledger, number);
    world.clock.advance(200);
    await Promise.all([ledger.flush(), ledger.flush(), ledger.flush()]);
    expect(world.store.ids).toEqual(ids(0, 60));
    expect(world.store.duplicates).toBe(0);
  });

  test("keeps running turns when it removes the segment they began in", async () => {
    const ledger = world.open("a");
    ledger.open(usageEvent(999, { status: "interrupted" }));
    for (let number = 0; number < 25; number++) turn(ledger, number);
    const first = world.files.created[0] ?? "";
    await ledger.flush();
    expect(existsSync(first)).toBe(false);
    ledger.close(usageEvent(999));
    await ledger.flush();
    expect(world.store.rows.get(usageEvent(999).event_id)?.status).toBe("completed");
  });

  test("keeps them also for the node that comes after a death", async () => {
    const ledger = world.open("a");
    ledger.open(usageEvent(999, { status: "interrupted" }));
    for (let number = 0; number < 25; number++) turn(ledger, number);
    await ledger.flush();
    expect(existsSync(world.files.created[0] ?? "")).toBe(false);
    world.store.isAway = true;
    await ledger.stop();
    world.store.isAway = false;
    await world.open("b").flush();
    expect(world.store.rows.get(usageEvent(999).event_id)?.status).toBe("interrupted");
  });

  test("keeps shipped segments for usage.spool_keep, within a quarter of spool_max", async () => {
    const usage = { ...USAGE, spoolKeepMs: 60_000, spoolBytesMax: 64_000 };
    const ledger = world.open("a", { usage });
    const kept = join(world.dataDir, "spool", "kept");
    for (let number = 0; number < 10; number++) turn(ledger, number);
    await ledger.flush();
    const before = readdirSync(kept);
    expect(before.length).toBeGreaterThan(1);
    world.clock.advance(60_001);
    turn(ledger, 10);
    await ledger.flush();
    expect(readdirSync(kept).filter((name) => before.includes(name))).toEqual([]);
    for (let number = 20; number < 50; number++) turn(ledger, number);
    await ledger.flush();
    const bytes = readdirSync(kept).reduce((sum, name) => sum + statSync(join(kept, name)).size, 0);
    expect(bytes).toBeGreaterThan(8000);
    expect(bytes).toBeLessThanOrEqual(16_000);
  });

  test("reports claim_failed while dead spools cannot be looked for, and looks again", async () => {
    await world.dieWith("dead", (ledger) => turn(ledger, 1));
    const next = world.open("a");
    await next.flush();
    const lock = join(world.dataDir, "spool", "lock");
    await world.dieWith("later", (ledger) => turn(ledger, 2));
    rmSync(lock);
    mkdirSync(lock);
    world.clock.advance(5000);
    expect(world.kinds()).toEqual(["claim_failed"]);
    rmSync(lock, { recursive: true });
    world.clock.advance(5000);
    await next.flush();
    expect(world.kinds()).toEqual(["claim_failed"]);
    expect(world.store.ids).toEqual(ids(1, 3));
  });

  test("owe() keeps as many turns as it has room for, and reports turn_lost beyond", () => {
    const { clock, files, store } = world;
    const report = ({ kind }: LedgerProblem) => void (told[kind] = (told[kind] ?? 0) + 1);
    const told: Record<string, number> = {};
    const folders = new SpoolFolders(world.dataDir);
    const { path: folder } = folders.create("a");
    const common = { clock, files, report, failpoint: () => {} };
    const spool = new Spool({ ...common, folder, segmentBytesMax: 4000, fsyncIntervalMs: 50 });
    const hooks = { carry: async () => {}, paid: () => {}, stored: () => {} };
    const rest = { usage: USAGE, folders, spool, ...hooks };
    const shipper = new Shipper({ ...common, ...rest, store });
    for (let number = 0; number < 65_537; number++) shipper.owe(usageEvent(number));
    expect(told).toEqual({ turn_owed: 65_536, turn_lost: 1 });
    shipper.owe(usageEvent(0));
    expect(told).toEqual({ turn_owed: 65_537, turn_lost: 1 });
  });
});
