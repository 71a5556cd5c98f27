import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { GatewayError } from "../../src/errors.ts";
import type { LedgerProblemKind } from "../../src/store/ledger_problem.ts";
import { Spool } from "../../src/store/spool.ts";
import { scanRecords } from "../../src/store/spool_record.ts";
import { BrokenFiles } from "../support/broken_files.ts";
import { FakeClock } from "../support/fake_clock.ts";

let folder: string;
let files: BrokenFiles;
let clock: FakeClock;
let problems: LedgerProblemKind[];
let spool: Spool;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-spool-"));
  files = new BrokenFiles();
  clock = new FakeClock();
  problems = [];
  spool = open(400);
});

afterEach(async () => {
  await spool.stop();
  rmSync(folder, { recursive: true });
});

function open(segmentBytesMax: number): Spool {
  const report = (problem: { kind: LedgerProblemKind }) => void problems.push(problem.kind);
  const failpoint = () => undefined;
  return new Spool({
    folder,
    files,
    clock,
    segmentBytesMax,
    fsyncIntervalMs: 50,
    report,
    failpoint,
  });
}

/** What a process that starts after this one's death would read. */
function onDisk(): string[] {
  const names = readdirSync(folder).toSorted();
  return names.flatMap((name) =>
    [...scanRecords(readFileSync(join(folder, name)))].map((found) => {
      if (found.type === "gap") return "gap";
      return new TextDecoder().decode(found.payload);
    }),
  );
}

function unavailable(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    return error instanceof GatewayError && error.code === "ledger_unavailable";
  }
}

describe("append()", () => {
  test("has written the record when it returns, and begins a segment when one is full", () => {
    const texts = Array.from({ length: 20 }, (_, index) => `record ${index} ${"x".repeat(50)}`);
    for (const [index, text] of texts.entries()) {
      spool.append("close", text);
      expect(onDisk()).toEqual(texts.slice(0, index + 1));
    }
    expect(spool.segments).toHaveLength(4);
    expect(spool.segments.map((segment) => segment.isSealed)).toEqual([true, true, true, false]);
    expect(problems).toEqual([]);
  });

  test("writes a failed record again to a new segment", () => {
    spool.append("open", "one");
    files.failingWrites = 1;
    spool.append("open", "two");
    expect(onDisk()).toEqual(["one", "two"]);
    expect(files.created).toHaveLength(2);
    expect(problems).toEqual(["write_failed", "write_recovered"]);
  });

  test("leaves nothing of a record that was written in part", () => {
    spool.append("open", "one");
    files.room = 7;
    expect(unavailable(() => spool.append("open", "two"))).toBe(true);
    expect(onDisk()).toEqual(["one"]);
    expect(problems).toEqual(["write_failed"]);
  });

  test("refuses while the disk is full, leaves no files, and goes on when there is room", () => {
    spool.append("open", "one");
    files.room = 0;
    for (let times = 0; times < 50; times++) {
      expect(unavailable(() => spool.append("open", "refused"))).toBe(true);
    }
    expect(readdirSync(folder)).toHaveLength(1);
    files.room = Infinity;
    spool.append("open", "two");
    expect(onDisk()).toEqual(["one", "two"]);
    expect(problems).toEqual(["write_failed", "write_recovered"]);
  });

  test("refuses when no file can be made, and goes on when one can", () => {
    files.failingCreates = 2;
    expect(unavailable(() => spool.append("open", "refused"))).toBe(true);
    spool.append("open", "one");
    expect(onDisk()).toEqual(["one"]);
  });
});

describe("sync()", () => {
  test("runs by itself once an interval, whatever the number of records", async () => {
    for (let index = 0; index < 5; index++) spool.append("open", "x");
    clock.advance(49);
    expect(files.syncs).toBe(0);
    clock.advance(1);
    expect(files.syncs).toBe(1);
    await spool.sync();
    expect(clock.pendingTimers).toBe(0);
  });

  test("of many callers at once is shared, and covers what each appended before", async () => {
    const gate = Promise.withResolvers<void>();
    files.syncGate = gate.promise;
    spool.append("close", "a");
    const first = spool.sync();
    spool.append("close", "b");
    const others = Array.from({ length: 10 }, () => spool.sync());
    gate.resolve();
    await Promise.all([first, ...others]);
    expect(files.syncs).toBe(2);
    expect(new Set(others).size).toBe(1);
  });

  test("that fails once writes what it covered to a new segment and syncs that", async () => {
    spool.append("close", "safe");
    await spool.sync();
    spool.append("close", "one");
    spool.append("close", "two");
    files.failingSyncs = 1;
    await spool.sync();
    expect(onDisk()).toEqual(["safe", "one", "two", "one", "two"]);
    expect(files.created).toHaveLength(2);
    expect(spool.segments[0]?.isSealed).toBe(true);
    expect(problems).toEqual(["sync_failed", "sync_recovered"]);
    spool.append("close", "three");
    expect(spool.segments).toHaveLength(2);
  });

  test("that fails also covers what is appended while it runs", async () => {
    const gate = Promise.withResolvers<void>();
    files.syncGate = gate.promise;
    files.failingSyncs = 1;
    spool.append("close", "one");
    const synced = spool.sync();
    spool.append("close", "two");
    gate.resolve();
    await synced;
    expect(onDisk()).toEqual(["one", "two", "one", "two"]);
  });

  test("that fails twice closes the spool until the disk is mended", async () => {
    spool.append("close", "one");
    files.failingSyncs = 3;
    expect(await spool.sync().catch((error: unknown) => error)).toBeInstanceOf(GatewayError);
    expect(unavailable(() => spool.append("open", "refused"))).toBe(true);
    expect(problems).toEqual(["sync_failed", "sync_failed"]);
    clock.advance(1000);
    expect(
      await spool.sync().then(
        () => "mended",
        () => "broken",
      ),
    ).toBe("mended");
    expect(unavailable(() => spool.append("open", "two"))).toBe(false);
    expect(new Set(onDisk())).toEqual(new Set(["one", "two"]));
    expect(onDisk().at(-2)).toBe("one");
    expect(problems.at(-1)).toBe("sync_recovered");
  });

  test("that fails on a full disk keeps the records for later", async () => {
    spool.append("close", "one");
    files.failingSyncs = 1;
    files.room = 0;
    expect(await spool.sync().catch((error: unknown) => error)).toBeInstanceOf(GatewayError);
    files.room = Infinity;
    await spool.sync();
    expect(onDisk()).toEqual(["one", "one"]);
  });
});

describe("retire()", () => {
  test("disposes of the file and may be asked twice, also amid an fsync of it", async () => {
    const gate = Promise.withResolvers<void>();
    files.syncGate = gate.promise;
    const segment = spool.append("close", "one");
    const synced = spool.sync();
    spool.seal();
    spool.retire(segment, (path) => rmSync(path));
    spool.retire(segment, (path) => rmSync(path));
    gate.resolve();
    await synced;
    expect(spool.segments).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
    expect(problems).toEqual([]);
    spool.append("close", "two");
    expect(onDisk()).toEqual(["two"]);
  });
});
