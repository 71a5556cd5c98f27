/**
 * One limit of one subject, as this node sees it: what it may still take of it without asking.
 *
 * Owns: the arithmetic of one (subject, quantity). Does not own: asking the store
 * (`lease_desk.ts`), or which limits an exchange is held to (`limiter.ts`).
 * Invariant: what the node holds is free, reserved, or used and not in the store's sums; that is
 * what the store is told. What is free may be negative: more was taken than is leased. The store is
 * told of that too, and it is forgiven once the store says that it is within the limit.
 */

import type { LimitName, Limits } from "../exchange.ts";
import type { Holding, Lease, LeaseReport, LeaseRequest, LimitQuantity } from "../store/leases.ts";

type Span = "minute" | "day" | "month" | "total" | "now";

/** One limit that is set on the quantity. */
export interface Cap {
  readonly name: LimitName;
  readonly span: Span;
  readonly limit: number;
}

/** What the store was told of an account, to be held against its answer. */
export interface Statement {
  readonly held: number;
  /** How much of it is beyond what was leased. */
  readonly debt: number;
  readonly minute: number;
}

/** What those who wait for a lease need. */
export interface Want {
  /** All of them together. */
  readonly total: number;
  /** The one that needs least. */
  readonly least: number;
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
/** What a few exchanges take is kept for a slow client, while many times as much is left. */
const KEPT_EXCHANGES = 4;
const KEPT_PART = 8;
const KEPT_MS = 15_000;
/** An account of which nothing is held is forgotten once it was not used for this long. */
const KEPT_IDLE_MS = 2_000;

export class Account {
  readonly subject: string;
  readonly quantity: LimitQuantity;
  readonly #isPerMinute: boolean;
  #caps: readonly Cap[];
  /** The lowest of the caps. */
  #limit = 0;
  /** The minute that a quantity per minute is about: minutes since the epoch; else 0. */
  #minute = 0;
  #free = 0;
  /** By what is not over yet. */
  #reserved = 0;
  /** Used, and not in the store's sums; of a quantity per minute in this minute. */
  #used = 0;
  /** How much of it the report says that is under way. */
  #reporting = 0;
  /** What the store believes that is held; NaN: that is not known. */
  #told = 0;
  /** Left for everybody when the store last answered; infinite while it has not been asked. */
  #left = Infinity;
  /** What was left then if nothing that is held were used. */
  #unspent = Infinity;
  #answeredMs = -Infinity;
  #lastGrant = 0;
  #lastAmount = 0;
  #usedMs = 0;
  /** The least that was free since the last tick, and in the time between the two before. */
  #lowNow = 0;
  #lowBefore = 0;

  constructor(subject: string, quantity: LimitQuantity, caps: readonly Cap[]) {
    this.subject = subject;
    this.quantity = quantity;
    this.#isPerMinute = quantity === "requests_per_minute" || quantity === "tokens_per_minute";
    this.#caps = caps;
    this.#limit = lowestOf(caps);
  }

  get caps(): readonly Cap[] {
    return this.#caps;
  }

  get limit(): number {
    return this.#limit;
  }

  get lastAmount(): number {
    return this.#lastAmount;
  }

