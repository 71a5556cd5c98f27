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

import type { AuditEntry, AuditRow, AuditVerification } from "./store.ts";

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

/** Checks a chain whose entries are handed to it in order of their sequence. */
export class AuditCheck {
  readonly #expected: number;
  #entries = 0;
  #last = 0;
  #head: string | null = null;
  #broken: AuditVerification["broken"] = null;

  /** @param expected how many entries there must be */
  constructor(expected: number) {
    this.#expected = expected;
  }

  add(record: AuditRecord, hash: string): void {
    this.#entries += 1;
    this.#broken ??= this.#fault(record, hash);
    this.#last = record.sequence;
    this.#head = hash;
  }

  /** What was found, where the next entry cannot be read at all. @param why a sentence */
  unreadable(why: string): AuditVerification {
    const broken = { sequence: this.#last + 1, reason: why };
    return { entries: this.#entries, head: this.#head, broken: this.#broken ?? broken };
  }

  /** What was found, once every entry was added. */
  end(): AuditVerification {
    const isCut = this.#broken === null && this.#last < this.#expected;
    const broken = isCut ? missing(this.#last + 1, this.#expected) : this.#broken;
    return { entries: this.#entries, head: this.#head, broken };
  }

  #fault(record: AuditRecord, hash: string): AuditVerification["broken"] {
    const { sequence } = record;
    if (sequence > this.#last + 1) return missing(this.#last + 1, sequence - 1);
    if (sequence < 1 || sequence > this.#expected) {
      return { sequence, reason: `Entry ${sequence} was put in by something else than sluice` };
    }
    if (auditHash(this.#head ?? NO_HASH, record) === hash) return null;
    return { sequence, reason: `Entry ${sequence} was altered: its hash does not fit` };
  }
}

function missing(from: number, to: number): AuditVerification["broken"] {
  const which = from === to ? `Entry ${from} is` : `Entries ${from} to ${to} are`;
  return { sequence: from, reason: `${which} missing` };
}

/** What reads back as written: PostgreSQL has no NUL in text, and UTF-8 no half characters. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\u{fffd}");
}
