/**
 * Slows down whoever guesses admin tokens.
 *
 * Owns: failed logins by client address. Does not own: what a failed login is (`guard.ts`).
 * Invariant: of one address at most ten attempts a minute are looked at while they fail, and memory
 * is bounded by the addresses remembered. The node's own machine is no exception: a guess may come
 * from any program on it.
 */

import { Lru } from "../lib/lru.ts";
import type { Clock } from "../runtime/clock.ts";

const FAILURES_MAX = 10;
const WINDOW_MS = 60_000;
const ADDRESSES_MAX = 10_000;

export class LoginThrottle {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** Network → when its last failures were, oldest first. */
  readonly #failures = new Lru<string, number[]>(ADDRESSES_MAX);

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Milliseconds until an address may try again; 0: now. */
  waitMs(address: string): number {
    const times = this.#failures.get(networkOf(address)) ?? [];
    const [oldestMs] = times;
    if (times.length < FAILURES_MAX || oldestMs === undefined) return 0;
    return Math.max(0, oldestMs + WINDOW_MS - this.#clock.monotonicMs());
  }

  failed(address: string): void {
    const network = networkOf(address);
    const times = this.#failures.get(network) ?? [];
    times.push(this.#clock.monotonicMs());
    if (times.length > FAILURES_MAX) times.shift();
    this.#failures.set(network, times);
  }

  succeeded(address: string): void {
    this.#failures.delete(networkOf(address));
  }
}

/** An IPv6 client has a whole /64 to itself (RFC 6177), so that is what counts. */
function networkOf(address: string): string {
  // Addresses with a dot are IPv4, or IPv4 inside IPv6.
  if (!address.includes(":") || address.includes(".")) return address;
  const [head = "", tail] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...new Array<string>(Math.max(0, zeros)).fill("0"), ...right];
  return groups.slice(0, 4).join(":");
}
