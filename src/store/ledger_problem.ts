/**
 * What the ledger tells its operator, and the points at which a test may kill it.
 */

/** Closed set; `…_recovered` and `turns_interrupted` are told when a problem is over. */
export type LedgerProblemKind =
  /** The last record of a dead process was not whole. It was never acknowledged. */
  | "torn_tail"
  /** A record in the middle cannot be read; its bytes were set aside in `spool/damaged/`. */
  | "damaged"
  /** A file in a spool folder that this version does not know; it is left alone. */
  | "unknown_file"
  /** A segment cannot be read back. It stays where it is. */
  | "read_failed"
  | "write_failed"
  | "write_recovered"
  | "sync_failed"
  | "sync_recovered"
  /** `usage.spool_max` is reached: no new turn begins. */
  | "spool_full"
  /** A turn that ended while nothing could be written; it is kept in memory and written later. */
  | "turn_owed"
  /** As `turn_owed`, but there are too many to keep. */
  | "turn_lost"
  /** The spools of dead processes cannot be looked for. */
  | "claim_failed"
  | "ship_failed"
  | "ship_recovered"
  /** Turns that a dead process had begun and not ended. */
  | "turns_interrupted";

export interface LedgerProblem {
  readonly kind: LedgerProblemKind;
  readonly message: string;
}

export type LedgerReport = (problem: LedgerProblem) => void;

/** In the order in which a turn passes them. */
export const FAILPOINTS = [
  "before_open_write",
  "after_open_write",
  "before_close_write",
  "after_close_write",
  "mid_rotation",
  "before_commit",
  "after_commit",
  "mid_batches",
  "before_removal",
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
