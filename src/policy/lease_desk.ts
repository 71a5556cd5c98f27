/**
 * Between the accounts of this node and the store: asks for leases, reports what became of them.
 *
 * Owns: when the store is asked, what is asked for together, and whether it is there.
 * Does not own: amounts (`account.ts`), nor what happens to exchanges without an answer
 * (`limiter.ts`).
 * Invariant: one call of each kind is under way at a time, nobody waits for one longer than 2 s,
 * and what a report could not say is said by the next one.
 */

import type { Clock } from "../runtime/clock.ts";
import type { LeaseReport, LeaseRequest, Store, TokenUse } from "../store/store.ts";
import type { Account } from "./account.ts";

/** Where leases come from. */
export type LeaseSource = Pick<Store, "lease" | "reportLeases" | "removeNode">;

interface DeskOptions {
  readonly nodeId: string;
  readonly leases: LeaseSource;
  readonly clock: Clock;
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
  #wanted = new Map<Account, number>();
  #waiting: ((answered: boolean) => void)[] = [];
  #isAsking = false;
  #isScheduled = false;
  #reporting: Promise<void> | null = null;
  #isDown = false;
  /** When the last call began that succeeded. */
  #contactMs: number;
  readonly #uses = new Map<string, { -readonly [K in keyof TokenUse]: TokenUse[K] }>();

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#contactMs = options.clock.monotonicMs();
  }

  /** Whether the last call failed, or took too long. */
  get isDown(): boolean {
    return this.#isDown;
  }

  /** Whether the store still knows what this node holds. */
  get isTrusted(): boolean {
    return this.#options.clock.monotonicMs() - this.#contactMs <= TRUSTED_MS;
  }

  /** Wants more for an account, with the next call. */
  ask(account: Account, amount: number): void {
    this.#wanted.set(account, (this.#wanted.get(account) ?? 0) + amount);
    this.#schedule();
  }

  /** Whether the store answered what was asked for until now; never rejects. */
  answer(): Promise<boolean> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** A token was used. */
  noteUse(tokenId: string, cacheHit: boolean): void {
    const lastUsedAt = this.#options.clock.nowMs();
    this.#addUse({ tokenId, requests: 1, cacheHits: cacheHit ? 1 : 0, lastUsedAt });
  }

  #addUse({ tokenId, requests, cacheHits, lastUsedAt }: TokenUse): void {
    const use = this.#uses.get(tokenId);
    if (use !== undefined) {
      use.requests += requests;
      use.cacheHits += cacheHits;
      use.lastUsedAt = Math.max(use.lastUsedAt, lastUsedAt);
    } else if (this.#uses.size < TOKENS_MAX) {
      this.#uses.set(tokenId, { tokenId, requests, cacheHits, lastUsedAt });
    }
  }

  /** Wants more for an account before there is none, unless that is under way. */
  prefetch(account: Account): void {
    if (!this.#wanted.has(account)) this.ask(account, account.lastAmount);
  }

  /**
   * Reports, also that this node is alive. Does nothing while an earlier report is under way.
   * @param accounts all of this node's
   * @param onForgotten called where the node was silent for too long: what it holds is void
   */
  async report(accounts: () => Iterable<Account>, onForgotten: () => void): Promise<void> {
    if (this.#reporting !== null) return;
    this.#reporting = this.#reportOnce(accounts, onForgotten);
    await this.#reporting;
    this.#reporting = null;
  }

  async #reportOnce(accounts: () => Iterable<Account>, onForgotten: () => void): Promise<void> {
    // Whoever asks meanwhile does not wait for a report that hangs.
    const timer = this.#options.clock.after(PATIENCE_MS, () => (this.#isDown = true));
    try {
      if (!this.isTrusted) {
        await this.#options.leases.removeNode(this.#options.nodeId);
        onForgotten();
      }
      await this.#reportAll([...accounts()]);
    } catch {
      this.#isDown = true;
    } finally {
      timer.cancel();
    }
  }

  /** Nothing is held: where there is nothing to report, nothing can be forgotten either. */
  rest(): boolean {
    if (this.#isDown || this.#uses.size > 0) return false;
    this.#contactMs = this.#options.clock.monotonicMs();
    return true;
  }

  /**
   * The last report. What this node held is free for others.
   * @throws whatever the store throws, or Error where it takes too long
   */
  async close(accounts: readonly Account[]): Promise<void> {
    const { leases, nodeId, clock } = this.#options;
    const last = async (): Promise<void> => {
      // One that fails leaves what it could not say to this one.
      await this.#reporting;
      await this.#reportAll(accounts);
      await leases.removeNode(nodeId);
    };
    if ((await inTime(clock, last())) === "late") {
      throw new Error(`The store did not take the last report of limits within ${PATIENCE_MS} ms`);
    }
  }

  /** At least one call: it says that the node is alive. */
  async #reportAll(accounts: readonly Account[]): Promise<void> {
    const { leases, nodeId, clock } = this.#options;
    const end = Math.max(1, accounts.length, this.#uses.size);
    for (let at = 0; at < end; at += BATCH_MAX) {
      const reported = accounts.slice(at, at + BATCH_MAX).flatMap(reportOf);
      const uses = this.#takeUses();
      const startedMs = clock.monotonicMs();
      try {
        const reports = reported.map(({ report }) => report);
        await leases.reportLeases(nodeId, reports, uses);
      } catch (error) {
        for (const { account, report } of reported) account.putBack(report);
        for (const use of uses) this.#addUse(use);
        throw error;
      }
      this.#reached(startedMs);
    }
  }

  #takeUses(): TokenUse[] {
    const uses = this.#uses.values().take(BATCH_MAX).toArray();
    for (const { tokenId } of uses) this.#uses.delete(tokenId);
    return uses;
  }

  async #askAll(): Promise<void> {
    this.#isScheduled = false;
    this.#isAsking = true;
    const batch = [...this.#wanted];
    const waiting = this.#waiting;
    this.#wanted = new Map();
    this.#waiting = [];
    // A report finds out when it is there again: nobody waits for that.
    let answered = !this.#isDown && this.isTrusted;
    for (let at = 0; at < batch.length && answered; at += BATCH_MAX) {
      answered = await this.#lease(batch.slice(at, at + BATCH_MAX));
    }
    this.#isAsking = false;
    for (const resolve of waiting) resolve(answered);
    if (this.#wanted.size > 0) this.#schedule();
  }

  /** Whether an answer came in time. One that comes later is still taken. */
  async #lease(batch: readonly (readonly [Account, number])[]): Promise<boolean> {
    const { clock } = this.#options;
    const nowMs = clock.nowMs();
    const asked = batch.map(([account, wanted]) => {
      const request = account.leaseRequest(wanted, nowMs);
      return { account, request, minute: account.minute };
    });
    try {
      if ((await inTime(clock, this.#leaseNow(asked))) !== "late") return true;
    } catch {
      // Counted like one that is late.
    }
    this.#isDown = true;
    return false;
  }

  async #leaseNow(asked: readonly Asked[]): Promise<void> {
    const { leases, nodeId, clock } = this.#options;
    // What was given back and not reported yet would be missing from what is left.
    const returning = asked.flatMap(({ account }) => (account.returns ? [account] : []));
    if (returning.length > 0) await this.#reportAll(returning);
    const startedMs = clock.monotonicMs();
    const granted = await leases.lease(
      nodeId,
      asked.map(({ request }) => request),
    );
    for (const [at, lease] of granted.entries()) {
      const to = asked[at];
      to?.account.credit(lease, to.minute, clock.nowMs());
    }
    this.#reached(startedMs);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isAsking) return;
    this.#isScheduled = true;
    this.#options.clock.soon(() => void this.#askAll());
  }

  #reached(startedMs: number): void {
    this.#isDown = false;
    this.#contactMs = Math.max(this.#contactMs, startedMs);
  }
}

/** What was asked for, and in which minute. */
interface Asked {
  readonly account: Account;
  readonly request: LeaseRequest;
  readonly minute: number;
}

function reportOf(account: Account): { account: Account; report: LeaseReport }[] {
  const report = account.takeReport();
  return report === null ? [] : [{ account, report }];
}

/** What `call` resolves to, or `late` where that takes too long. Rejects as it does. */
function inTime<T>(clock: Clock, call: Promise<T>): Promise<T | "late"> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(PATIENCE_MS, () => resolve("late"));
    call.then(resolve, reject).finally(() => timer.cancel());
  });
}