  /** What is left of a quantity per minute, as far as is known; the limit while nothing is. */
  get remaining(): number {
    return Math.max(0, Math.min(this.#limit, this.#free + this.#left));
  }

  /** Whether more was used than the store knows, so that it might grant it to others. */
  get owes(): boolean {
    return this.#free < 0 && this.#held > this.#told;
  }

  get #held(): number {
    return Math.max(0, this.#free) + this.#reserved + this.#used;
  }

  /** Other limits hold from now on. What was leased under the former ones is given back. */
  setCaps(caps: readonly Cap[]): void {
    if (sameCaps(caps, this.#caps)) return;
    this.#caps = caps;
    this.#limit = lowestOf(caps);
    this.#forgetAnswer();
    this.giveBack();
  }

  /** Begins a new minute where one has begun. What is held of the one before counts no more. */
  roll(nowMs: number): void {
    if (!this.#isPerMinute) return;
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (minute === this.#minute) return;
    this.#minute = minute;
    this.#free = 0;
    this.#reserved = 0;
    this.#used = 0;
    this.#told = 0;
    this.#lowNow = 0;
    this.#lowBefore = 0;
    this.#forgetAnswer();
  }

  #forgetAnswer(): void {
    this.#left = Infinity;
    this.#unspent = Infinity;
    this.#answeredMs = -Infinity;
    this.#lastGrant = 0;
  }

  has(amount: number): boolean {
    return this.#free >= amount;
  }

  /** Whether the store would not grant what is missing, as far as it is known. */
  isRefused(amount: number, nowMs: number): boolean {
    const isKnown = nowMs - this.#answeredMs < KNOWN_MS;
    return isKnown ? this.isProbablyRefused(amount) : this.#isOver(amount);
  }

  /** As `isRefused`, where an old answer is better than none. */
  isProbablyRefused(amount: number): boolean {
    return this.#isOver(amount) || amount - this.#free > this.#left;
  }

  /** Whether it is too much together with what only this node uses. */
  #isOver(amount: number): boolean {
    return amount + this.#reserved + this.#used > this.#limit;
  }

  /** Whether what is missing is really used up, and not only held by what runs or other nodes. */
  isSpent(amount: number): boolean {
    // A request that runs is a request; what it costs is not known yet.
    const running = this.quantity === "requests" ? this.#reserved : 0;
    return amount > Math.min(this.#limit, this.#unspent) - this.#used - running;
  }

  /** Whether to ask for more before there is nothing. */
  get isLow(): boolean {
    return this.#free * 4 < this.#lastGrant && this.#left >= this.#lastGrant * PLENTY_GRANTS;
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
    if (!this.#isOf(minute)) return;
    this.#reserved -= amount;
    const used = this.#usedOf(amount, real ?? amount);
    this.#used += used;
    this.#free += amount - used;
    this.#lowNow = Math.min(this.#lowNow, this.#free);
  }

  #usedOf(amount: number, real: number): number {
    switch (this.quantity) {
      case "concurrent_exchanges":
      case "concurrent_sessions":
        return 0;
      case "requests":
      case "requests_per_minute":
        return amount;
      case "tokens_per_minute":
      case "cost_micros":
        return real;
    }
  }

  /** A reservation came to nothing. */
  release(amount: number, minute: number): void {
    if (!this.#isOf(minute)) return;
    this.#reserved -= amount;
    this.#free += amount;
  }

  #isOf(minute: number): boolean {
    return !this.#isPerMinute || minute === this.#minute;
  }

  /** Of costs: so much of what was used has reached the sums of the store. */
  stored(amount: number): void {
    // What was settled while there was no budget was never used of one.
    const held = Math.min(amount, this.#used);
    this.#used -= held;
    this.#unspent -= held;
  }

  /** What it holds at the moment. */
  statement(nowMs: number): Statement {
    this.roll(nowMs);
    return { held: this.#held, debt: Math.max(0, -this.#free), minute: this.#minute };
  }

  leaseRequest({ held }: Statement, { total, least }: Want, nowMs: number): LeaseRequest {
    const free = Math.max(0, this.#free);
    return {
      ...this.#holding(held),
      wanted: Math.max(0, total - free),
      least: Math.max(0, least - free),
      caps: this.#caps.map(({ span, limit }) => ({ period: periodOf(span, nowMs), limit })),
    };
  }

  /** The store's answer to a request with that statement. */
  credit({ held, debt, minute }: Statement, lease: Lease, nowMs: number): void {
    this.roll(nowMs);
    if (!this.#isOf(minute)) return;
    const { granted, left, unspent } = lease;
    this.#told = held + granted;
    this.#free += granted;
    // The debt is counted, and there is more left: it is within the limit.
    if (granted + left > 0) this.#free += debt;
    this.#left = left;
    this.#unspent = unspent;
    this.#answeredMs = nowMs;
    if (granted > 0) this.#lastGrant = granted;
  }

  /** The store may have answered, and may not. */
  doubt(): void {
    this.#told = NaN;
  }

  /** Whether there is something to tell the store. */
  get isDirty(): boolean {
    return this.#held !== this.#told || (this.quantity === "requests" && this.#used > 0);
  }

  /** What is used by now is what the next report says, until it has arrived. */
  beginReport(): void {
    if (this.quantity === "requests") this.#reporting = this.#used;
  }

  report({ held }: Statement): LeaseReport {
    return { ...this.#holding(held - this.#reporting), used: this.#reporting };
  }

  /** The report with that statement has arrived. */
  reported({ held, minute }: Statement): void {
    const used = this.#reporting;
    this.#reporting = 0;
    this.#used -= used;
    this.#unspent -= used;
    if (this.#isOf(minute)) this.#told = held - used;
  }

  #holding(held: number): Holding {
    const { subject, quantity } = this;
    const period = this.#isPerMinute ? `minute:${this.#minute}` : "now";
    return { subject, quantity, period, held };
  }

  /** Called once a second: gives back what was not needed in the last two, all but a little. */
  tick(nowMs: number): void {
    this.roll(nowMs);
    const idle = Math.min(this.#lowBefore, this.#lowNow) - this.#kept(nowMs);
    if (idle > 0) {
      this.#free -= idle;
      this.#left += idle;
      this.#lowNow -= idle;
      this.#lastGrant = this.#free;
    }
    this.#lowBefore = this.#lowNow;
    this.#lowNow = this.#free;
  }

  #kept(nowMs: number): number {
    const kept = this.#lastAmount * KEPT_EXCHANGES;
    const isKept = nowMs - this.#usedMs < KEPT_MS && this.#left >= kept * KEPT_PART;
    return isKept ? kept : 0;
  }

  /** Gives back all that is free. */
  giveBack(): void {
    if (this.#free <= 0) return;
    this.#free = 0;
    this.#lowNow = 0;
    this.#lowBefore = 0;
  }

  /** The store may have given others what was held: what runs still holds it, and nothing else. */
  lapse(): void {
    if (this.#isPerMinute) return;
    this.giveBack();
    this.doubt();
  }

  /** Whether it can be forgotten without anything being lost. */
  isIdle(nowMs: number): boolean {
    this.roll(nowMs);
    return this.#held === 0 && this.#told === 0 && nowMs - this.#usedMs > KEPT_IDLE_MS;
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
