/**
 * The circuit breaker of one provider.
 *
 * Owns: when the provider is left alone, and when one request may find out whether it is back.
 * Does not own: what counts as a failure (`health.ts`), or the clock: times are parameters.
 * Invariant: while it is open, at most one request in `cooldownMs` is let through.
 */

import type { CircuitBreakerConfig } from "../config/config.ts";

type State = "closed" | "open" | "probing";

export class Breaker {
  readonly #config: Pick<CircuitBreakerConfig, "failures" | "cooldownMs">;
  #state: State = "closed";
  /** In a row. */
  #failures = 0;
  /** Until then nobody is let through, unless it is closed. */
  #untilMs = 0;

  constructor(config: Pick<CircuitBreakerConfig, "failures" | "cooldownMs">) {
    this.#config = config;
  }

  /** Whether a request may be sent, or may probe. Changes nothing. */
  allows(nowMs: number): boolean {
    return this.#state === "closed" || nowMs >= this.#untilMs;
  }

  /**
   * To be called just before a request is sent: of an open circuit whose time is up, the first one
   * who asks is the probe. A probe that nobody hears of again makes way after another cooldown.
   */
  enter(nowMs: number): boolean {
    if (this.#state === "closed") return true;
    if (nowMs < this.#untilMs) return false;
    this.#state = "probing";
    this.#untilMs = nowMs + this.#config.cooldownMs;
    return true;
  }

  /** @returns whether this opened it, the first time or again */
  failed(nowMs: number): boolean {
    // What was under way when it opened says nothing new.
    if (this.#state === "open") return false;
    this.#failures += 1;
    if (this.#state === "closed" && this.#failures < this.#config.failures) return false;
    this.#state = "open";
    this.#untilMs = nowMs + this.#config.cooldownMs;
    return true;
  }

  /** @returns whether this closed it */
  succeeded(): boolean {
    // A late answer to an older request is no probe.
    if (this.#state === "open") return false;
    const wasProbing = this.#state === "probing";
    this.#state = "closed";
    this.#failures = 0;
    return wasProbing;
  }

  /** Until a request may be sent; 0: now. */
  waitMs(nowMs: number): number {
    return this.allows(nowMs) ? 0 : this.#untilMs - nowMs;
  }
}
