/** Sums, leases and nodes of a store, in memory; see `memory_store.ts`. */

import type { Clock } from "../../src/runtime/clock.ts";
import type {
  Holding,
  Lease,
  LeaseRequest,
  LimitQuantity,
  NodeReport,
} from "../../src/store/leases.ts";
import { grantOf, periodExpiryMs, type SpendChange } from "../../src/store/spend.ts";
import type { Store } from "../../src/store/store.ts";

const NODE_DEAD_MS = 30_000;

interface Held extends Holding {
  readonly nodeId: string;
}

export class MemorySpend {
  readonly sums: SpendChange[] = [];
  leases: Held[] = [];
  readonly seenAtMs = new Map<string, number>();
  readonly #reports = new Map<string, number>();
  readonly #clock: Pick<Clock, "nowMs">;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  lease(nodeId: string, requests: readonly LeaseRequest[]): Lease[] {
    this.seenAtMs.set(nodeId, this.#clock.nowMs());
    return requests.map((request) => {
      const { subject, quantity, period, held } = request;
      const usedIn = (name: string) => this.used(subject, quantity, name);
      const others = this.leases.filter((one) => {
        const isIt = one.subject === subject && one.quantity === quantity && one.period === period;
        return isIt && one.nodeId !== nodeId && (period !== "now" || this.#isAlive(one.nodeId));
      });
      const lease = grantOf(request, usedIn, total(others.map((one) => one.held)));
      this.#hold({ nodeId, subject, quantity, period, held: held + lease.granted });
      return lease;
    });
  }

  /** Whether it was a new one. */
  report(nodeId: string, { number, leases }: NodeReport): boolean {
    this.seenAtMs.set(nodeId, this.#clock.nowMs());
    const isNew = this.#reports.get(nodeId) !== number;
    this.#reports.set(nodeId, number);
    for (const { subject, quantity, period, held, used } of leases) {
      this.#hold({ nodeId, subject, quantity, period, held });
      if (isNew && used > 0) this.add([{ subject, quantity, period: "total", amount: used }]);
    }
    return isNew;
  }

  removeNode(nodeId: string): void {
    this.leases = this.leases.filter((one) => one.nodeId !== nodeId || one.period !== "now");
  }

  add(changes: readonly SpendChange[]): void {
    this.sums.push(...changes);
  }

  used(subject: string, quantity: LimitQuantity, period: string): number {
    const amounts = this.sums.map((sum) =>
      sum.subject === subject && sum.quantity === quantity && sum.period === period
        ? sum.amount
        : 0,
    );
    return total(amounts);
  }

  list(subject: string): Awaited<ReturnType<Store["listSpend"]>> {
    const keys = this.sums.flatMap((sum) =>
      sum.subject === subject ? [JSON.stringify([sum.quantity, sum.period])] : [],
    );
    return [...new Set(keys)].toSorted().map((key) => {
      const [quantity, period]: [LimitQuantity, string] = JSON.parse(key);
      return { quantity, period, used: this.used(subject, quantity, period) };
    });
  }

  forgetExpired(nowMs: number): void {
    const isKept = ({ period }: SpendChange) => (periodExpiryMs(period) ?? Infinity) > nowMs;
    this.sums.splice(0, this.sums.length, ...this.sums.filter(isKept));
  }

  #isAlive(nodeId: string): boolean {
    return this.#clock.nowMs() - (this.seenAtMs.get(nodeId) ?? -Infinity) < NODE_DEAD_MS;
  }

  #hold(held: Held): void {
    this.leases = this.leases.filter(
      (one) =>
        one.nodeId !== held.nodeId ||
        one.subject !== held.subject ||
        one.quantity !== held.quantity,
    );
    if (held.held !== 0) this.leases.push(held);
  }
}

function total(amounts: readonly number[]): number {
  return amounts.reduce((sum, amount) => sum + amount, 0);
}
