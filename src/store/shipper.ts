/**
 * From the spools to the store: this process's own segments, those of dead processes, and turns
 * that could not be written to any.
 *
 * Owns: when to ship, back-off, taking over, removing what was shipped. Does not own: what turns
 * are running (`ledger.ts`) and the writing of segments (`spool.ts`).
 * Invariant: a segment is removed only after its rows are committed. Shipping one again, after a
 * crash between the two, finds the rows there and adds nothing.
 */

import type { UsageEvent } from "../exchange.ts";
import type { UsageConfig } from "../config/config.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { DeadSpool } from "./dead_spool.ts";
import { type Failpoint, type LedgerReport, messageOf } from "./ledger_problem.ts";
import { readRange, type SegmentFiles, SegmentReadError } from "./segment_files.ts";
import { type Batch, readBatches, storeBatch, type UsageStore } from "./shipment.ts";
import type { Segment, Spool } from "./spool.ts";
import type { HeldFolder, SpoolFolders } from "./spool_folder.ts";

const BACK_OFF_MS_MAX = 5000;
/** How soon the spool of a process that died is found by those that live. */
const CLAIM_INTERVAL_MS = 5000;
/** Share of `usage.spool_max` that shipped segments may take. */
const KEPT_SHARE = 1 / 4;
/** Turns kept in memory because they could not be written. About 1 KiB each. */
const OWED_MAX = 65_536;

interface ShipperOptions {
  readonly store: UsageStore;
  readonly clock: Clock;
  readonly usage: UsageConfig;
  readonly report: LedgerReport;
  readonly failpoint: (name: Failpoint) => void;
  readonly files: SegmentFiles;
  readonly folders: SpoolFolders;
  readonly spool: Spool;
  /** The store has these rows. Completions are not told. */
  stored(rows: readonly UsageEvent[]): void;
  /** Writes the turns that are running, and were begun in this segment, to a later one. */
  carry(segment: Segment): Promise<void>;
  /** A turn given to `owe` is stored. */
  paid(eventId: string): void;
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #owed = new Map<string, UsageEvent>();
  #dead: DeadSpool[] = [];
  /** Folders with what cannot be read, or is of another version: not looked at again. */
  readonly #leftAlone = new Set<string>();

  readonly #claimTimer: Timer;
  #shipTimer: Timer | null = null;
  /** The round that runs, and the one that was asked for meanwhile. Two never overlap. */
  #round: Promise<void> | null = null;
  #nextRound: Promise<void> | null = null;
  #failedRounds = 0;
  /** Nothing starts by itself any more. */
  #isDraining = false;
  /** Segments that could not be read, and were reported. */
  readonly #unreadable = new WeakSet<Segment>();

