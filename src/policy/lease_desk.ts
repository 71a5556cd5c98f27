/**
 * Between the accounts of this node and the store: asks for leases, reports what is held.
 *
 * Owns: when the store is asked, what is asked for together, and whether it is there.
 * Does not own: amounts (`account.ts`), nor what happens to exchanges without an answer
 * (`limiter.ts`).
 * Invariant: one call is under way at a time, so that the store hears what accounts hold in order;
 * nobody waits for one longer than 2 s; what may not have arrived is said again.
 */

import type { Clock } from "../runtime/clock.ts";
import type { Lease, LeaseRequest, TokenUse } from "../store/leases.ts";
import type { Store } from "../store/store.ts";
import type { Account, Statement, Want } from "./account.ts";

/** Where leases come from. */
export type LeaseSource = Pick<Store, "lease" | "reportLeases" | "removeNode">;

interface DeskOptions {
  readonly nodeId: string;
  readonly leases: LeaseSource;
  readonly clock: Clock;
  /** All of this node's, one a subject and quantity. */
  accounts(): Iterable<Account>;
}

/** What a report says besides what is held; said again until it has arrived. */
interface Report {
  readonly number: number;
  readonly accounts: readonly Account[];
  readonly uses: readonly TokenUse[];
}

const PATIENCE_MS = 2_000;
/** The store forgets a node after 30 s. A node has to know it sooner than the others. */
const TRUSTED_MS = 25_000;
/** Accounts or tokens in one call, so that one after a long outage is not too much for it. */
const BATCH_MAX = 500;
/** Tokens whose use is counted until the store takes the counts; those of others are not. */
const TOKENS_MAX = 100_000;

