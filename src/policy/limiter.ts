/**
 * Holds tokens and projects to their limits: an exchange takes what it may use before it begins,
 * and gives back what it did not use when it ends.
 *
 * Owns: which limits an exchange is held to, and all or nothing over them. Does not own: what it
 * may use (`meter/price.ts`), the arithmetic of one limit (`account.ts`), the store
 * (`lease_desk.ts`).
 * Invariant: a refusal takes nothing. What is leased is spent without asking anybody, so that an
 * admission costs a few additions; nodes together never lease more than a limit.
 */

import {
  LIMIT_NAMES,
  type Limits,
  type Reservation,
  type SubjectLimits,
  type UsageEvent,
} from "../exchange.ts";
import { GatewayError } from "../errors.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import type { LimitQuantity } from "../store/leases.ts";
import { subjectsOf } from "../store/spend.ts";
import { Account, capsOf, MINUTE_MS } from "./account.ts";
import { LeaseDesk, type LeaseSource } from "./lease_desk.ts";
import { refusalOf } from "./limit_refusal.ts";

/** What something may use. A turn of a WebSocket is an exchange; a session only takes its place. */
export interface Ask {
  readonly kind: "exchange" | "session";
  /** Whole numbers; 0: no limit of tokens or budget is about it. */
  readonly tokens: number;
  readonly costMicros: number;
}

/** One was let through although its limits could not be checked. */
export interface LimitEvent {
  readonly event: "limits_unenforced";
}

/** A limit per minute, for headers. */
export interface Rate {
  readonly limit: number;
  readonly remaining: number;
  readonly resetMs: number;
}

export interface Rates {
  readonly requests: Rate | null;
  readonly tokens: Rate | null;
}

interface LimiterOptions {
  readonly nodeId: string;
  readonly leases: LeaseSource;
  /** Its wall clock names the minutes, days and months: nodes must agree on it. */
  readonly clock: Clock;
  readonly onStoreDown: "allow" | "deny";
  readonly report: (event: LimitEvent) => void;
}

const REPORT_INTERVAL_MS = 1_000;
/** Others may take what was leased for a waiting one. It asks again, but not for ever. */
const ROUNDS_MAX = 8;

/** Refusals that waiting does not mend come first, so that a caller hears of them. */
const OF_EXCHANGES: readonly LimitQuantity[] = [
  "requests",
  "cost_micros",
  "concurrent_exchanges",
  "requests_per_minute",
  "tokens_per_minute",
];
const OF_SESSIONS: readonly LimitQuantity[] = ["concurrent_sessions"];

/** A row of the ledger, as far as budgets are about it. */
type StoredRow = Pick<UsageEvent, "node_id" | "project_id" | "token_id" | "settled_micros">;

/** What something takes of an account. */
interface Share {
  readonly account: Account;
  readonly amount: number;
}

/** The accounts of a token or project, by what is held to them. */
interface Subject {
  limits: Limits;
  exchange: readonly Account[];
  session: readonly Account[];
}

export class Limiter {
  readonly #options: LimiterOptions;
  readonly #desk: LeaseDesk;
  readonly #timer: Timer;
  readonly #subjects = new Map<string, Subject>();
  /** Accounts whose limit was lifted, until they are settled. */
  readonly #leaving = new Set<Account>();

  constructor(options: LimiterOptions) {
    this.#options = options;
    this.#desk = new LeaseDesk({ ...options, accounts: () => this.#accounts() });
    this.#timer = options.clock.every(REPORT_INTERVAL_MS, () => this.#tick());
  }

