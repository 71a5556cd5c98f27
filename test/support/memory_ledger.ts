/**
 * A ledger that keeps its records in memory, and can be told to fail or to make the caller wait.
 * Reveals a turn that is closed twice or never, and a row that changes after it was written.
 */

import type { Ledger, UsageEvent } from "../../src/exchange.ts";

export class MemoryLedger implements Ledger {
  readonly opened: UsageEvent[] = [];
  readonly closed: UsageEvent[] = [];
  /** Set: `close` returns this. */
  pending: Promise<void> | undefined;
  /** Set: both records throw this. */
  failure: Error | null = null;

  open(event: UsageEvent): void {
    if (this.failure !== null) throw this.failure;
    if (this.opened.some((each) => each.event_id === event.event_id)) {
      throw new Error(`${event.event_id} is opened twice`);
    }
    this.opened.push(structuredClone(event));
  }

  close(event: UsageEvent): Promise<void> | undefined {
    if (this.failure !== null) throw this.failure;
    if (!this.opened.some((each) => each.event_id === event.event_id)) {
      throw new Error(`${event.event_id} is closed and was never opened`);
    }
    if (this.closed.some((each) => each.event_id === event.event_id)) {
      throw new Error(`${event.event_id} is closed twice`);
    }
    this.closed.push(structuredClone(event));
    return this.pending;
  }
}
