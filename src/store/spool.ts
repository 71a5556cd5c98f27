/**
 * The append-only log of one process: segment files that records are written to before anyone is
 * told.
 *
 * Owns: writing, rotation, fsync, and what happens when one of them fails. Does not own: what a
 * record means, shipping, and other processes' folders.
 * Invariant: when `append` returns, the record has reached the kernel in whole; when `sync`
 * resolves, all records appended before are on the disk. A write or fsync that failed is never
 * tried again on the same file and taken for a success: after a failed fsync the kernel may have
 * dropped the pages and report the next one as fine. So the records since the last good fsync are
 * kept, written to a new segment and synced there; if that fails too, the spool refuses.
 */

import { GatewayError } from "../errors.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { type Failpoint, type LedgerReport, messageOf } from "./ledger_problem.ts";
import type { SegmentFiles } from "./segment_files.ts";
import { segmentPath } from "./spool_folder.ts";
import { RecordEncoder, type RecordKind } from "./spool_record.ts";

/**
 * Records not yet on the disk are in memory too, for writing them again; beyond this the disk
 * hangs.
 */
const UNSYNCED_LENGTH_MAX = 64 * 1024 * 1024;
/** Between attempts to find the disk mended. */
const RETRY_MS = 1000;

interface SpoolOptions {
  /** Held by this process, without segments. */
  readonly folder: string;
  readonly files: SegmentFiles;
  readonly clock: Clock;
  readonly segmentBytesMax: number;
  readonly fsyncIntervalMs: number;
  readonly report: LedgerReport;
  readonly failpoint: (name: Failpoint) => void;
}

/** A file of records. The counters below the line are the shipper's. */
export interface Segment {
  readonly path: string;
  /** Written in whole records; what is behind is nothing. */
  bytes: number;
  /** Nothing is appended to it any more. */
  isSealed: boolean;

  shippedBytes: number;
  /** Records to be shipped and not shipped. */
  unshippedRecords: number;
  /** Turns whose `open` record is here and that have not ended. */
  openTurns: number;
}

interface Unsynced {
  readonly kind: RecordKind;
  readonly payload: string;
}

export class Spool {
  readonly #options: SpoolOptions;
  readonly #encoder = new RecordEncoder();
  readonly #segments: Segment[] = [];
  /** Descriptors of segments that are written to, or not yet on the disk. */
  readonly #descriptors = new Map<Segment, number>();
  readonly #dirty = new Set<Segment>();
  #active: Segment | null = null;
  #lastNumber = 0;
  #isFolderDirty = true;

  /** Appended since the last good fsync began. */
  #unsynced: Unsynced[] = [];
  #unsyncedLength = 0;
  #syncTimer: Timer | null = null;
  #syncing: Promise<void> | null = null;
  #nextSync: Promise<void> | null = null;
  /** Its descriptor is in use by an fsync and must stay open. */
  #inSync: Segment | null = null;

