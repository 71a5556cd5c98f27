/**
 * Refusals of traffic for the audit, summed so that a flood of them is a few rows.
 *
 * Owns: which refusals are audited, and their sums per subject, reason and minute.
 * Does not own: writing them, nor refusals of the management API, which are audited one by one.
 * Invariant: memory is bounded; beyond that subjects are summed together, and no count is lost.
 */

import type { ErrorCode } from "../errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AuditEntry } from "../store/store.ts";

const AUDITED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "token_revoked",
  "project_inactive",
  "origin_not_allowed",
  "tier_blocked",
  "budget_exhausted",
  "quota_exhausted",
  "model_not_allowed",
  "endpoint_not_allowed",
]);

const SUMS_MAX = 10_000;
const MINUTE_MS = 60_000;

interface Sum {
  readonly subject: string;
  readonly reason: string;
  /** Start of the minute, in RFC 3339. */
  readonly minute: string;
  count: number;
}

export class RefusalTally {
  readonly #clock: Clock;
  #sums = new Map<string, Sum>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Counts a refusal, where its code is one that is audited.
   * @param subject `token:<jti>` or `project:<id>`
   */
  note(code: ErrorCode, subject: string): void {
    if (AUDITED.has(code)) this.#add(subject, code, this.#minute(), 1);
  }

  /**
   * Hands out the sums, and forgets them.
   * @param scope `finished` leaves out the minute that is not over, so that it becomes one row
   */
  take(scope: "finished" | "all"): AuditEntry[] {
    const sums = this.#sums;
    const now = this.#minute();
    this.#sums = new Map();
    const entries: AuditEntry[] = [];
    for (const [key, sum] of sums) {
      if (scope === "finished" && sum.minute === now) this.#sums.set(key, sum);
      else entries.push(entryOf(sum));
    }
    return entries;
  }

  /** Takes entries back that could not be written. */
  putBack(entries: readonly AuditEntry[]): void {
    for (const { subject, details } of entries) {
      this.#add(
        subject,
        String(details["reason"]),
        String(details["minute"]),
        Number(details["count"]),
      );
    }
  }

  #add(subject: string, reason: string, minute: string, count: number): void {
    const key = `${minute} ${reason} ${subject}`;
    const sum = this.#sums.get(key) ?? this.#room(key, { subject, reason, minute, count: 0 });
    sum.count += count;
  }

  /** The sum itself while there is room, else that of all others with its reason. */
  #room(key: string, sum: Sum): Sum {
    const isFull = this.#sums.size >= SUMS_MAX;
    const place = isFull ? `others ${sum.reason}` : key;
    const known = this.#sums.get(place) ?? (isFull ? { ...sum, subject: "" } : sum);
    this.#sums.set(place, known);
    return known;
  }

  #minute(): string {
    const startMs = Math.floor(this.#clock.nowMs() / MINUTE_MS) * MINUTE_MS;
    return new Date(startMs).toISOString().replace(".000Z", "Z");
  }
}

function entryOf({ subject, reason, minute, count }: Sum): AuditEntry {
  return {
    actor: "gateway",
    action: "traffic.refuse",
    subject,
    outcome: "refused",
    request_id: "",
    client_address: "",
    details: { reason, count, minute },
  };
}