  /**
   * Sets aside what is asked for, of every limit of every subject, or nothing. A promise is
   * returned only where a lease has to be waited for.
   * @throws GatewayError `rate_limited`, `too_many_sessions`, `quota_exhausted`,
   *   `budget_exhausted` or `limits_unavailable`; the promise rejects with it
   */
  reserve(subjects: readonly SubjectLimits[], ask: Ask): MaybePromise<Reservation> {
    if (subjects.length === 0) return unlimited(ask.costMicros);
    const nowMs = this.#options.clock.nowMs();
    const shares = this.#sharesOf(subjects, ask, nowMs);
    if (shares.length === 0) return unlimited(ask.costMicros);
    const isKnown = this.#desk.isTrusted;
    if (isKnown && shares.every(isThere)) return this.#take(shares, ask, nowMs);
    refuseKnown(shares, nowMs);
    if (!isKnown || this.#desk.isDown) return this.#takeUnchecked(shares, ask, nowMs);
    return this.#reserveLater(subjects, ask);
  }

  /**
   * For what cannot be stopped any more: takes all that is asked for, beyond the limits too.
   * @returns also what a `reserve` would have been refused with, as far as is known here
   */
  charge(
    subjects: readonly SubjectLimits[],
    ask: Ask,
  ): { reservation: Reservation; refusal: GatewayError | null } {
    const nowMs = this.#options.clock.nowMs();
    const shares = this.#sharesOf(subjects, ask, nowMs);
    if (shares.length === 0) return { reservation: unlimited(ask.costMicros), refusal: null };
    const short = shares.filter((share) => !isThere(share));
    const refusing = short.find(({ account, amount }) => account.isProbablyRefused(amount));
    const refusal =
      refusing === undefined ? null : refusalOf(refusing.account, refusing.amount, nowMs);
    const isKnown = this.#desk.isTrusted && (short.length === 0 || !this.#desk.isDown);
    const reservation = this.#take(shares, ask, nowMs);
    // So that more is known of them when the next one comes.
    for (const { account } of short) this.#desk.ask(account, 0);
    return { reservation, refusal: refusal ?? (isKnown ? null : this.#unchecked()) };
  }

  /** Rows of the ledger have reached the store, and its sums have what they cost. */
  stored(rows: readonly StoredRow[]): void {
    for (const row of rows) {
      const costMicros = row.settled_micros ?? 0;
      if (row.node_id !== this.#options.nodeId || costMicros === 0) continue;
      for (const subject of subjectsOf(row)) {
        this.#known(subject, "cost_micros")?.stored(costMicros);
      }
    }
  }

  /** What is left this minute of the tightest limit; null: there is none. */
  rates(subjects: readonly SubjectLimits[]): Rates {
    return {
      requests: this.#rateOf(subjects, "requests_per_minute"),
      tokens: this.#rateOf(subjects, "tokens_per_minute"),
    };
  }

  /** Counts a use of a token; the store hears of it within a second or so. */
  noteUse(tokenId: string, { cacheHit }: { readonly cacheHit: boolean }): void {
    this.#desk.noteUse(tokenId, cacheHit);
  }

  /**
   * Gives everything back and tells the store that this node is gone.
   * @throws Error when the store does not hear of it: it finds out by itself after 30 s, and does
   *   not learn of requests and uses of tokens since the last report
   */
  async stop(): Promise<void> {
    this.#timer.cancel();
    for (const account of this.#accounts()) account.giveBack();
    await this.#desk.close();
  }

  async #reserveLater(subjects: readonly SubjectLimits[], ask: Ask): Promise<Reservation> {
    for (let round = 1; ; round++) {
      let nowMs = this.#options.clock.nowMs();
      for (const share of this.#sharesOf(subjects, ask, nowMs)) {
        if (!isThere(share)) this.#desk.ask(share.account, share.amount);
      }
      const answered = await this.#desk.answer();
      // Limits and the minute may be others by now.
      nowMs = this.#options.clock.nowMs();
      const shares = this.#sharesOf(subjects, ask, nowMs);
      const short = shares.find((share) => !isThere(share));
      if (short === undefined) return this.#take(shares, ask, nowMs);
      refuseKnown(shares, nowMs);
      if (!answered) return this.#takeUnchecked(shares, ask, nowMs);
      if (round === ROUNDS_MAX) throw refusalOf(short.account, short.amount, nowMs);
    }
  }

  #take(shares: readonly Share[], { costMicros }: Ask, nowMs: number): Reservation {
    for (const { account, amount } of shares) {
      account.take(amount, nowMs);
      if (account.isLow) this.#desk.prefetch(account);
    }
    return new Held(this.#desk, shares, costMicros, Math.floor(nowMs / MINUTE_MS));
  }

  /** @throws GatewayError `limits_unavailable` where that is how it is configured */
  #takeUnchecked(shares: readonly Share[], ask: Ask, nowMs: number): Reservation {
    const refusal = this.#unchecked();
    if (refusal !== null) throw refusal;
    return this.#take(shares, ask, nowMs);
  }

  #unchecked(): GatewayError | null {
    if (this.#options.onStoreDown === "deny") return new GatewayError("limits_unavailable");
    this.#options.report({ event: "limits_unenforced" });
    return null;
  }

  /** Of the accounts that have a say, in the minute that it is. */
  #sharesOf(subjects: readonly SubjectLimits[], ask: Ask, nowMs: number): Share[] {
    const shares: Share[] = [];
    for (const { subject, limits } of subjects) {
      for (const account of this.#subject(subject, limits)[ask.kind]) {
        const amount = amountOf(account, ask);
        if (amount === 0) continue;
        account.roll(nowMs);
        shares.push({ account, amount });
      }
    }
    return shares;
  }

  #subject(name: string, limits: Limits): Subject {
    const known = this.#subjects.get(name);
    if (known !== undefined) {
      if (!sameLimits(known.limits, limits)) this.#change(name, known, limits);
      return known;
    }
    // Nothing was held until now: the store cannot have forgotten it.
    if (this.#subjects.size === 0 && this.#leaving.size === 0) this.#desk.rest();
    const subject = { limits: {}, exchange: [], session: [] };
    this.#change(name, subject, limits);
    this.#subjects.set(name, subject);
    return subject;
  }

  #change(name: string, subject: Subject, limits: Limits): void {
    const former = new Map(
      [...subject.exchange, ...subject.session].map((account) => [account.quantity, account]),
    );
    const accountsOf = (quantities: readonly LimitQuantity[]): Account[] =>
      quantities.flatMap((quantity) => {
        const caps = capsOf(quantity, limits);
        if (caps.length === 0) return [];
        const known = former.get(quantity) ?? this.#known(name, quantity);
        const account = known ?? new Account(name, quantity, caps);
        former.delete(quantity);
        this.#leaving.delete(account);
        account.setCaps(caps);
        return [account];
      });
    subject.limits = limits;
    subject.exchange = accountsOf(OF_EXCHANGES);
    subject.session = accountsOf(OF_SESSIONS);
    for (const account of former.values()) this.#leaving.add(account);
  }

  #rateOf(subjects: readonly SubjectLimits[], quantity: LimitQuantity): Rate | null {
    const nowMs = this.#options.clock.nowMs();
    let tightest: Account | null = null;
    for (const { subject, limits } of subjects) {
      const account = this.#subject(subject, limits).exchange.find(
        (one) => one.quantity === quantity,
      );
      if (account === undefined) continue;
      account.roll(nowMs);
      if (tightest === null || account.remaining < tightest.remaining) tightest = account;
    }
    if (tightest === null) return null;
    const { limit, remaining } = tightest;
    return { limit, remaining, resetMs: MINUTE_MS - (nowMs % MINUTE_MS) };
  }

  /** The one account of this quantity: what it holds must not be told twice. */
  #known(name: string, quantity: LimitQuantity): Account | undefined {
    const subject = this.#subjects.get(name);
    for (const accounts of [subject?.exchange, subject?.session, this.#leaving]) {
      for (const account of accounts ?? []) {
        if (account.subject === name && account.quantity === quantity) return account;
      }
    }
    return undefined;
  }

  *#accounts(): Generator<Account> {
    for (const { exchange, session } of this.#subjects.values()) {
      yield* exchange;
      yield* session;
    }
    yield* this.#leaving;
  }

  #tick(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#forgetIdle(nowMs);
    for (const account of this.#accounts()) account.tick(nowMs);
    for (const account of this.#leaving) account.giveBack();
    const holdsNothing = this.#subjects.size === 0 && this.#leaving.size === 0;
    if (!holdsNothing || !this.#desk.rest()) this.#desk.report();
  }

  #forgetIdle(nowMs: number): void {
    const isIdle = (account: Account): boolean =>
      account.isIdle(nowMs) && !this.#desk.isAsking(account);
    for (const [name, { exchange, session }] of this.#subjects) {
      if (exchange.every(isIdle) && session.every(isIdle)) this.#subjects.delete(name);
    }
    for (const account of this.#leaving) {
      if (isIdle(account)) this.#leaving.delete(account);
    }
  }
}

