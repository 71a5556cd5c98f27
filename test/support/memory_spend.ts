/** Sums, leases and nodes of a store, in memory; see `memory_store.ts`. */

import type { Clock } from "../../src/runtime/clock.ts";
import {
  grantOf,
  isSpentWhenLeased,
  leftOf,
  periodExpiryMs,
  type SpendChange,
} from "../../src/store/spend.ts";
import type {
  Lease,
  LeaseReport,
  LeaseRequest,
  LimitQuantity,
  Store,
} from "../../src/store/store.ts";

const NODE_DEAD_MS = 30_000;

interface Held {
  readonly nodeId: string;
  readonly subject: string;
  readonly quantity: LimitQuantity;
  outstanding: number;
}

export class MemorySpend {
  readonly sums: SpendChange[] = [];
  readonly leases: Held[] = [];
  readonly seenAtMs = new Map<string, number>();
  readonly #clock: Pick<Clock, "nowMs">;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  lease(nodeId: string, requests: readonly LeaseRequest[]): Lease[] {
    for (const [id, seenAtMs] of [...this.seenAtMs]) {
      if (this.#clock.nowMs() - seenAtMs >= NODE_DEAD_MS) this.removeNode(id);
    }
    this.seenAtMs.set(nodeId, this.#clock.nowMs());
    return requests.map((request) => this.#grant(nodeId, request));
  }

  report(nodeId: string, reports: readonly LeaseReport[]): void {
    this.seenAtMs.set(nodeId, this.#clock.nowMs());
    for (const { subject, quantity, used, released } of reports) {
      this.reduce(nodeId, subject, quantity, used + released);
      if (used > 0) this.add([{ subject, quantity, period: "total", amount: used }]);
    }
  }

  removeNode(nodeId: string): void {
    this.seenAtMs.delete(nodeId);
    for (const held of this.leases) if (held.nodeId === nodeId) held.outstanding = 0;
  }

  reduce(nodeId: string, subject: string, quantity: LimitQuantity, amount: number): void {
    const held = this.#held(nodeId, subject, quantity);
    held.outstanding = Math.max(0, held.outstanding - amount);
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

  #grant(nodeId: string, request: LeaseRequest): Lease {
    const { subject, quantity, wanted, caps } = request;
    const isAlike = (held: Held) => held.subject === subject && held.quantity === quantity;
    const outstanding = total(this.leases.filter(isAlike).map((held) => held.outstanding));
    const left = leftOf(request, (period) => this.used(subject, quantity, period), outstanding);
    const granted = grantOf(wanted, left);
    if (isSpentWhenLeased(quantity)) {
      const periods = new Set(caps.map((cap) => cap.period));
      this.add([...periods].map((period) => ({ subject, quantity, period, amount: granted })));
    } else {
      this.#held(nodeId, subject, quantity).outstanding += granted;
    }
    return { granted, left: left - granted };
  }

  #held(nodeId: string, subject: string, quantity: LimitQuantity): Held {
    const isIt = (held: Held) =>
      held.nodeId === nodeId && held.subject === subject && held.quantity === quantity;
    const found = this.leases.find(isIt);
    if (found !== undefined) return found;
    const held = { nodeId, subject, quantity, outstanding: 0 };
    this.leases.push(held);
    return held;
  }
}

function total(amounts: readonly number[]): number {
  return amounts.reduce((sum, amount) => sum + amount, 0);
}