export class LeaseDesk {
  readonly #options: DeskOptions;
  /** What is wanted of each account with the next call. */
  readonly #wanted = new Map<Account, Want>();
  /** Of which the store is asked now. */
  readonly #asked = new Set<Account>();
  /** Who waits for the next answer, and for the one that is under way. */
  #waiting: ((answered: boolean) => void)[] = [];
  #answering: ((answered: boolean) => void)[] = [];
  /** What the store has to be told; null: no report is due. */
  #toReport: Account[] | null = null;
  #report: Report | null = null;
  #reportNumber = 0;
  #work: Promise<void> | null = null;
  #isWorking = false;
  #isScheduled = false;
  #isClosed = false;
  #isDown = false;
  /** When the last call began that succeeded. */
  #contactMs: number;
  readonly #uses = new Map<string, { -readonly [K in keyof TokenUse]: TokenUse[K] }>();

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#contactMs = options.clock.monotonicMs();
  }

  /** Whether a call failed, or took too long, and no lease has worked since. */
  get isDown(): boolean {
    return this.#isDown;
  }

  /** Whether the store still knows what this node holds. */
  get isTrusted(): boolean {
    return this.#options.clock.monotonicMs() - this.#contactMs <= TRUSTED_MS;
  }

  /** Wants more for an account, with the next call. 0: the store is told of it, and asked. */
  ask(account: Account, amount: number): void {
    const { total, least } = this.#wanted.get(account) ?? { total: 0, least: amount };
    this.#wanted.set(account, { total: total + amount, least: Math.min(least, amount) });
    this.#schedule();
  }

  /** Whether a lease of it is on its way. */
  isAsking(account: Account): boolean {
    return this.#wanted.has(account) || this.#asked.has(account);
  }

  /** Wants more for an account before there is none, unless that is under way. */
  prefetch(account: Account): void {
    if (!this.isAsking(account)) this.ask(account, account.lastAmount);
  }

  /** Whether the store answered what was asked for until now; never rejects. */
  answer(): Promise<boolean> {
    this.#schedule();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** A token was used. */
  noteUse(tokenId: string, cacheHit: boolean): void {
    const use = this.#uses.get(tokenId);
    const lastUsedAt = this.#options.clock.nowMs();
    if (use !== undefined) {
      use.requests += 1;
      use.cacheHits += cacheHit ? 1 : 0;
      use.lastUsedAt = Math.max(use.lastUsedAt, lastUsedAt);
    } else if (this.#uses.size < TOKENS_MAX) {
      this.#uses.set(tokenId, { tokenId, requests: 1, cacheHits: cacheHit ? 1 : 0, lastUsedAt });
    }
  }

  /** Reports, also that this node is alive. Does nothing while an earlier report is under way. */
  report(): void {
    if (this.#toReport !== null) return;
    this.#toReport = this.#dirtyAccounts();
    this.#schedule();
  }

  /** Nothing is held: where there is nothing to report, nothing can be forgotten either. */
  rest(): boolean {
    if (this.#isDown || this.#report !== null || this.#uses.size > 0) return false;
    this.#contactMs = this.#options.clock.monotonicMs();
    return true;
  }

  /**
   * The last report. What this node held is free for others.
   * @throws whatever the store throws, or Error where it takes too long
   */
  async close(): Promise<void> {
    const { leases, nodeId, clock } = this.#options;
    const late = Promise.withResolvers<never>();
    const timer = clock.after(PATIENCE_MS, () =>
      late.reject(new Error(`The store did not take the last report within ${PATIENCE_MS} ms`)),
    );
    const last = async (): Promise<void> => {
      this.#isClosed = true;
      await this.#work;
      this.#giveUp();
      this.#toReport = this.#dirtyAccounts();
      while (await this.#reportSome());
      await leases.removeNode(nodeId);
    };
    try {
      await Promise.race([last(), late.promise]);
    } finally {
      timer.cancel();
    }
  }

  #dirtyAccounts(): Account[] {
    return [...this.#options.accounts()].filter((account) => account.isDirty);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isWorking) return;
    this.#isScheduled = true;
    this.#options.clock.soon(() => {
      this.#isScheduled = false;
      this.#work = this.#workOff();
    });
  }

  get #isAwaited(): boolean {
    return this.#wanted.size > 0 || this.#waiting.length > 0;
  }

  /** Reports come in between leases, so that neither keeps the other waiting for long. */
  async #workOff(): Promise<void> {
    this.#isWorking = true;
    while (!this.#isClosed && (this.#isAwaited || this.#toReport !== null)) {
      if (this.#isAwaited) await this.#leaseAll();
      if (this.#toReport !== null) await this.#reportNext();
    }
    this.#isWorking = false;
  }

  async #leaseAll(): Promise<void> {
    const batch = [...this.#wanted];
    this.#wanted.clear();
    for (const [account] of batch) this.#asked.add(account);
    this.#answering = this.#waiting;
    this.#waiting = [];
    // Nobody waits for a store that may not answer: a report finds out when it is there again.
    let answered = !this.#isDown && this.isTrusted;
    for (let at = 0; at < batch.length && answered; at += BATCH_MAX) {
      answered = await this.#lease(batch.slice(at, at + BATCH_MAX));
    }
    this.#asked.clear();
    this.#answer(answered);
  }

  /** Whether it worked. @param batch nothing: only to see whether the store leases */
  async #lease(batch: readonly (readonly [Account, Want])[]): Promise<boolean> {
    const { leases, nodeId, clock } = this.#options;
    const nowMs = clock.nowMs();
    const asked = batch.map(([account, want]) => {
      const statement = account.statement(nowMs);
      return { account, statement, request: account.leaseRequest(statement, want, nowMs) };
    });
    try {
      const requests: LeaseRequest[] = asked.map(({ request }) => request);
      const granted = await this.#call(() => leases.lease(nodeId, requests));
      this.#isDown = false;
      creditAll(asked, granted, clock.nowMs());
      return true;
    } catch {
      for (const { account } of asked) account.doubt();
      this.#giveUp();
      return false;
    }
  }

  async #reportNext(): Promise<void> {
    let hasFailed = false;
    try {
      if (!(await this.#reportSome())) this.#toReport = null;
    } catch {
      this.#toReport = null;
      hasFailed = true;
    }
    // A report that failed, or was late, says nothing of leases, and one that worked neither.
    if (hasFailed || (this.#isDown && this.#toReport === null)) await this.#lease([]);
  }

  /** At least one call: it says that the node is alive. @returns whether there is more */
  async #reportSome(): Promise<boolean> {
    const { leases, nodeId, clock } = this.#options;
    this.#report ??= this.#nextReport();
    const { number, accounts, uses } = this.#report;
    const nowMs = clock.nowMs();
    const told = accounts.map((account) => ({ account, statement: account.statement(nowMs) }));
    const reports = told.map(({ account, statement }) => account.report(statement));
    // Where it fails, what is kept in `#report` is said again, with what is held by then.
    await this.#call(() => leases.reportLeases(nodeId, { number, leases: reports, uses }));
    for (const { account, statement } of told) account.reported(statement);
    this.#report = null;
    return (this.#toReport?.length ?? 0) > 0 || this.#uses.size > 0;
  }

  #nextReport(): Report {
    const accounts = this.#toReport?.splice(0, BATCH_MAX) ?? [];
    for (const account of accounts) account.beginReport();
    const uses = this.#uses.values().take(BATCH_MAX).toArray();
    for (const { tokenId } of uses) this.#uses.delete(tokenId);
    this.#reportNumber += 1;
    return { number: this.#reportNumber, accounts, uses };
  }

  /** Those who wait do so no longer than the call may take; it may still succeed then. */
  async #call<T>(run: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    const timer = clock.after(PATIENCE_MS, () => this.#giveUp());
    try {
      const answer = await run();
      if (!this.isTrusted) for (const account of this.#options.accounts()) account.lapse();
      this.#contactMs = Math.max(this.#contactMs, startedMs);
      return answer;
    } finally {
      timer.cancel();
    }
  }

  #giveUp(): void {
    this.#isDown = true;
    this.#wanted.clear();
    this.#answer(false);
    for (const resolve of this.#waiting.splice(0)) resolve(false);
  }

  #answer(answered: boolean): void {
    for (const resolve of this.#answering.splice(0)) resolve(answered);
  }
}

/** A request, and what it was made of. */
interface Asked {
  readonly account: Account;
  readonly statement: Statement;
  readonly request: LeaseRequest;
}

function creditAll(asked: readonly Asked[], granted: readonly Lease[], nowMs: number): void {
  for (const [at, { account, statement }] of asked.entries()) {
    const lease = granted[at];
    if (lease !== undefined) account.credit(statement, lease, nowMs);
  }
}