  #isStoreReachable = true;
  #lastShippedAtMs: number | null = null;
  /** Since when there has been something to ship, on the monotonic clock. */
  #waitingSinceMs: number | null = null;

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#claimTimer = options.clock.every(CLAIM_INTERVAL_MS, () => this.#claim());
    this.#prune();
    this.#claim();
  }

  get isStoreReachable(): boolean {
    return this.#isStoreReachable;
  }

  get lastShippedAtMs(): number | null {
    return this.#lastShippedAtMs;
  }

  /** How long the oldest turn has waited, at most. */
  get waitedMs(): number {
    const since = this.#waitingSinceMs;
    return since === null ? 0 : this.#options.clock.monotonicMs() - since;
  }

  get unshippedRecords(): number {
    const { segments } = this.#options.spool;
    return segments.reduce((sum, segment) => sum + segment.unshippedRecords, this.#owed.size);
  }

  get unshippedBytes(): number {
    let bytes = 0;
    for (const segment of this.#options.spool.segments) {
      bytes += segment.bytes - segment.shippedBytes;
    }
    for (const dead of this.#dead) bytes += dead.remainingBytes;
    return bytes;
  }

  /** There is something to ship. */
  wake(): void {
    this.#waitingSinceMs ??= this.#options.clock.monotonicMs();
    if (this.#round === null) this.#arm();
  }

  /** Takes a turn that cannot be written, to store it from memory. */
  owe(event: UsageEvent): void {
    const isKept = this.#owed.size < OWED_MAX || this.#owed.has(event.event_id);
    const turn = `Turn ${event.event_id} ended and cannot be written`;
    if (isKept) this.#owed.set(event.event_id, event);
    this.#options.report(
      isKept
        ? { kind: "turn_owed", message: `${turn}; it is stored from memory` }
        : { kind: "turn_lost", message: `${turn}; ${OWED_MAX} others wait already` },
    );
    this.wake();
  }

  /** Ships everything that is there now. @throws what the store throws */
  flush(): Promise<void> {
    const running = this.#round;
    if (running === null) return this.#nextRound ?? this.#startRound();
    this.#nextRound ??= running
      .catch(() => undefined)
      .then(() => {
        this.#nextRound = null;
        return this.#startRound();
      });
    return this.#nextRound;
  }

  /**
   * Ships what this process has a last time, and from now on nothing by itself. @throws what the
   * store throws
   */
  drain(): Promise<void> {
    this.#isDraining = true;
    this.#claimTimer.cancel();
    this.#shipTimer?.cancel();
    this.#shipTimer = null;
    return this.flush();
  }

  /** Lets go of what was claimed and not shipped. Call it after `drain`. */
  release(): void {
    for (const dead of this.#dead) dead.folder.release();
    this.#dead = [];
  }

  /** Stores turns that never ended, as they were opened. @throws what the store throws */
  async storeInterrupted(name: string, events: readonly UsageEvent[]): Promise<void> {
    await this.#storeClosed(events);
    if (events.length === 0) return;
    const message = `${events.length} turns of ${name} never ended and are recorded so`;
    this.#options.report({ kind: "turns_interrupted", message });
  }

  /** Forgets a segment that is sealed and shipped, and its file. */
  retire(segment: Segment): void {
    this.#options.failpoint("before_removal");
    this.#options.spool.retire(segment, (path) => this.#dispose(path));
  }

  #arm(): void {
    if (this.#isDraining) return;
    const { shipIntervalMs } = this.#options.usage;
    const backOffMs = Math.min(shipIntervalMs * 2 ** this.#failedRounds, BACK_OFF_MS_MAX);
    this.#shipTimer ??= this.#options.clock.after(Math.max(shipIntervalMs, backOffMs), () => {
      this.#shipTimer = null;
      // A failed round is reported, and armed again, where it ends.
      this.flush().catch(() => undefined);
    });
  }

  #startRound(): Promise<void> {
    this.#shipTimer?.cancel();
    this.#shipTimer = null;
    const round = this.#ship().then(
      () => this.#succeeded(),
      (error: unknown) => this.#failed(error),
    );
    this.#round = round.finally(() => {
      this.#round = null;
      if (this.#dead.length > 0 || this.unshippedRecords > 0) this.#arm();
      else this.#waitingSinceMs = null;
    });
    return this.#round;
  }

  #succeeded(): void {
    if (this.#failedRounds === 0) return;
    this.#failedRounds = 0;
    this.#options.report({ kind: "ship_recovered", message: "Usage reaches the store again" });
  }

  #failed(error: unknown): never {
    this.#failedRounds += 1;
    // The first of a row of failures says it all.
    if (this.#failedRounds === 1) {
      const message = `Usage does not reach the store: ${messageOf(error)}`;
      this.#options.report({ kind: "ship_failed", message });
    }
    throw error;
  }

  /**
   * One round: all that this process has, a segment of a dead one, and again while there are such.
   */
  async #ship(): Promise<void> {
    const { clock, usage, spool } = this.#options;
    const startedMs = clock.monotonicMs();
    do {
      for (const segment of [...spool.segments]) await this.#shipSegment(segment);
      await this.#shipOwed();
      if (!this.#isDraining) await this.#shipDead();
    } while (this.#dead.length > 0 && !this.#isDraining);
    // What came in the meantime waits since then at the earliest.
    if (this.#waitingSinceMs !== null) this.#waitingSinceMs = startedMs;
    if (usage.spoolKeepMs > 0) this.#prune();
  }

  #prune(): void {
    const { clock, folders, usage } = this.#options;
    folders.pruneKept(clock.nowMs(), usage.spoolKeepMs, usage.spoolBytesMax * KEPT_SHARE);
  }

  async #shipSegment(segment: Segment): Promise<void> {
    const [base, end] = [segment.shippedBytes, segment.bytes];
    if (base < end) {
      const bytes = await this.#read(segment);
      if (bytes === null) return;
      for (const batch of readBatches(bytes, this.#options.usage.shipBatch, false)) {
        await this.#store(batch);
        this.#setAside(batch, segment.path, bytes, base);
        segment.unshippedRecords -= batch.closed.length + batch.completed.length;
        segment.shippedBytes = base + batch.end;
        this.#options.failpoint("mid_batches");
      }
      segment.shippedBytes = end;
      // Where some could not be read, or were written a second time, the difference is not exact.
      if (segment.bytes === end) segment.unshippedRecords = 0;
    }
    if (!segment.isSealed || segment.shippedBytes < segment.bytes) return;
    if (segment.openTurns === 0 || (await this.#carried(segment))) this.retire(segment);
  }

  /** What is to be shipped of a segment. Null, and reported: it cannot be read at the moment. */
  async #read(segment: Segment): Promise<Uint8Array | null> {
    try {
      return await readRange(segment.path, segment.shippedBytes, segment.bytes);
    } catch (error) {
      // The segments behind it must not wait for it.
      if (!this.#unreadable.has(segment)) this.#reportUnreadable(error);
      this.#unreadable.add(segment);
      return null;
    }
  }

  /**
   * A few running turns must not hold a whole file. Where they cannot be written again, they do.
   */
  async #carried(segment: Segment): Promise<boolean> {
    try {
      await this.#options.carry(segment);
      return true;
    } catch {
      // Reported by the spool; the next round tries again.
      return false;
    }
  }

  async #shipOwed(): Promise<void> {
    const events = [...this.#owed.values()];
    await this.#storeClosed(events);
    for (const event of events) {
      this.#owed.delete(event.event_id);
      this.#options.paid(event.event_id);
    }
  }

  async #shipDead(): Promise<void> {
    const dead = this.#dead[0];
    if (dead === undefined) return;
    try {
      await dead.step(this.#options.usage.shipBatch, async (batch, path, bytes, base) => {
        await this.#store(batch);
        this.#setAside(batch, path, bytes, base);
        this.#options.failpoint("mid_batches");
      });
    } catch (error) {
      if (!(error instanceof SegmentReadError)) throw error;
      this.#reportUnreadable(error);
      this.#dropDead(dead);
      this.#leftAlone.add(dead.folder.path);
      dead.folder.release();
      return;
    }
    if (dead.isRead) await this.#finishDead(dead);
  }

  async #finishDead(dead: DeadSpool): Promise<void> {
    await this.storeInterrupted(dead.name, dead.interrupted);
    this.#options.failpoint("before_removal");
    for (const path of dead.paths) this.#dispose(path);
    this.#dropDead(dead);
    if (!this.#options.folders.remove(dead.folder)) this.#leftAlone.add(dead.folder.path);
  }

  #dropDead(dead: DeadSpool): void {
    this.#dead = this.#dead.filter((each) => each !== dead);
  }

  #reportUnreadable(error: unknown): void {
    this.#options.report({ kind: "read_failed", message: messageOf(error) });
  }

  #claim(): void {
    try {
      const claimed = this.#options.folders.claimDead(this.#leftAlone);
      for (const folder of claimed) this.#reportUnknown(folder);
      this.#dead.push(...claimed.map((folder) => new DeadSpool(folder)));
      if (claimed.length > 0) this.wake();
    } catch (error) {
      const message = `The spools of dead processes cannot be looked for: ${messageOf(error)}`;
      this.#options.report({ kind: "claim_failed", message });
    }
  }

  #reportUnknown(folder: HeldFolder): void {
    const names = folder.unknownFiles();
    if (names.length === 0) return;
    const message = `${folder.path} has files of another version, left alone: ${names.join(", ")}`;
    this.#options.report({ kind: "unknown_file", message });
  }

  async #storeClosed(events: readonly UsageEvent[]): Promise<void> {
    const { shipBatch } = this.#options.usage;
    for (let at = 0; at < events.length; at += shipBatch) {
      await this.#store({ closed: events.slice(at, at + shipBatch), completed: [] });
    }
  }

  async #store(batch: Pick<Batch, "closed" | "completed">): Promise<void> {
    if (batch.closed.length + batch.completed.length === 0) return;
    try {
      await storeBatch(this.#options.store, batch, this.#options.failpoint);
    } catch (error) {
      this.#isStoreReachable = false;
      throw error;
    }
    this.#options.stored(batch.closed);
    this.#isStoreReachable = true;
    this.#lastShippedAtMs = this.#options.clock.nowMs();
  }

  #dispose(path: string): void {
    const { usage, folders, clock, files } = this.#options;
    if (usage.spoolKeepMs > 0) folders.keep(path, clock.nowMs());
    else files.remove(path);
  }

  #setAside(batch: Batch, path: string, bytes: Uint8Array, base: number): void {
    for (const { start, end, isTail } of batch.gaps) {
      const kept = this.#options.folders.setAside(bytes.subarray(start, end), path, base + start);
      const what = isTail ? "The last record is not whole" : "Records are damaged";
      const where = `${path}, bytes ${base + start} to ${base + end}`;
      const copy = kept === null ? "too much was set aside already" : `set aside in ${kept}`;
      const kind = isTail ? "torn_tail" : "damaged";
      this.#options.report({ kind, message: `${what}: ${where}; ${copy}` });
    }
  }
}
