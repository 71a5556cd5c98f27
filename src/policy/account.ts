/**
 * One limit of one subject, as this node sees it: what it may still take of it without asking.
 *
 * Owns: the arithmetic of one (subject, quantity). Does not own: asking the store
 * (`lease_desk.ts`), or which limits an exchange is held to (`limiter.ts`).
 * Invariant: what was granted is at any time free, reserved, used or given back. What is free may
 * be negative: more was taken than is leased, and the next lease pays for it first.
 */

import type { LimitName, Limits } from "../exchange.ts";
import type { Lease, LeaseReport, LeaseRequest, LimitQuantity } from "../store/store.ts";

type Span = "minute" | "day" | "month" | "total" | "now";

/** One limit that is set on the quantity. */
export interface Cap {
  readonly name: LimitName;
  readonly span: Span;
  readonly limit: number;
}

/** Which limits bound a quantity, and over what time. */
const CAPS: Readonly<Record<LimitQuantity, readonly (readonly [LimitName, Span])[]>> = {
  requests: [["max_requests", "total"]],
  cost_micros: [
    ["budget_micros_per_day", "day"],
    ["budget_micros_per_month", "month"],
    ["budget_micros_total", "total"],
  ],
  concurrent_exchanges: [["concurrent_exchanges", "now"]],
  concurrent_sessions: [["concurrent_sessions", "now"]],
  requests_per_minute: [["requests_per_minute", "minute"]],
  tokens_per_minute: [["tokens_per_minute", "minute"]],
};

/** The limits on a quantity, shortest span first; none where it is not limited. */
export function capsOf(quantity: LimitQuantity, limits: Limits): Cap[] {
  return CAPS[quantity].flatMap(([name, span]) => {
    const limit = limits[name];
    return limit === undefined ? [] : [{ name, span, limit }];
  });
}

export const MINUTE_MS = 60_000;
/** What the store said is left is believed this long, so that a flood is refused without asking. */
const KNOWN_MS = 500;
/** More is fetched in advance only while this many grants as large as the last one are left. */
const PLENTY_GRANTS = 4;
/** An account of which nothing is held is forgotten once it was not used for this long. */
const KEPT_IDLE_MS = 2_000;

export class Account {
  readonly subject: string;
  readonly quantity: LimitQuantity;
  readonly isPerMinute: boolean;
  #caps: readonly Cap[];
  /** The lowest of the caps. */
  #limit = 0;
  /** The minute that a quantity per minute is about: minutes since the epoch. */
  #minute = 0;
  #free = 0;
  /** By what is not over yet. */
  #reserved = 0;
  /** Left for everybody when the store last answered; infinite while it has not been asked. */
  #left = Infinity;
  #answeredMs = -Infinity;
  #lastGrant = 0;
  #lastAmount = 0;
  #usedMs = 0;
  /** The least that was free since the last tick, and in the time between the two before. */
  #lowNow = 0;
  #lowBefore = 0;
  /** To be reported. */
  #used = 0;
  #released = 0;
  /** The store has forgotten the lease: nothing of it can be given back. */
  #isVoid = false;

  constructor(subject: string, quantity: LimitQuantity, caps: readonly Cap[]) {
    this.subject = subject;
    this.quantity = quantity;
    this.isPerMinute = quantity === "requests_per_minute" || quantity === "tokens_per_minute";
    this.#caps = caps;
    this.#limit = lowestOf(caps);
  }

  get caps(): readonly Cap[] {
    return this.#caps;
  }

  get limit(): number {
    return this.#limit;
  }

  /** Whether more was used than is leased, and there is something to pay with. */
  get owes(): boolean {
    return this.#free < 0 && this.#left > 0;
  }

  get minute(): number {
    return this.#minute;
  }

