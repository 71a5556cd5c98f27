/**
 * A clock that stands still until a test advances it, and fires timers in order of their due time.
 * Reveals code that reads the machine's time or leaves a timer behind (`pendingTimers`).
 */

import type { Clock, Timer } from "../../src/runtime/clock.ts";

interface Entry {
  dueMs: number;
  order: number;
  intervalMs: number | null;
  run: () => void;
}

export class FakeClock implements Clock {
  #elapsedMs = 0;
  #order = 0;
  readonly #startMs: number;
  readonly #entries = new Set<Entry>();
  #soon: (() => void)[] = [];

  constructor(startMs = 1_795_190_000_000) {
    this.#startMs = startMs;
  }

  /** Timers started and neither fired nor cancelled; intervals included. */
  get pendingTimers(): number {
    return this.#entries.size;
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, run: () => void): Timer {
    return this.#start(delayMs, null, run);
  }

  every(intervalMs: number, run: () => void): Timer {
    return this.#start(intervalMs, intervalMs, run);
  }

  soon(run: () => void): void {
    this.#soon.push(run);
  }

  /** Runs what `soon` was given, and what that gives in turn. */
  flushSoon(): void {
    while (this.#soon.length > 0) {
      const batch = this.#soon;
      this.#soon = [];
      for (const run of batch) run();
    }
  }

  /** Moves time on, firing what falls due on the way. */
  advance(durationMs: number): void {
    const endMs = this.#elapsedMs + durationMs;
    this.flushSoon();
    for (let next = this.#next(endMs); next !== null; next = this.#next(endMs)) {
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      if (next.intervalMs === null) this.#entries.delete(next);
      else next.dueMs += next.intervalMs;
      next.run();
      this.flushSoon();
    }
    this.#elapsedMs = endMs;
  }

  #start(delayMs: number, intervalMs: number | null, run: () => void): Timer {
    const entry = { dueMs: this.#elapsedMs + delayMs, order: this.#order++, intervalMs, run };
    this.#entries.add(entry);
    return { cancel: () => void this.#entries.delete(entry) };
  }

  #next(endMs: number): Entry | null {
    let first: Entry | null = null;
    for (const entry of this.#entries) {
      if (entry.dueMs > endMs) continue;
      if (first === null || entry.dueMs < first.dueMs) first = entry;
      else if (entry.dueMs === first.dueMs && entry.order < first.order) first = entry;
    }
    return first;
  }
}
