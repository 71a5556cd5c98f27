/** Where a limiter gets its leases in tests: `memory_spend.ts`, as a database that can be away. */

import type { LeaseSource } from "../../src/policy/lease_desk.ts";
import type {
  Lease,
  LeaseReport,
  LeaseRequest,
  LimitQuantity,
  NodeReport,
  TokenUse,
} from "../../src/store/leases.ts";
import type { FakeClock } from "./fake_clock.ts";
import { MemorySpend } from "./memory_spend.ts";

export class MemoryLeases implements LeaseSource {
  readonly spend: MemorySpend;
  /** What nodes asked for, in order; one entry a call. */
  readonly asked: (readonly LeaseRequest[])[] = [];
  readonly reports: LeaseReport[] = [];
  readonly uses: TokenUse[] = [];
  readonly removed: string[] = [];
  /** `hanging` calls go on with `resume`; of `lost` ones only the answer is. */
  mode: "up" | "failing" | "hanging" | "lost" = "up";
  #hanging: (() => void)[] = [];

  constructor(clock: FakeClock) {
    this.spend = new MemorySpend(clock);
  }

  lease(nodeId: string, requests: readonly LeaseRequest[]): Promise<Lease[]> {
    this.asked.push(requests);
    return this.#call(() => this.spend.lease(nodeId, requests));
  }

  reportLeases(nodeId: string, report: NodeReport): Promise<void> {
    return this.#call(() => {
      this.reports.push(...report.leases);
      if (this.spend.report(nodeId, report)) this.uses.push(...report.uses);
    });
  }

  removeNode(nodeId: string): Promise<void> {
    return this.#call(() => {
      this.removed.push(nodeId);
      this.spend.removeNode(nodeId);
    });
  }

  /** The database is there again. */
  resume(): void {
    this.mode = "up";
    for (const go of this.#hanging.splice(0)) go();
  }

  /** What one node holds, or all. */
  held(subject: string, quantity: LimitQuantity, nodeId?: string): number {
    return this.spend.leases.reduce((sum, one) => {
      const isIt = one.subject === subject && one.quantity === quantity;
      return isIt && (nodeId ?? one.nodeId) === one.nodeId ? sum + one.held : sum;
    }, 0);
  }

  async #call<T>(run: () => T): Promise<T> {
    if (this.mode === "hanging") await new Promise<void>((go) => this.#hanging.push(go));
    if (this.mode === "failing") throw new Error("The database is away");
    const answer = run();
    if (this.mode === "lost") throw new Error("The connection was lost");
    return answer;
  }
}