  /** What is left of a quantity per minute, as far as is known; the limit while nothing is. */
  get remaining(): number {
    return Math.max(0, Math.min(this.#limit, this.#free + this.#left));
  }

  /** Other limits hold from now on. What was leased under the former ones is given back. */
  setCaps(caps: readonly Cap[]): void {
    if (sameCaps(caps, this.#caps)) return;
    this.#caps = caps;
    this.#limit = lowestOf(caps);
    this.#left = Infinity;
    this.#lastGrant = 0;
    // Of a quantity per minute the sum in the store has it already.
    if (this.isPerMinute) this.#free = Math.min(0, this.#free);
    else this.giveBack();
  }

  /** Begins a new minute where one has begun. */
  roll(nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (!this.isPerMinute || minute === this.#minute) return;
    this.#minute = minute;
    this.#free = 0;
    this.#left = Infinity;
    this.#lastGrant = 0;
  }

  has(amount: number): boolean {
    return this.#free >= amount;
  }

  /** Whether the store would not grant what is missing, as far as it is known. */
  isRefused(amount: number, nowMs: number): boolean {
    if (amount > this.#limit) return true;
    // Within a minute what is left only shrinks.
    const isKnown = this.isPerMinute || nowMs - this.#answeredMs < KNOWN_MS;
    return isKnown && this.#isMoreThanLeft(amount);
  }

  /** As `isRefused`, where an old answer is better than none. */
  isProbablyRefused(amount: number): boolean {
    return amount > this.#limit || this.#isMoreThanLeft(amount);
  }

  #isMoreThanLeft(amount: number): boolean {
    return amount - this.#free > this.#left;
  }

  /** Whether to ask for more before there is nothing. */
  get isLow(): boolean {
    return this.#free * 4 < this.#lastGrant && this.#left >= this.#lastGrant * PLENTY_GRANTS;
  }

  get lastAmount(): number {
    return this.#lastAmount;
  }

  /** Takes an amount for a reservation, even where it is more than there is. */
  take(amount: number, nowMs: number): void {
    this.#free -= amount;
    this.#reserved += amount;
    this.#lowNow = Math.min(this.#lowNow, this.#free);
    this.#lastAmount = amount;
    this.#usedMs = nowMs;
  }

  /**
   * A reservation is over.
   * @param amount that was reserved in that `minute`
   * @param real what it came to; null: all of the amount
   */
  settle(amount: number, minute: number, real: number | null): void {
    this.#reserved -= amount;
    switch (this.quantity) {
      case "concurrent_exchanges":
      case "concurrent_sessions":
        this.#free += amount;
        return;
      case "requests":
        this.#used += amount;
        // What was never leased is not outstanding either.
        this.#released -= this.#forgive();
        return;
      case "requests_per_minute":
        return;
      case "tokens_per_minute":
        if (minute === this.#minute) this.#free += amount - (real ?? amount);
        return;
      case "cost_micros":
        // The usage row takes it from what is outstanding, as far as there is any.
        this.#free += amount - (real ?? amount);
        this.#forgive();
        this.#lowNow = Math.min(this.#lowNow, this.#free);
    }
  }

  /** Only what is still reserved can be paid for later: the rest is used, and in the sums. */
  #forgive(): number {
    const unpaid = Math.max(0, -this.#reserved - this.#free);
    this.#free += unpaid;
    return unpaid;
  }

  /** A reservation came to nothing. */
  release(amount: number, minute: number): void {
    this.#reserved -= amount;
    if (!this.isPerMinute || minute === this.#minute) this.#free += amount;
  }

  /** @param wanted by all who wait, what is free included */
  leaseRequest(wanted: number, nowMs: number): LeaseRequest {
    this.roll(nowMs);
    return {
      subject: this.subject,
      quantity: this.quantity,
      wanted: Math.max(1, wanted - this.#free),
      caps: this.#caps.map(({ span, limit }) => ({ period: periodOf(span, nowMs), limit })),
    };
  }

  /** @param minute in which it was asked for */
  credit({ granted, left }: Lease, minute: number, nowMs: number): void {
    if (this.#isVoid) {
      // Granted after the node was forgotten: the store has it again.
      if (!this.isPerMinute) this.#released += granted;
      return;
    }
    this.roll(nowMs);
    if (this.isPerMinute && minute !== this.#minute) return;
    this.#free += granted;
    this.#left = left;
    this.#answeredMs = nowMs;
    if (granted > 0) this.#lastGrant = granted;
  }

  /** Called once a second: gives back what was not needed in the last two. */
  tick(): void {
    if (this.isPerMinute || this.#isVoid) return;
    const idle = Math.max(0, Math.min(this.#lowBefore, this.#lowNow));
    if (idle > 0) {
      this.#free -= idle;
      this.#released += idle;
      this.#lastGrant = this.#free;
    }
    this.#lowBefore = this.#lowNow - idle;
    this.#lowNow = this.#free;
  }

  /** Gives back all that is free. */
  giveBack(): void {
    if (this.isPerMinute || this.#isVoid || this.#free <= 0) return;
    this.#released += this.#free;
    this.#free = 0;
    this.#lowNow = 0;
    this.#lowBefore = 0;
  }

  /** The store has forgotten what this node leased. */
  void(): void {
    this.#isVoid = true;
    this.#free = 0;
    this.#released = 0;
  }

  /** Whether the store believes that more is held than is. */
  get returns(): boolean {
    return this.#released > 0;
  }

  /** What is to be reported, and forgets it; null: nothing. */
  takeReport(): LeaseReport | null {
    const { subject, quantity } = this;
    const used = this.#used;
    const released = this.#released;
    if (used === 0 && released === 0) return null;
    this.#used = 0;
    this.#released = 0;
    return { subject, quantity, used, released };
  }

  /** The report did not arrive. */
  putBack({ used, released }: LeaseReport): void {
    this.#used += used;
    if (!this.#isVoid) this.#released += released;
  }

  /** Whether it can be forgotten without anything being lost. */
  isIdle(nowMs: number): boolean {
    if (this.#reserved > 0 || this.#used !== 0 || this.#released !== 0) return false;
    if (this.isPerMinute) return Math.floor(nowMs / MINUTE_MS) !== this.#minute;
    return (this.#isVoid || this.#free === 0) && nowMs - this.#usedMs > KEPT_IDLE_MS;
  }
}

function lowestOf(caps: readonly Cap[]): number {
  return Math.min(...caps.map(({ limit }) => limit));
}

function sameCaps(left: readonly Cap[], right: readonly Cap[]): boolean {
  return (
    left.length === right.length &&
    left.every(({ name, limit }, at) => right[at]?.name === name && right[at].limit === limit)
  );
}

/** The name of the period that a time falls into, as the store has it. */
function periodOf(span: Span, timeMs: number): string {
  if (span === "minute") return `minute:${Math.floor(timeMs / MINUTE_MS)}`;
  const date = new Date(timeMs).toISOString();
  if (span === "day") return `day:${date.slice(0, 10)}`;
  return span === "month" ? `month:${date.slice(0, 7)}` : span;
}
