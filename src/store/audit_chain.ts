/**
 * The chain of the audit: each entry's hash covers the entry and the hash before it, so that an
 * entry that was altered, removed or put in between shows.
 *
 * Owns: the text that is hashed, and the check of a whole chain. Does not own: reading and writing
 * entries (`sql_audit.ts`).
 * Invariant: the hash covers every field as it is stored. Whoever can write to the database can
 * still make a whole new chain; against that the head is noted elsewhere (`audit verify`).
 */

import { createHash } from "node:crypto";

import type { AuditEntry, AuditProgress, AuditRow, AuditVerification, Store } from "./store.ts";

/** An entry as it is stored, without its hash. */
export interface AuditRecord extends Omit<AuditRow, "hash" | "details"> {
  /** JSON text. */
  readonly details: string;
}

/** The hash before the first entry. */
export const NO_HASH = "";

/** An entry in its place, as it is to be stored. */
export function auditRecord(
  entry: AuditEntry,
  place: { readonly sequence: number; readonly recorded_at: number; readonly node_id: string },
): AuditRecord {
  const { sequence, recorded_at, node_id } = place;
  return {
    sequence,
    recorded_at,
    node_id,
    actor: storable(entry.actor),
    action: storable(entry.action),
    subject: storable(entry.subject),
    outcome: entry.outcome,
    request_id: storable(entry.request_id),
    client_address: storable(entry.client_address),
    details: JSON.stringify(entry.details),
  };
}

/** The hash of an entry, in hex. */
export function auditHash(previousHash: string, record: AuditRecord): string {
  const fields = [
    previousHash,
    record.sequence,
    record.recorded_at,
    record.node_id,
    record.actor,
    record.action,
    record.subject,
    record.outcome,
    record.request_id,
    record.client_address,
    record.details,
  ];
  return createHash("sha256").update(JSON.stringify(fields)).digest("hex");
}

/** A check that has yet to begin. @param expected how many entries there must be */
export function beginning(expected: number): AuditProgress {
  return { entries: 0, head: null, broken: null, expected, isDone: false };
}

/** Checks a chain whose entries are handed to it in order of their sequence. */
export class AuditCheck {
  #progress: AuditProgress;

  /** @param progress where a former check of the same chain stopped */
  constructor(progress: AuditProgress) {
    this.#progress = progress;
  }

  get progress(): AuditProgress {
    return this.#progress;
  }

  get expected(): number {
    return this.#progress.expected;
  }

  /** The number of the last entry that was handed in; those that fit have no gaps. */
  get last(): number {
    return this.#progress.entries;
  }

  /** Once an entry does not fit, those after it are of no interest. */
  add(record: AuditRecord, hash: string): void {
    if (this.#progress.isDone) return;
    const broken = this.#fault(record, hash);
    if (broken !== null) this.#break(broken);
    else this.#progress = { ...this.#progress, entries: this.last + 1, head: hash };
  }

  /** What was found, where the next entry cannot be read at all. @param why a sentence */
  unreadable(why: string): AuditProgress {
    return this.#break({ sequence: this.last + 1, reason: why });
  }

  /**
   * What was found, once every entry was added.
   * @param stray the number of an entry outside the chain; null: one without a number
   */
  end(stray?: number | null): AuditProgress {
    if (this.last < this.expected) return this.#break(missing(this.last + 1, this.expected));
    if (stray !== undefined) return this.#break(putIn(stray));
    this.#progress = { ...this.#progress, isDone: true };
    return this.#progress;
  }

  #break(broken: AuditVerification["broken"]): AuditProgress {
    if (!this.#progress.isDone) this.#progress = { ...this.#progress, broken, isDone: true };
    return this.#progress;
  }

  #fault(record: AuditRecord, hash: string): AuditVerification["broken"] {
    const { sequence } = record;
    const next = this.last + 1;
    if (sequence > next && sequence <= this.expected) return missing(next, sequence - 1);
    if (sequence !== next || sequence > this.expected) return putIn(sequence);
    if (auditHash(this.#progress.head ?? NO_HASH, record) === hash) return null;
    return { sequence, reason: `Entry ${sequence} was altered: its hash does not fit` };
  }
}

/**
 * Checks the whole chain, up to the entry that is its last one at the beginning. It takes its time,
 * in short steps.
 */
export async function verifyAudit(store: Pick<Store, "checkAudit">): Promise<AuditVerification> {
  let progress = await store.checkAudit(null);
  while (!progress.isDone) progress = await store.checkAudit(progress);
  const { entries, head, broken } = progress;
  return { entries, head, broken };
}

function missing(from: number, to: number): AuditVerification["broken"] {
  const which = from === to ? `Entry ${from} is` : `Entries ${from} to ${to} are`;
  return { sequence: from, reason: `${which} missing` };
}

function putIn(sequence: number | null): AuditVerification["broken"] {
  const which = sequence === null ? "An entry without a number" : `Entry ${sequence}`;
  return { sequence, reason: `${which} was put in by something else than sluice` };
}

/** What reads back as written: PostgreSQL has no NUL in text, and UTF-8 no half characters. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\u{fffd}");
}
