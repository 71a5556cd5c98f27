/**
 * The spool folder of a process that died, on its way into the store.
 *
 * Owns: the order in which it is read, and the turns that were begun and never ended.
 * Does not own: the lock on the folder beyond its end (`spool_folder.ts`).
 * Invariant: nothing is removed before all of it is stored, because a turn's two records may lie in
 * different segments. Begun twice by two processes, the second finds the rows and adds nothing.
 */

import { statSync } from "node:fs";
import { basename } from "node:path";

import type { UsageEvent } from "../exchange.ts";
import { readRange } from "./segment_files.ts";
import { type Batch, readBatches } from "./shipment.ts";
import type { HeldFolder } from "./spool_folder.ts";

interface Part {
  readonly path: string;
  readonly bytes: number;
}

/** Resolves when the batch, read at `base` of the segment `path`, is stored. */
type StoreDeadBatch = (
  batch: Batch,
  path: string,
  bytes: Uint8Array,
  base: number,
) => Promise<void>;

export class DeadSpool {
  readonly folder: HeldFolder;
  readonly #parts: readonly Part[];
  readonly #running = new Map<string, UsageEvent>();
  #next = 0;
  /** Within the segment that is next. */
  #offset = 0;

  constructor(folder: HeldFolder) {
    this.folder = folder;
    this.#parts = folder.segments().map((path) => ({ path, bytes: statSync(path).size }));
  }

  get name(): string {
    return basename(this.folder.path);
  }

  get paths(): string[] {
    return this.#parts.map((part) => part.path);
  }

  /** Bytes not yet stored. */
  get remainingBytes(): number {
    const rest = this.#parts.slice(this.#next);
    return rest.reduce((sum, part) => sum + part.bytes, -this.#offset);
  }

  /** True: everything has been stored but the turns that never ended. */
  get isRead(): boolean {
    return this.#next === this.#parts.length;
  }

  /** Turns begun and not ended in what has been read so far, as they are to be recorded. */
  get interrupted(): UsageEvent[] {
    return [...this.#running.values()];
  }

  /** Stores the next segment. When it fails, the next call goes on behind the last stored batch. */
  async step(batchMax: number, store: StoreDeadBatch): Promise<void> {
    const part = this.#parts[this.#next];
    if (part === undefined) return;
    const base = this.#offset;
    const bytes = await readRange(part.path, base, part.bytes);
    for (const batch of readBatches(bytes, batchMax, true)) {
      await store(batch, part.path, bytes, base);
      this.#follow(batch);
      this.#offset = base + batch.end;
    }
    this.#next += 1;
    this.#offset = 0;
  }

  #follow(batch: Batch): void {
    for (const event of batch.opened) this.#running.set(event.event_id, event);
    for (const event of batch.closed) this.#running.delete(event.event_id);
  }
}
