/**
 * What this node has seen of its upstreams: whom to ask, whom to ask last, whom to leave alone.
 *
 * Owns: what counts as a failure of a provider, as one of a key, and as none.
 * Does not own: choosing (`choose.ts`), the request that checks (`health_check.ts`).
 * Invariant: only what the upstream did counts. Our own refusals, a client that left and answers
 * about the request (4xx) never do. What one project's own credential meets is not held against
 * the others.
 */

import type { CredentialConfig, ProviderConfig } from "../config/config.ts";
import { type ErrorCode, GatewayError } from "../errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { Breaker } from "./breaker.ts";
import { retryAfterMs } from "./retry_after.ts";

/** A provider with one of its keys. Null: the project's own key, or none. */
export interface Upstream {
  readonly provider: ProviderConfig;
  readonly apiKey: CredentialConfig | null;
}

/** What changed about a provider, for the log. */
export type HealthChange =
  "circuit_opened" | "circuit_closed" | "health_check_failed" | "health_check_recovered";

/** How long a key rests whose 429 does not say. */
const REST_MS = 1_000;

/** And one whose command printed no credential; it runs again by then. */
const MISSING_MS = 5_000;

/** Refusals that the upstream is to blame for. */
const FAILURES: readonly ErrorCode[] = [
  "upstream_unreachable",
  "upstream_timeout",
  "upstream_closed",
];

interface KeyState {
  /** Until then others are asked first. */
  restsUntilMs: number;
  /** The last check failed. */
  isDown: boolean;
}

interface ProviderState {
  readonly breaker: Breaker;
  readonly keys: Map<CredentialConfig | null, KeyState>;
}

export class Health {
  readonly #clock: Pick<Clock, "nowMs" | "monotonicMs">;
  readonly #report: (change: HealthChange, upstream: Upstream) => void;
  readonly #providers = new Map<ProviderConfig, ProviderState>();

  constructor(
    clock: Pick<Clock, "nowMs" | "monotonicMs">,
    report: (change: HealthChange, upstream: Upstream) => void,
  ) {
    this.#clock = clock;
    this.#report = report;
  }

  /** Why nothing is sent there; null: it may be asked. */
  obstacle(upstream: Upstream): "circuit_open" | "unhealthy" | null {
    const state = this.#providers.get(upstream.provider);
    if (state === undefined) return null;
    if (state.keys.get(upstream.apiKey)?.isDown === true) return "unhealthy";
    return state.breaker.allows(this.#clock.monotonicMs()) ? null : "circuit_open";
  }

  /** Whether the key was refused a moment ago, so that others are asked first. */
  rests({ provider, apiKey }: Upstream): boolean {
    const key = this.#providers.get(provider)?.keys.get(apiKey);
    return key !== undefined && this.#clock.monotonicMs() < key.restsUntilMs;
  }

  /** To be called just before sending. False: another one probes, so ask the next. */
  enter({ provider }: Upstream): boolean {
    return this.#providers.get(provider)?.breaker.enter(this.#clock.monotonicMs()) ?? true;
  }

  /** No connection, or no answer in time. */
  failed(upstream: Upstream): void {
    const { breaker } = this.#stateOf(upstream.provider);
    if (breaker.failed(this.#clock.monotonicMs())) this.#report("circuit_opened", upstream);
  }

  /** A request to it ended with `thrown`, which counts only where the upstream is to blame. */
  threw(upstream: Upstream, thrown: unknown): void {
    if (thrown instanceof GatewayError && FAILURES.includes(thrown.code)) this.failed(upstream);
  }

  /**
   * The upstream answered.
   * @param retryAfter the header of that name
   */
  answered(upstream: Upstream, status: number, retryAfter: string | null): void {
    const { provider, apiKey } = upstream;
    if (provider.circuitBreaker.statuses.includes(status)) {
      this.failed(upstream);
      return;
    }
    // Nearly every answer, of a provider that nothing is known of.
    if (status < 400 && !this.#providers.has(provider)) return;
    if (this.#stateOf(provider).breaker.succeeded()) this.#report("circuit_closed", upstream);
    if (apiKey !== null) this.#noteKey(upstream, status, retryAfter);
  }

  /** There is no credential to send it at the moment, which others may have. */
  lacksCredential(upstream: Upstream): void {
    this.#keyOf(upstream).restsUntilMs = this.#clock.monotonicMs() + MISSING_MS;
  }

  /** What a health check found. */
  checked(upstream: Upstream, isHealthy: boolean): void {
    const key = this.#keyOf(upstream);
    if (key.isDown === !isHealthy) return;
    key.isDown = !isHealthy;
    this.#report(isHealthy ? "health_check_recovered" : "health_check_failed", upstream);
  }

  /** The refusal where each of `upstreams` has an obstacle; there is at least one. */
  refusal(upstreams: readonly Upstream[]): GatewayError {
    const nowMs = this.#clock.monotonicMs();
    const obstacles = upstreams.map((upstream) => this.obstacle(upstream));
    if (!obstacles.every((obstacle) => obstacle === "circuit_open")) {
      return new GatewayError("no_healthy_provider");
    }
    const waitsMs = upstreams.map(({ provider }) => this.#stateOf(provider).breaker.waitMs(nowMs));
    const waitS = Math.max(1, Math.ceil(Math.min(...waitsMs) / 1_000));
    return new GatewayError("circuit_open", { headers: { "retry-after": String(waitS) } });
  }

  #noteKey(upstream: Upstream, status: number, retryAfter: string | null): void {
    const key = this.#keyOf(upstream);
    key.restsUntilMs = this.#clock.monotonicMs() + this.#restMs(upstream, status, retryAfter);
  }

  #restMs({ provider }: Upstream, status: number, retryAfter: string | null): number {
    if (status === 401) return provider.circuitBreaker.cooldownMs;
    if (status !== 429) return 0;
    return retryAfterMs(retryAfter, this.#clock.nowMs()) ?? REST_MS;
  }

  #keyOf({ provider, apiKey }: Upstream): KeyState {
    const { keys } = this.#stateOf(provider);
    const known = keys.get(apiKey);
    if (known !== undefined) return known;
    const fresh = { restsUntilMs: 0, isDown: false };
    keys.set(apiKey, fresh);
    return fresh;
  }

  #stateOf(provider: ProviderConfig): ProviderState {
    const known = this.#providers.get(provider);
    if (known !== undefined) return known;
    const fresh = { breaker: new Breaker(provider.circuitBreaker), keys: new Map() };
    this.#providers.set(provider, fresh);
    return fresh;
  }
}
