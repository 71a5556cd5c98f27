/**
 * Real processes, really killed. Each run leaves what the one before left behind; in the end the
 * table must hold every turn that was acknowledged, once, as it was acknowledged.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { UsageEvent } from "../../src/exchange.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { openLedger } from "../../src/store/ledger.ts";
import { FAILPOINTS, type LedgerProblem } from "../../src/store/ledger_problem.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import type { Store } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Prng } from "../support/prng.ts";

const CHILD = join(import.meta.dir, "ledger_child.ts");
const SEED = 20_261_121;
const PAIRS = 8;

let dataDir: string;
let store: Store;
const problems: LedgerProblem[] = [];

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-kill-"));
  const path = join(dataDir, "sluice.db");
  store = await openSqliteStore({
    path,
    nodeId: "reader",
    clock: systemClock,
    report: () => undefined,
  });
});

afterAll(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});

function start(nodeId: string, seed: number, failpoint: string, hits: number) {
  const command = [process.execPath, CHILD, dataDir, nodeId, String(seed), failpoint, String(hits)];
  return Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
}

/** Kills the child after it acknowledged this many times, however it then stands. */
async function killAfter(child: ReturnType<typeof start>, acknowledgements: number): Promise<void> {
  let seen = 0;
  for await (const chunk of child.stdout) {
    seen += chunk.length;
    // Reads on to the end: a child that cannot write would die of that and not of us.
    if (seen >= acknowledgements) child.kill("SIGKILL");
  }
  await child.exited;
  expect(await new Response(child.stderr).text()).toBe("");
  expect(seen).toBeGreaterThanOrEqual(acknowledgements);
}

async function allRows(): Promise<UsageEvent[]> {
  const rows: UsageEvent[] = [];
  let cursor: string | null = null;
  do {
    const page = await store.listUsage({ limit: 1000, ...(cursor === null ? {} : { cursor }) });
    rows.push(...page.events);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return rows;
}

function acknowledged(what: "o" | "c"): string[] {
  const lines = readFileSync(join(dataDir, "acknowledged"), "utf8").split("\n");
  return lines.filter((line) => line.startsWith(`${what} `)).map((line) => line.slice(2));
}

test("kill -9 at any moment loses no acknowledged turn and counts none twice", async () => {
  const prng = new Prng(SEED);
  let kills = 0;
  // At every named point: two at a time on one database, early and later in their lives.
  for (const failpoint of FAILPOINTS) {
    const hits = [prng.int(1, 3), prng.int(4, 12)];
    const children = hits.map((hit, index) =>
      start(`p-${failpoint}-${index}`, prng.int(0, 1e9), failpoint, hit),
    );
    for (const child of children) {
      await child.exited;
      expect(child.signalCode).toBe("SIGKILL");
      kills += 1;
    }
  }
  // And from outside, between any two instructions.
  for (let pair = 0; pair < PAIRS; pair++) {
    const counts = [prng.int(1, 400), prng.int(1, 1500)];
    const children = counts.map((count, index) => {
      const child = start(`r-${pair}-${index}`, prng.int(0, 1e9), "", 0);
      return killAfter(child, count);
    });
    await Promise.all(children);
    kills += children.length;
  }

  const ledger = openLedger({
    dataDir,
    nodeId: "last",
    store,
    clock: new FakeClock(),
    usage: {
      fsyncIntervalMs: 50,
      shipIntervalMs: 200,
      shipBatch: 500,
      durability: "process",
      spoolBytesMax: 100_000_000,
      spoolKeepMs: 0,
      retentionMs: 0,
    },
    report: (problem) => void problems.push(problem),
  });
  await ledger.flush();
  await ledger.stop();

  const rows = new Map((await allRows()).map((row) => [row.event_id, row]));
  const [begun, ended] = [acknowledged("o"), new Set(acknowledged("c"))];
  expect(begun.filter((id) => !rows.has(id))).toEqual([]);
  const isAsClosed = (id: string) => rows.get(id)?.upstream_request_id === `closed ${id}`;
  expect([...ended].filter((id) => !isAsClosed(id))).toEqual([]);
  // What a process had written and not said yet when it died: one record a kill.
  expect(rows.size - begun.length).toBeLessThanOrEqual(kills);
  const closedRows = [...rows.keys()].filter(isAsClosed);
  expect(closedRows.length - ended.size).toBeLessThanOrEqual(kills);
  expect(ended.size).toBeGreaterThan(1000);
  // A torn tail is possible and harmless; damage is not.
  expect(
    problems.filter(({ kind }) => kind !== "torn_tail" && kind !== "turns_interrupted"),
  ).toEqual([]);
  expect(readdirSync(join(dataDir, "spool")).filter((name) => name.startsWith("node-"))).toEqual(
    [],
  );
}, 60_000);
