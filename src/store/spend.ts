/**
 * Sums that limits are held against: which ones a usage event adds to, how long each is needed, and
 * how large a portion a node gets of what is left.
 *
 * Owns: the names of periods and the arithmetic. Does not own: where the sums are (`sql_spend.ts`).
 * Invariant: of what is left, no more is granted.
 */

import type { UsageEvent } from "../exchange.ts";
import type { Lease, LeaseRequest, LimitQuantity } from "./leases.ts";

const DAY_MS = 86_400_000;
/** Turns may be recorded days late, when the database was away. */
const DAY_KEPT_MS = 7 * DAY_MS;
/** One grant takes at most this part of what is left, so that something is left for other nodes. */
const GRANT_PART = 8;

/** A change of one sum. */
export interface SpendChange {
  readonly subject: string;
  readonly quantity: LimitQuantity;
  readonly period: string;
  readonly amount: number;
}

type Billed = Pick<UsageEvent, "project_id" | "token_id" | "recorded_at" | "settled_micros">;

/** Whose sums an event adds to: `project:<id>` and `token:<jti>`. */
export function subjectsOf(event: Pick<Billed, "project_id" | "token_id">): string[] {
  const project = `project:${event.project_id}`;
  return event.token_id === null ? [project] : [project, `token:${event.token_id}`];
}

/**
 * What events change of the sums of costs.
 * @param sign -1 takes them out again
 */
export function costChanges(events: readonly Billed[], sign: 1 | -1 = 1): SpendChange[] {
  // By subject and day first: of those a batch has few.
  const ofDay = new Map<string, { subject: string; timeMs: number; amount: number }>();
  for (const event of events) {
    const timeMs = event.recorded_at;
    // Rows of a version that knew no budgets lack the field.
    const cost = sign * (event.settled_micros ?? 0);
    if (cost === 0) continue;
    for (const subject of subjectsOf(event)) {
      const key = `${Math.floor(timeMs / DAY_MS)} ${subject}`;
      const amount = (ofDay.get(key)?.amount ?? 0) + cost;
      ofDay.set(key, { subject, timeMs, amount });
    }
  }
  return [...ofDay.values()].flatMap(({ subject, timeMs, amount }) =>
    budgetPeriods(timeMs).map((period): SpendChange => ({
      subject,
      quantity: "cost_micros",
      period,
      amount,
    })),
  );
}

/**
 * One change a sum, without those that come to nothing, in the order in which they are written:
 * from the last key to the first, so that the sums of projects, which most nodes share, are locked
 * after those of tokens, and for the shortest time.
 */
export function summed(changes: readonly SpendChange[]): SpendChange[] {
  const sums = new Map<string, SpendChange>();
  for (const change of changes) {
    const key = JSON.stringify([change.subject, change.quantity, change.period]);
    const amount = (sums.get(key)?.amount ?? 0) + change.amount;
    sums.set(key, { ...change, amount });
  }
  return [...sums]
    .toSorted(([left], [right]) => (left < right ? 1 : -1))
    .flatMap(([, change]) => (change.amount === 0 ? [] : [change]));
}

/** The day, the month and all time: the periods of a budget that a time falls into. */
function budgetPeriods(timeMs: number): string[] {
  const date = new Date(timeMs).toISOString();
  return [`day:${date.slice(0, 10)}`, `month:${date.slice(0, 7)}`, "total"];
}

/** When nothing is held against the sum of a period any more, in ms; null: never. */
export function periodExpiryMs(period: string): number | null {
  const [kind, name = ""] = period.split(":");
  if (kind === "day") return Date.parse(name) + DAY_MS + DAY_KEPT_MS;
  // The longest month has 31 days.
  return kind === "month" ? Date.parse(name) + 31 * DAY_MS + DAY_KEPT_MS : null;
}

/**
 * What a request is granted, and what is left then.
 * @param usedIn the sum of a period
 * @param heldByOthers what other nodes hold in its period
 */
export function grantOf(
  { caps, held, wanted, least }: LeaseRequest,
  usedIn: (period: string) => number,
  heldByOthers: number,
): Lease {
  // Without a cap the request would have no end: whoever asks names at least one.
  const unused = caps.map(({ period, limit }) => limit - usedIn(period));
  const unspent = Math.min(...unused, Number.MAX_SAFE_INTEGER);
  const left = Math.max(0, unspent - heldByOthers - held);
  const portion = Math.max(wanted, Math.floor(left / GRANT_PART));
  const granted = left < least ? 0 : Math.min(left, portion);
  return { granted, left: left - granted, unspent: Math.max(0, unspent) };
}