  #isWriteFailing = false;
  /** Why nothing is taken: the disk does not keep what it is given. */
  #failure: string | null = null;

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** In the order of their writing; the last may still grow. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /**
   * Writes a record and returns the segment it is in.
   * @throws GatewayError `ledger_unavailable` when it cannot be kept; then nothing of it is
   */
  append(kind: RecordKind, payload: string): Segment {
    if (this.#failure !== null) throw unavailable(this.#failure);
    if (this.#unsyncedLength > UNSYNCED_LENGTH_MAX) throw unavailable("The disk does not respond");
    const segment = this.#append(kind, payload);
    if (this.#syncing === null) this.#armSync(this.#options.fsyncIntervalMs);
    return segment;
  }

  /**
   * Resolves when everything appended so far is on the disk; calls at the same time share one
   * fsync.
   * @throws GatewayError `ledger_unavailable` when it is not
   */
  sync(): Promise<void> {
    const running = this.#syncing;
    if (running === null) return this.#nextSync ?? this.#startSync();
    // The running one may have begun before the last append.
    this.#nextSync ??= running
      .catch(() => undefined)
      .then(() => {
        this.#nextSync = null;
        return this.#startSync();
      });
    return this.#nextSync;
  }

  /** Ends the segment that grows, so that it can be removed. */
  seal(): void {
    if (this.#active !== null) this.#seal(this.#active);
  }

  /** Forgets a sealed segment after `dispose` did away with its file. */
  retire(segment: Segment, dispose: (path: string) => void): void {
    const index = this.#segments.indexOf(segment);
    if (index === -1) return;
    dispose(segment.path);
    this.#segments.splice(index, 1);
    this.#dirty.delete(segment);
    if (segment !== this.#inSync) this.#release(segment);
  }

  /** Syncs a last time and closes all files. Nothing is appended afterwards. */
  async stop(): Promise<void> {
    this.seal();
    await this.sync().catch(() => undefined);
    this.#syncTimer?.cancel();
    this.#syncTimer = null;
    for (const segment of [...this.#descriptors.keys()]) this.#release(segment);
  }

  #append(kind: RecordKind, payload: string): Segment {
    const segment = this.#write(this.#encoder.encode(kind, payload));
    this.#unsynced.push({ kind, payload });
    this.#unsyncedLength += payload.length;
    return segment;
  }

  #write(bytes: Uint8Array): Segment {
    try {
      return this.#writeTo(this.#roomFor(bytes.length), bytes);
    } catch (error) {
      this.#reportWrite(error);
    }
    try {
      return this.#writeTo(this.#roomFor(bytes.length), bytes);
    } catch (error) {
      throw unavailable(messageOf(error));
    }
  }

  #writeTo(segment: Segment, bytes: Uint8Array): Segment {
    try {
      const written = this.#options.files.write(this.#descriptor(segment), bytes);
      if (written !== bytes.length) throw new Error(`${written} of ${bytes.length} bytes written`);
    } catch (error) {
      this.#cutBack(segment);
      throw error;
    }
    segment.bytes += bytes.length;
    this.#dirty.add(segment);
    if (this.#isWriteFailing) this.#reportWriteRecovered();
    return segment;
  }

  /**
   * After a failed write: what it may have left behind is cut off, and the file is not used again.
   */
  #cutBack(segment: Segment): void {
    this.#seal(segment);
    try {
      this.#options.files.truncate(this.#descriptor(segment), segment.bytes);
    } catch {
      // Then it stays, and reads as a torn tail.
    }
    if (segment.bytes === 0) this.retire(segment, (path) => this.#options.files.remove(path));
  }

  #roomFor(bytes: number): Segment {
    const active = this.#active;
    if (active !== null && active.bytes + bytes <= this.#options.segmentBytesMax) return active;
    if (active !== null) {
      this.#seal(active);
      this.#options.failpoint("mid_rotation");
    }
    return this.#begin();
  }

  #begin(): Segment {
    const path = segmentPath(this.#options.folder, ++this.#lastNumber);
    const counters = { bytes: 0, shippedBytes: 0, unshippedRecords: 0, openTurns: 0 };
    const segment: Segment = { path, isSealed: false, ...counters };
    this.#descriptors.set(segment, this.#options.files.create(path));
    this.#isFolderDirty = true;
    this.#segments.push(segment);
    this.#active = segment;
    return segment;
  }

  #seal(segment: Segment): void {
    segment.isSealed = true;
    if (this.#active === segment) this.#active = null;
  }

  #startSync(): Promise<void> {
    this.#syncTimer?.cancel();
    this.#syncTimer = null;
    const run = this.#syncOrRewrite().finally(() => {
      this.#syncing = null;
      if (this.#failure !== null) this.#armSync(RETRY_MS);
      else if (this.#unsynced.length > 0) this.#armSync(this.#options.fsyncIntervalMs);
    });
    this.#syncing = run;
    return run;
  }

  #armSync(delayMs: number): void {
    this.#syncTimer ??= this.#options.clock.after(delayMs, () => {
      this.#syncTimer = null;
      // A failure is reported where it happens.
      this.sync().catch(() => undefined);
    });
  }

  async #syncOrRewrite(): Promise<void> {
    try {
      if (this.#failure === null) {
        if (await this.#syncReported()) return;
      }
      this.#rewrite();
      await this.#syncDirty();
    } catch (error) {
      this.#abandon();
      const cause = error instanceof GatewayError ? String(error.cause) : messageOf(error);
      if (this.#failure === null) this.#reportSync(`nor in a new file: ${cause}`);
      this.#failure = cause;
      throw unavailable(cause);
    }
    this.#failure = null;
    this.#options.report({ kind: "sync_recovered", message: "Usage is on the disk again" });
  }

  /** False, and reported: the fsync failed. */
  async #syncReported(): Promise<boolean> {
    try {
      await this.#syncDirty();
      return true;
    } catch (error) {
      this.#reportSync(messageOf(error));
      return false;
    }
  }

  async #syncDirty(): Promise<void> {
    const [batch, length, dirty] = [this.#unsynced, this.#unsyncedLength, [...this.#dirty]];
    this.#unsynced = [];
    this.#dirty.clear();
    try {
      for (const segment of dirty) {
        const descriptor = this.#descriptors.get(segment);
        // Retired meanwhile: what was in it has been shipped.
        if (descriptor === undefined) continue;
        this.#inSync = segment;
        await this.#options.files.sync(descriptor);
        this.#inSync = null;
        if (segment.isSealed && !this.#dirty.has(segment)) this.#release(segment);
      }
      if (this.#isFolderDirty) await this.#syncFolder();
      this.#unsyncedLength -= length;
    } catch (error) {
      this.#inSync = null;
      this.#unsynced = [...batch, ...this.#unsynced];
      for (const segment of dirty) this.#dirty.add(segment);
      throw error;
    }
  }

  async #syncFolder(): Promise<void> {
    this.#isFolderDirty = false;
    try {
      await this.#options.files.syncFolder(this.#options.folder);
    } catch (error) {
      this.#isFolderDirty = true;
      throw error;
    }
  }

  /** Writes all that no fsync has covered to new segments, and no longer relies on the old ones. */
  #rewrite(): void {
    this.#abandon();
    const records = this.#unsynced;
    this.#unsynced = [];
    this.#unsyncedLength = 0;
    try {
      for (const { kind, payload } of records) this.#append(kind, payload);
    } catch (error) {
      this.#unsynced = records;
      this.#unsyncedLength = records.reduce((sum, { payload }) => sum + payload.length, 0);
      throw error;
    }
  }

  /**
   * The files stay, and are read: what the kernel still has of them is there as long as it runs.
   */
  #abandon(): void {
    this.seal();
    for (const segment of this.#dirty) this.#release(segment);
    this.#dirty.clear();
  }

  #descriptor(segment: Segment): number {
    const descriptor = this.#descriptors.get(segment);
    if (descriptor === undefined) throw new Error(`${segment.path} is closed`);
    return descriptor;
  }

  #release(segment: Segment): void {
    const descriptor = this.#descriptors.get(segment);
    if (descriptor === undefined) return;
    this.#descriptors.delete(segment);
    this.#options.files.close(descriptor);
  }

  #reportWrite(error: unknown): void {
    if (this.#isWriteFailing) return;
    this.#isWriteFailing = true;
    const message = `Usage cannot be written to ${this.#options.folder}: ${messageOf(error)}`;
    this.#options.report({ kind: "write_failed", message });
  }

  #reportWriteRecovered(): void {
    this.#isWriteFailing = false;
    this.#options.report({ kind: "write_recovered", message: "Usage is written again" });
  }

  #reportSync(cause: string): void {
    const message = `Usage in ${this.#options.folder} did not reach the disk: ${cause}`;
    this.#options.report({ kind: "sync_failed", message });
  }
}

/** The caller hears that the ledger is closed; the operator hears why. */
function unavailable(cause: string): GatewayError {
  return new GatewayError("ledger_unavailable", { cause });
}
