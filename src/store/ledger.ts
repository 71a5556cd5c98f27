/**
 * The usage ledger: every turn is written to the spool when it begins and when it ends, and one row
 * a turn reaches the store.
 *
 * Owns: the turns that are running. Does not own: how records get to the disk (`spool.ts`), to the
 * store (`shipper.ts`), and what a turn used.
 * Invariant: a turn whose `close` returned has exactly one row in the end, whatever dies in
 * between. With the store away traffic goes on until `usage.spool_max`; then no new turn begins,
 * and those that run may still end.
 */

import { GatewayError } from "../errors.ts";
import type { Ledger, UsageEvent } from "../exchange.ts";
import type { UsageConfig } from "../config/config.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Failpoint, type LedgerReport, messageOf } from "./ledger_problem.ts";
import { nodeFiles, type SegmentFiles } from "./segment_files.ts";
import { decodeEvent, encodeEvent, type UsageStore } from "./shipment.ts";
import { Shipper } from "./shipper.ts";
import { Spool, type Segment } from "./spool.ts";
import { type HeldFolder, SpoolFolders } from "./spool_folder.ts";
import type { RecordKind } from "./spool_record.ts";

const SEGMENT_BYTES_MAX = 8 * 1024 * 1024;

export interface LedgerOptions {
  readonly dataDir: string;
  /** New with every start of a process: names its spool folder. */
  readonly nodeId: string;
  readonly store: UsageStore;
  readonly clock: Clock;
  readonly usage: UsageConfig;
  readonly report: LedgerReport;
  /** Hears of rows when the store has them, those of dead processes too. */
  readonly stored?: (rows: readonly UsageEvent[]) => void;
  /** For tests: files that fail, segments that are full soon, a place to die at. */
  readonly files?: SegmentFiles;
  readonly segmentBytesMax?: number;
  readonly failpoint?: (name: Failpoint) => void;
}

interface LedgerStatus {
  /** Turns of this process that ended and are not in the store yet. */
  readonly unshippedRecords: number;
  /**
   * Bytes on disk that are not shipped, those of dead processes included. `spool_max` bounds them.
   */
  readonly spoolBytes: number;
  /** How long the oldest of them has waited, at most; 0 when there is none. */
  readonly oldestUnshippedMs: number;
  /** Null: nothing has been shipped yet. */
  readonly lastShippedAtMs: number | null;
  /** Whether the store took what it was last given. */
  readonly storeReachable: boolean;
  /** Whether a turn can begin: there is room, and the last record could be written. */
  readonly takesTurns: boolean;
}

interface RunningTurn {
  segment: Segment;
  readonly payload: string;
}

/**
 * Opens the ledger of this process, and takes over those of dead ones in the same `data_dir` in the
 * background.
 * @throws Error when the spool folder cannot be made
 */
export function openLedger(options: LedgerOptions): UsageLedger {
  return new UsageLedger(options);
}

export class UsageLedger implements Ledger {
  readonly #usage: UsageConfig;
  readonly #report: LedgerReport;
  readonly #failpoint: (name: Failpoint) => void;
  readonly #folders: SpoolFolders;
  readonly #folder: HeldFolder;
  readonly #spool: Spool;
  readonly #shipper: Shipper;
  readonly #running = new Map<string, RunningTurn>();
  #isWriteFailing = false;
  #isStopped = false;
  #isFull = false;

