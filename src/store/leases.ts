/**
 * What nodes ask of a store for their limits, and report to it.
 *
 * Owns: the shapes. Does not own: what is granted (`spend.ts`), what nodes make of it (`policy/`).
 * Invariant: amounts are whole numbers from 0, money in micro-dollars. A node says what it holds,
 * never what has changed since, so that an answer that is lost does no harm.
 */

/** What a limit counts. */
export type LimitQuantity =
  | "requests_per_minute"
  | "tokens_per_minute"
  | "concurrent_exchanges"
  | "concurrent_sessions"
  | "requests"
  | "cost_micros";

/** All that a node holds of one quantity of one subject. It replaces what the node said before. */
export interface Holding {
  /** `token:<jti>` or `project:<id>`. */
  readonly subject: string;
  readonly quantity: LimitQuantity;
  /** `minute:<number>` for a quantity per minute, else `now`. */
  readonly period: string;
  /** Leased, set aside, or used and not in the sums. */
  readonly held: number;
}

/** A bound on what is used in a period (`spend.period`), with what all nodes hold. */
interface LimitCap {
  readonly period: string;
  readonly limit: number;
}

/** A node asks for a portion on top of what it holds. */
export interface LeaseRequest extends Holding {
  /** More may be granted while there is plenty. */
  readonly wanted: number;
  /** Where less is left, it is of no use, and nothing is granted. */
  readonly least: number;
  /** All hold. */
  readonly caps: readonly LimitCap[];
}

export interface Lease {
  /** From 0. */
  readonly granted: number;
  /** What is left after this for everybody under the tightest cap, from 0. */
  readonly left: number;
  /** What would be left if nothing that nodes hold were used, from 0. */
  readonly unspent: number;
}

export interface LeaseReport extends Holding {
  /** Used for good, for the sum of all time, and in `held` no more. Only for `requests`. */
  readonly used: number;
}

/** What a node says once a second or so. */
export interface NodeReport {
  /**
   * From 1. One that may not have arrived is sent again with its number, the same `used` and
   * `uses`: these count once.
   */
  readonly number: number;
  /** One entry a subject and quantity. */
  readonly leases: readonly LeaseReport[];
  /** One entry a token. */
  readonly uses: readonly TokenUse[];
}

/** A token was used since the node last said so. */
export interface TokenUse {
  readonly tokenId: string;
  readonly requests: number;
  readonly cacheHits: number;
  readonly lastUsedAt: number;
}
