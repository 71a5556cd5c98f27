/** Where a limiter gets its leases in tests: `memory_spend.ts`, as a database that can be away. */

import type { LeaseSource } from "../../src/policy/lease_desk.ts";
import type {
  Lease,
  LeaseReport,
  LeaseRequest,
  LimitQuantity,
  TokenUse,
} from "../../src/store/store.ts";
import type { FakeClock } from "./fake_clock.ts";
import { MemorySpend } from "./memory_spend.ts";

export class MemoryLeases implements LeaseSource {
  readonly spend: MemorySpend;
  /** What nodes asked for, in order; one entry a call. */
  readonly asked: (readonly LeaseRequest[])[] = [];
  readonly reports: LeaseReport[] = [];
  readonly uses: TokenUse[] = [];
  readonly removed: string[] = [];
  /** `hanging` calls go on with `resume`. */
  mode: "up" | "failing" | "hanging" = "up";
  #hanging: (() => void)[] = [];

  constructor(clock: FakeClock) {
    this.spend = new MemorySpend(clock);
  }

  async lease(nodeId: string, requests: readonly LeaseRequest[]): Promise<Lease[]> {
    this.asked.push(requests);
    await this.#pass();
    return this.spend.lease(nodeId, requests);
  }

  async reportLeases(
    nodeId: string,
    reports: readonly LeaseReport[],
    uses: readonly TokenUse[],
  ): Promise<void> {
    await this.#pass();
    this.reports.push(...reports);
    this.uses.push(...uses);
    this.spend.report(nodeId, reports);
  }

  async removeNode(nodeId: string): Promise<void> {
    await this.#pass();
    this.removed.push(nodeId);
    this.spend.removeNode(nodeId);
  }

  /** The database is there again. */
  resume(): void {
    this.mode = "up";
    for (const go of this.#hanging.splice(0)) go();
  }

  /** A usage row arrived in the periods that it counts for. */
  ship(nodeId: string, subject: string, costMicros: number, periods: readonly string[]): void {
    const quantity = "cost_micros";
    this.spend.add(periods.map((period) => ({ subject, quantity, period, amount: costMicros })));
    this.spend.reduce(nodeId, subject, quantity, costMicros);
  }

  /** Outstanding, of one node or all. */
  held(subject: string, quantity: LimitQuantity, nodeId?: string): number {
    return this.spend.leases.reduce((sum, held) => {
      const isIt = held.subject === subject && held.quantity === quantity;
      return isIt && (nodeId ?? held.nodeId) === held.nodeId ? sum + held.outstanding : sum;
    }, 0);
  }

  async #pass(): Promise<void> {
    if (this.mode === "hanging") await new Promise<void>((go) => this.#hanging.push(go));
    if (this.mode === "failing") throw new Error("The database is away");
  }
}