  constructor(options: LedgerOptions) {
    const { clock, usage, report, store } = options;
    const { files = nodeFiles, failpoint = () => undefined, stored = () => undefined } = options;
    this.#usage = usage;
    this.#report = report;
    this.#failpoint = failpoint;
    const folders = new SpoolFolders(options.dataDir);
    this.#folders = folders;
    this.#folder = folders.create(options.nodeId);
    const common = { files, clock, report, failpoint };
    this.#spool = new Spool({
      ...common,
      folder: this.#folder.path,
      segmentBytesMax: options.segmentBytesMax ?? SEGMENT_BYTES_MAX,
      fsyncIntervalMs: usage.fsyncIntervalMs,
    });
    this.#shipper = new Shipper({
      ...common,
      store,
      usage,
      folders,
      spool: this.#spool,
      stored,
      carry: (segment) => this.#carry(segment),
      paid: (eventId) => this.#forget(eventId),
    });
  }

  /**
   * Records that a turn begins. `event` is its row if this process dies now.
   * @throws GatewayError `ledger_unavailable` when it cannot be written or the spool is full
   */
  open(event: UsageEvent): void {
    this.#refuseWhenStopped();
    this.#refuseWhenFull();
    const payload = encodeEvent(event);
    this.#failpoint("before_open_write");
    const segment = this.#append("open", payload);
    this.#failpoint("after_open_write");
    this.#forget(event.event_id);
    segment.openTurns += 1;
    this.#running.set(event.event_id, { segment, payload });
  }

  /**
   * Records a turn's end. The promise, under `durability: power_loss`, resolves when it is on the
   * disk.
   * @throws GatewayError `ledger_unavailable` when it cannot be written. The caller must not
   *   forward the terminal event then. The turn was billed all the same, so it is stored from
   *   memory if this process lives.
   */
  close(event: UsageEvent): Promise<void> | undefined {
    this.#refuseWhenStopped();
    const payload = encodeEvent(event);
    this.#failpoint("before_close_write");
    try {
      this.#append("close", payload).unshippedRecords += 1;
    } catch (error) {
      this.#shipper.owe(decodeEvent(payload));
      throw error;
    }
    this.#failpoint("after_close_write");
    this.#forget(event.event_id);
    this.#shipper.wake();
    return this.#durable();
  }

  /**
   * Completes a turn that was closed as `pending`. Completing it again changes nothing.
   * @throws GatewayError `ledger_unavailable` when it cannot be written
   */
  complete(event: UsageEvent): Promise<void> | undefined {
    this.#refuseWhenStopped();
    this.#append("complete", encodeEvent(event)).unshippedRecords += 1;
    this.#shipper.wake();
    return this.#durable();
  }

  /**
   * Ships everything that is there now. @throws what the store throws; it is tried again by itself
   */
  async flush(): Promise<void> {
    if (!this.#isStopped) await this.#shipper.flush();
  }

  /**
   * Ships a last time and leaves nothing behind; with the store away, the spool stays for the next
   * node. Turns still running are recorded as they were opened. Never rejects.
   */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    try {
      await this.#shipLast();
    } catch {
      // Reported by the shipper; the spool stays.
    }
    this.#shipper.release();
    await this.#spool.stop();
    this.#leave();
  }

  status(): LedgerStatus {
    const shipper = this.#shipper;
    return {
      unshippedRecords: shipper.unshippedRecords,
      spoolBytes: shipper.unshippedBytes,
      oldestUnshippedMs: shipper.waitedMs,
      lastShippedAtMs: shipper.lastShippedAtMs,
      storeReachable: shipper.isStoreReachable,
      takesTurns: !this.#isWriteFailing && shipper.unshippedBytes < this.#usage.spoolBytesMax,
    };
  }

  #append(kind: RecordKind, payload: string): Segment {
    // Set before, so that it stays when the write throws.
    this.#isWriteFailing = true;
    const segment = this.#spool.append(kind, payload);
    this.#isWriteFailing = false;
    return segment;
  }

  #durable(): Promise<void> | undefined {
    return this.#usage.durability === "power_loss" ? this.#spool.sync() : undefined;
  }

  #refuseWhenStopped(): void {
    if (this.#isStopped) throw new GatewayError("ledger_unavailable", { cause: "stopped" });
  }

  #refuseWhenFull(): void {
    const bytes = this.#shipper.unshippedBytes;
    const isFull = bytes >= this.#usage.spoolBytesMax;
    if (isFull && !this.#isFull) {
      const message = `${bytes} bytes of usage wait (usage.spool_max): no turn begins`;
      this.#report({ kind: "spool_full", message });
    }
    this.#isFull = isFull;
    if (isFull) throw new GatewayError("ledger_unavailable", { cause: "usage.spool_max" });
  }

  /** The turn is no longer running. */
  #forget(eventId: string): void {
    const turn = this.#running.get(eventId);
    if (turn === undefined) return;
    turn.segment.openTurns -= 1;
    this.#running.delete(eventId);
  }

  async #carry(segment: Segment): Promise<void> {
    for (const turn of this.#running.values()) {
      if (turn.segment !== segment) continue;
      turn.segment = this.#spool.append("open", turn.payload);
      turn.segment.openTurns += 1;
      segment.openTurns -= 1;
    }
    // Where they are now must be as safe as where they were.
    await this.#spool.sync();
  }

  async #shipLast(): Promise<void> {
    await this.#shipper.drain();
    const running = [...this.#running.values()].map((turn) => decodeEvent(turn.payload));
    await this.#shipper.storeInterrupted("this process", running);
    this.#spool.seal();
    for (const segment of [...this.#spool.segments]) this.#shipper.retire(segment);
  }

  #leave(): void {
    try {
      if (this.#spool.segments.length === 0) this.#folders.remove(this.#folder);
      else this.#folder.release();
    } catch (error) {
      const message = `The spool folder ${this.#folder.path} stays: ${messageOf(error)}`;
      this.#report({ kind: "claim_failed", message });
    }
  }
}
