/** The usage table of a store, in memory: unique by event id, and away when told so. */

import type { UsageEvent } from "../../src/exchange.ts";

export class MemoryUsageStore {
  readonly rows = new Map<string, UsageEvent>();
  /** Sizes of the batches that were committed. */
  readonly batches: number[] = [];
  /** Rows that were offered again. */
  duplicates = 0;
  isAway = false;
  /** Runs in the middle of an insert. */
  during: () => Promise<void> | void = () => undefined;

  async insertUsage(events: readonly UsageEvent[]): Promise<string[]> {
    await this.during();
    if (this.isAway) throw new Error("connection refused");
    this.batches.push(events.length);
    const fresh = events.filter((event) => !this.rows.has(event.event_id));
    for (const event of fresh) this.rows.set(event.event_id, event);
    this.duplicates += events.length - fresh.length;
    return fresh.map((event) => event.event_id);
  }

  async completeUsage(event: UsageEvent): Promise<boolean> {
    if (this.isAway) throw new Error("connection refused");
    if (this.rows.get(event.event_id)?.status !== "pending") return false;
    this.rows.set(event.event_id, event);
    return true;
  }

  /** Ids in order. */
  get ids(): string[] {
    return [...this.rows.keys()].toSorted();
  }
}
