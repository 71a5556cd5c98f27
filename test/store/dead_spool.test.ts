import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { RecordEncoder } from "../../src/store/spool_record.ts";
import { ids, LedgerWorld, turn } from "../support/ledger_world.ts";
import { Prng } from "../support/prng.ts";
import { usageEvent } from "../support/usage_event.ts";

let world: LedgerWorld;

beforeEach(() => {
  world = new LedgerWorld();
});

afterEach(() => world.dispose());

describe("DeadSpool", () => {
  test("leaves the spool of a process that lives, and finds one that dies later", async () => {
    const one = world.open("a");
    const two = world.open("b");
    for (let number = 0; number < 5; number++) turn(one, number);
    world.clock.advance(20_000);
    await two.flush();
    expect(two.status().spoolBytes).toBe(0);
    world.store.isAway = true;
    await one.stop();
    world.store.isAway = false;
    world.clock.advance(5000);
    await two.flush();
    expect(world.store.ids).toEqual(ids(0, 5));
    expect(world.spoolEntries()).toEqual(["node-b"]);
  });

  test("goes on where it stopped when the store goes away meanwhile", async () => {
    await world.dieWith("a", (ledger) => {
      for (let number = 0; number < 40; number++) turn(ledger, number);
    });
    const next = world.open("b");
    let inserts = 0;
    world.store.during = () => {
      inserts += 1;
      world.store.isAway = inserts === 3;
    };
    expect(await next.flush().catch(String)).toContain("connection refused");
    expect(world.store.rows.size).toBeGreaterThan(0);
    expect(world.store.rows.size).toBeLessThan(40);
    await next.flush();
    expect(world.store.ids).toEqual(ids(0, 40));
    expect(world.store.duplicates).toBe(0);
  });

  test("cuts a tail that is torn at any byte, reports it, and loses nothing else", async () => {
    const folder = await world.dieWith("a", (ledger) => {
      for (let number = 0; number < 3; number++) turn(ledger, number);
    });
    const [segment = ""] = readdirSync(folder).filter((name) => name !== "lock");
    const whole = readFileSync(join(folder, segment));
    rmSync(folder, { recursive: true });
    const lastLength = lastRecordLength(whole);
    for (let cut = 1; cut <= lastLength; cut += cut < 20 || cut > lastLength - 20 ? 1 : 37) {
      const node = `t${cut}`;
      const target = await world.dieWith(node, (ledger) => turn(ledger, 5000));
      writeFileSync(join(target, segment), whole);
      truncateSync(join(target, segment), whole.length - cut);
      world.store.rows.clear();
      const next = world.open(`n${cut}`);
      await next.flush();
      await next.stop();
      expect(world.store.ids).toEqual(ids(0, 3));
      // The turn whose close was torn is the one that never ended.
      expect(world.store.rows.get(usageEvent(2).event_id)?.status).toBe("interrupted");
      const expected =
        cut === lastLength ? ["turns_interrupted"] : ["torn_tail", "turns_interrupted"];
      expect(world.kinds()).toEqual(expected);
    }
  });

  test("sets a damaged middle aside, reports it, and ships the rest", async () => {
    const prng = new Prng(3);
    for (let round = 0; round < 25; round++) {
      const folder = await world.dieWith(`d${round}`, (ledger) => {
        for (let number = 0; number < 6; number++) turn(ledger, number);
      });
      const path = join(folder, readdirSync(folder).find((name) => name !== "lock") ?? "");
      const bytes = readFileSync(path);
      const at = prng.int(0, bytes.length - lastRecordLength(bytes) - 1);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << prng.int(0, 7));
      writeFileSync(path, bytes);
      world.store.rows.clear();
      const next = world.open(`n${round}`);
      await next.flush();
      await next.stop();
      expect(world.kinds().filter((kind) => kind === "damaged")).toHaveLength(1);
      // One of twelve records is gone: the begin of a turn, which then ends without, or its end.
      expect(world.store.ids).toEqual(ids(0, 6));
      const interrupted = [...world.store.rows.values()].filter(
        (row) => row.status === "interrupted",
      );
      expect(interrupted.length).toBeLessThanOrEqual(1);
    }
    expect(readdirSync(join(world.dataDir, "spool", "damaged"))).toHaveLength(25);
  });

  test("counts nothing twice of a segment that is there twice", async () => {
    const folder = await world.dieWith("a", (ledger) => {
      for (let number = 0; number < 6; number++) turn(ledger, number);
    });
    const [segment = ""] = readdirSync(folder).filter((name) => name !== "lock");
    copyFileSync(join(folder, segment), join(folder, segment.replace("00000001", "00000009")));
    const next = world.open("b");
    await next.flush();
    expect(world.store.ids).toEqual(ids(0, 6));
    expect(world.store.duplicates).toBe(6);
    expect([...world.store.rows.values()].every((row) => row.status === "completed")).toBe(true);
  });

  test("leaves a spool alone that cannot be read, and takes over the others", async () => {
    const folder = await world.dieWith("a", (ledger) => turn(ledger, 1));
    await world.dieWith("b", (ledger) => turn(ledger, 2));
    const next = world.open("c");
    rmSync(join(folder, readdirSync(folder).find((name) => name !== "lock") ?? ""));
    await next.flush();
    expect(world.store.ids).toEqual(ids(2, 3));
    expect(world.kinds()).toEqual(["read_failed"]);
  });

  test("sets a record aside that is whole and no usage event", async () => {
    const folder = await world.dieWith("a", (ledger) => turn(ledger, 1));
    const encoder = new RecordEncoder();
    const payloads = ["null", "[]", "{}", '{"event_id":1}', "{", JSON.stringify(usageEvent(2))];
    const records = payloads.map((payload) => encoder.encode("close", payload).slice());
    writeFileSync(join(folder, "00000009.v1"), Buffer.concat(records));
    await world.open("b").flush();
    expect(world.store.ids).toEqual(ids(1, 3));
    expect(world.kinds()).toEqual(Array.from({ length: 5 }, () => "damaged"));
  });

  test("leaves files of another version alone, and says so once", async () => {
    const folder = await world.dieWith("a", (ledger) => turn(ledger, 1));
    writeFileSync(join(folder, "00000001.v2"), "of the future");
    const next = world.open("b");
    await next.flush();
    world.clock.advance(20_000);
    await next.flush();
    expect(world.store.ids).toEqual(ids(1, 2));
    expect(readFileSync(join(folder, "00000001.v2"), "utf8")).toBe("of the future");
    expect(world.kinds()).toEqual(["unknown_file"]);
  });

  test("leaves out none of many dead processes", async () => {
    for (let node = 0; node < 8; node++) {
      await world.dieWith(`d${node}`, (ledger) => {
        for (let number = 0; number < 12; number++) turn(ledger, node * 12 + number);
      });
    }
    await Promise.all([world.open("x").flush(), world.open("y").flush()]);
    expect(world.store.ids).toEqual(ids(0, 96));
  });
});

/** Length of the last record, found by its marker. */
function lastRecordLength(bytes: Buffer): number {
  return bytes.length - bytes.lastIndexOf(Buffer.from([0xff, 0x53, 0x4c, 0x01]));
}
