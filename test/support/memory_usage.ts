/** The usage of a store with what it changes of the sums, in memory; see `memory_store.ts`. */

import type { UsageEvent } from "../../src/exchange.ts";
import { costChanges, summed } from "../../src/store/spend.ts";
import type { UsagePage, UsageQuery } from "../../src/store/store.ts";
import type { MemorySpend } from "./memory_spend.ts";

export class MemoryUsage {
  readonly rows = new Map<string, UsageEvent>();
  readonly #spend: MemorySpend;

  constructor(spend: MemorySpend) {
    this.#spend = spend;
  }

  insert(events: readonly UsageEvent[]): string[] {
    const byId = new Map(events.toReversed().map((event) => [event.event_id, event]));
    const fresh = [...byId.values()].reverse().filter((event) => !this.rows.has(event.event_id));
    for (const event of fresh) this.rows.set(event.event_id, structuredClone(event));
    this.#spend.add(summed(costChanges(fresh)));
    return fresh.map((event) => event.event_id);
  }

  findPending(provider: string, responseId: string): UsageEvent | null {
    const isIt = (event: UsageEvent) =>
      event.status === "pending" && event.provider === provider && event.response_id === responseId;
    return [...this.rows.values()].find(isIt) ?? null;
  }

  complete(event: UsageEvent): boolean {
    const pending = this.rows.get(event.event_id);
    if (pending?.status !== "pending") return false;
    this.rows.set(event.event_id, structuredClone(event));
    this.#spend.add(summed([...costChanges([pending], -1), ...costChanges([event])]));
    return true;
  }

  list(query: UsageQuery): UsagePage {
    const rows = [...this.rows.values()]
      .filter((event) => matches(event, query))
      .sort((left, right) => right.recorded_at - left.recorded_at);
    const start = query.cursor === undefined ? 0 : Number(query.cursor);
    const end = start + query.limit;
    return {
      events: rows.slice(start, end),
      nextCursor: end < rows.length ? String(end) : null,
    };
  }
}

function matches(event: UsageEvent, query: UsageQuery): boolean {
  if (query.projectId !== undefined && event.project_id !== query.projectId) return false;
  if (query.tokenId !== undefined && event.token_id !== query.tokenId) return false;
  if (query.sessionId !== undefined && event.session_id !== query.sessionId) return false;
  if (query.sinceMs !== undefined && event.recorded_at < query.sinceMs) return false;
  return query.untilMs === undefined || event.recorded_at < query.untilMs;
}
