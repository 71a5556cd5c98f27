/**
 * From the bytes of a segment to batches that a store takes.
 *
 * Owns: the payload of a record (a usage event as JSON) and the making of batches.
 * Does not own: files, when to ship, what to do with damage.
 * Invariant: batches come in the order of the records, so a turn's completion never overtakes its
 * close.
 */

import type { UsageEvent } from "../exchange.ts";
import { decodeUtf8 } from "../lib/encoding.ts";
import type { Failpoint } from "./ledger_problem.ts";
import { type RecordKind, scanRecords } from "./spool_record.ts";

/** What the ledger needs of the store. */
export interface UsageStore {
  insertUsage(events: readonly UsageEvent[]): Promise<string[]>;
  completeUsage(event: UsageEvent): Promise<boolean>;
}

export interface Batch {
  readonly closed: UsageEvent[];
  readonly completed: UsageEvent[];
  /** Turns begun; only where asked for. */
  readonly opened: UsageEvent[];
  readonly gaps: { readonly start: number; readonly end: number; readonly isTail: boolean }[];
  /** Offset behind its last record. */
  end: number;
}

/** Beyond it a text in an event is cut, because someone made it up. */
const TEXT_LENGTH_MAX = 512;
/** Characters of an event that is surely written whole. */
const PAYLOAD_LENGTH_USUAL = 16 * 1024;

/**
 * The payload of an event. Longer than any honest one: its texts are cut, so that it can be kept.
 */
export function encodeEvent(event: UsageEvent): string {
  const payload = JSON.stringify(event);
  if (payload.length <= PAYLOAD_LENGTH_USUAL) return payload;
  return JSON.stringify(event, (_, value: unknown) =>
    typeof value === "string" && value.length > TEXT_LENGTH_MAX
      ? value.slice(0, TEXT_LENGTH_MAX)
      : value,
  );
}

/** @throws when the payload was not made by `encodeEvent` */
export function decodeEvent(payload: string): UsageEvent {
  // Written by `encodeEvent` and covered by a CRC since.
  return JSON.parse(payload) as UsageEvent;
}

/**
 * Cuts the records of `bytes` into batches with at most `batchMax` events each. `withOpened`: also
 * decode what turns were begun, for the spool of a dead process.
 */
export function* readBatches(
  bytes: Uint8Array,
  batchMax: number,
  withOpened: boolean,
): Generator<Batch> {
  let batch = emptyBatch();
  let count = 0;
  let end = 0;
  for (const found of scanRecords(bytes)) {
    const start = end;
    end = found.end;
    batch.end = end;
    if (found.type === "gap") {
      batch.gaps.push(found);
    } else if (found.kind !== "open" || withOpened) {
      const event = readEvent(found.payload);
      // Nobody but us writes records, but one that is no event must not stop those behind it.
      if (event === null) batch.gaps.push({ start, end, isTail: false });
      else listOf(batch, found.kind).push(event);
      count += 1;
    }
    if (count < batchMax) continue;
    yield batch;
    batch = emptyBatch();
    count = 0;
  }
  if (batch.end > 0) yield batch;
}

function readEvent(payload: Uint8Array): UsageEvent | null {
  try {
    const event = decodeEvent(decodeUtf8(payload));
    return typeof event.event_id === "string" ? event : null;
  } catch {
    return null;
  }
}

function emptyBatch(): Batch {
  return { closed: [], completed: [], opened: [], gaps: [], end: 0 };
}

function listOf(batch: Batch, kind: RecordKind): UsageEvent[] {
  if (kind === "open") return batch.opened;
  return kind === "close" ? batch.closed : batch.completed;
}

/** Stores a batch; doing so twice changes nothing. @throws what the store throws */
export async function storeBatch(
  store: UsageStore,
  batch: Pick<Batch, "closed" | "completed">,
  failpoint: (name: Failpoint) => void,
): Promise<void> {
  failpoint("before_commit");
  if (batch.closed.length > 0) await store.insertUsage(batch.closed);
  for (const event of batch.completed) {
    // No pending row: it was completed before, or the process that had it pending has not shipped
    // yet.
    if (!(await store.completeUsage(event))) await store.insertUsage([event]);
  }
  failpoint("after_commit");
}
