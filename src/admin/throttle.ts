/**
 * Slows down whoever guesses admin tokens.
 *
 * Owns: failed logins, and who got in, by client network. Does not own: what a failed login is
 * (`guard.ts`).
 * Invariant: of one network at most ten wrong tokens a minute are told that they are wrong,
 * whatever else succeeds meanwhile; whoever got in from there lately is not locked out by them; and
 * memory is bounded by the networks remembered. The node's own machine is no exception: a guess may
 * come from any program on it.
 */

import { Lru } from "../lib/lru.ts";
import type { Clock } from "../runtime/clock.ts";

const FAILURES_MAX = 10;
const WINDOW_MS = 60_000;
const NETWORKS_MAX = 10_000;
const REMEMBERED_MS = 24 * 3_600_000;

export class LoginThrottle {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** Network → when its last failures were, oldest first. */
  readonly #failures = new Lru<string, number[]>(NETWORKS_MAX);
  /** Network → name of an admin token → when it last got in. There are only so many names. */
  readonly #successes = new Lru<string, Map<string, number>>(NETWORKS_MAX);

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /**
   * Milliseconds until an attempt is looked at; 0: now.
   * @param name of the admin token that was sent; null: it is none
   */
  waitMs(address: string, name: string | null): number {
    const network = networkOf(address);
    const nowMs = this.#clock.monotonicMs();
    const lastMs = name === null ? undefined : this.#successes.get(network)?.get(name);
    if (lastMs !== undefined && nowMs - lastMs < REMEMBERED_MS) return 0;
    const times = this.#failures.get(network) ?? [];
    const [oldestMs] = times;
    if (times.length < FAILURES_MAX || oldestMs === undefined) return 0;
    return Math.max(0, oldestMs + WINDOW_MS - nowMs);
  }

  failed(address: string): void {
    const network = networkOf(address);
    const times = this.#failures.get(network) ?? [];
    times.push(this.#clock.monotonicMs());
    if (times.length > FAILURES_MAX) times.shift();
    this.#failures.set(network, times);
  }

  /** Failures before it still count: who has a token of their own may guess another's. */
  succeeded(address: string, name: string): void {
    const network = networkOf(address);
    const names = this.#successes.get(network) ?? new Map<string, number>();
    names.set(name, this.#clock.monotonicMs());
    this.#successes.set(network, names);
  }
}

/** An IPv6 client has a whole /64 to itself (RFC 6177), so that is what counts. */
export function networkOf(address: string): string {
  // Addresses with a dot are IPv4, or IPv4 inside IPv6.
  if (!address.includes(":") || address.includes(".")) return address;
  const [head = "", tail] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...new Array<string>(Math.max(0, zeros)).fill("0"), ...right];
  return `${groups.slice(0, 4).join(":")}::/64`;
}
