/**
 * Ledgers in a folder of their own, with a store, a disk and a clock that the test rules.
 */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { UsageConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import { type LedgerOptions, openLedger, type UsageLedger } from "../../src/store/ledger.ts";
import type { LedgerProblem } from "../../src/store/ledger_problem.ts";
import { BrokenFiles } from "./broken_files.ts";
import { FakeClock } from "./fake_clock.ts";
import { MemoryUsageStore } from "./memory_usage_store.ts";
import { usageEvent } from "./usage_event.ts";

export const USAGE: UsageConfig = {
  fsyncIntervalMs: 50,
  shipIntervalMs: 200,
  shipBatch: 10,
  durability: "process",
  spoolBytesMax: 1024 * 1024,
  spoolKeepMs: 0,
  retentionMs: 0,
};

export class LedgerWorld {
  readonly dataDir = mkdtempSync(join(tmpdir(), "sluice-ledger-"));
  readonly store = new MemoryUsageStore();
  readonly files = new BrokenFiles();
  readonly clock = new FakeClock();
  problems: LedgerProblem[] = [];
  readonly #opened: UsageLedger[] = [];

  /** A ledger with segments that two turns fill. */
  open(nodeId: string, change: Partial<LedgerOptions> = {}): UsageLedger {
    const { dataDir, store, files, clock } = this;
    const report = (problem: LedgerProblem) => void this.problems.push(problem);
    const options = { dataDir, nodeId, store, clock, usage: USAGE, report, files };
    const ledger = openLedger({ ...options, segmentBytesMax: 4000, ...change });
    this.#opened.push(ledger);
    return ledger;
  }

  /** A ledger whose process dies with the store away. Returns the folder that is left of it. */
  async dieWith(nodeId: string, use: (ledger: UsageLedger) => void): Promise<string> {
    const away = new MemoryUsageStore();
    away.isAway = true;
    const ledger = this.open(nodeId, { store: away, segmentBytesMax: 100_000 });
    use(ledger);
    await ledger.stop();
    this.problems = [];
    return join(this.dataDir, "spool", `node-${nodeId}`);
  }

  kinds(): string[] {
    return this.problems.map((problem) => problem.kind);
  }

  spoolEntries(): string[] {
    return readdirSync(join(this.dataDir, "spool")).filter((name) => name !== "lock");
  }

  async dispose(): Promise<void> {
    this.files.room = Infinity;
    await Promise.all(this.#opened.map((ledger) => ledger.stop()));
    rmSync(this.dataDir, { recursive: true });
  }
}

/** A turn from its beginning to its end. */
export function turn(ledger: UsageLedger, number: number): void {
  ledger.open(usageEvent(number, { status: "interrupted", input_tokens: null }));
  ledger.close(usageEvent(number));
}

/** Event ids of the turns `from` to `to`, without `to`. */
export function ids(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => usageEvent(from + index).event_id);
}

/** Whether `run` throws `ledger_unavailable`. */
export function isUnavailable(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    return error instanceof GatewayError && error.code === "ledger_unavailable";
  }
}

/** Lets file operations that are under way, and what follows from them, happen. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 10; turns++) await stat(import.meta.path);
}