/** A reservation that holds parts of accounts. */
class Held implements Reservation {
  readonly costMicros: number;
  readonly #desk: LeaseDesk;
  readonly #shares: readonly Share[];
  readonly #minute: number;
  #isOver = false;

  constructor(desk: LeaseDesk, shares: readonly Share[], costMicros: number, minute: number) {
    this.costMicros = costMicros;
    this.#desk = desk;
    this.#shares = shares;
    this.#minute = minute;
  }

  settle(tokens: number | null, costMicros: number | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const { account, amount } of this.#shares) {
      const real = account.quantity === "tokens_per_minute" ? tokens : costMicros;
      account.settle(amount, this.#minute, real);
      // It came to more than is leased: others must not be granted that.
      if (account.owes) this.#desk.ask(account, 0);
    }
  }

  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const { account, amount } of this.#shares) account.release(amount, this.#minute);
  }
}

/** For whom nothing is limited. */
function unlimited(costMicros: number): Reservation {
  return { costMicros, settle: doNothing, release: doNothing };
}

function doNothing(): void {}

/** @throws GatewayError where the store would refuse it, as far as is known */
function refuseKnown(shares: readonly Share[], nowMs: number): void {
  for (const share of shares) {
    const { account, amount } = share;
    if (!isThere(share) && account.isRefused(amount, nowMs)) {
      throw refusalOf(account, amount, nowMs);
    }
  }
}

function isThere({ account, amount }: Share): boolean {
  return account.has(amount);
}

/**
 * How much it takes of an account. What tokens it may take is a guess, and must not keep one from
 * a minute in which there is nothing else.
 */
function amountOf({ quantity, limit }: Account, { tokens, costMicros }: Ask): number {
  if (quantity === "tokens_per_minute") return Math.min(tokens, Math.max(1, limit));
  return quantity === "cost_micros" ? costMicros : 1;
}

function sameLimits(left: Limits, right: Limits): boolean {
  return left === right || LIMIT_NAMES.every((name) => left[name] === right[name]);
}
