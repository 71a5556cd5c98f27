/**
 * Whether an upstream accepts connections at all.
 *
 * Owns: one connection attempt per upstream at a time, and a short memory of success.
 * Does not own: the connections that carry requests; those are the runtime's.
 * Invariant: a slow answer is never taken for a dead host. Only a host that leaves a connection
 * attempt of our own without any reply counts as unreachable; no request is made and no TLS begun.
 */

import { SingleFlight } from "../lib/single_flight.ts";
import type { Clock } from "../runtime/clock.ts";
import type { ConnectOptions, Runtime } from "../runtime/runtime.ts";

/** Where to, and through which proxy. */
type Target = Pick<ConnectOptions, "hostname" | "port" | "proxy">;

/** How long a success answers for the next asking. */
const FRESH_MS = 5_000;

/** Hosts remembered; the configured upstreams are fewer. */
const HOSTS_MAX = 1_000;

export class Reachability {
  readonly #connect: Runtime["connect"];
  readonly #clock: Clock;
  readonly #flights = new SingleFlight<string, boolean>();
  readonly #openedAtMs = new Map<string, number>();

  constructor(connect: Runtime["connect"], clock: Clock) {
    this.#connect = connect;
    this.#clock = clock;
  }

  /** Resolves with false when the host does not react to a connection attempt in `withinMs`. */
  async check({ hostname, port, proxy }: Target, withinMs: number): Promise<boolean> {
    const target = { hostname, port, proxy };
    const key = JSON.stringify(target);
    const openedAtMs = this.#openedAtMs.get(key);
    if (openedAtMs !== undefined && this.#clock.monotonicMs() - openedAtMs < FRESH_MS) return true;
    const open = await this.#flights.run(key, () => this.#dial(target, withinMs));
    if (open) this.#remember(key);
    else this.#openedAtMs.delete(key);
    return open;
  }

  #remember(key: string): void {
    if (this.#openedAtMs.size >= HOSTS_MAX) this.#openedAtMs.clear();
    this.#openedAtMs.set(key, this.#clock.monotonicMs());
  }

  #dial(target: Target, withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const giveUp = this.#connect(
        { ...target, tls: null },
        {
          opened(stream) {
            timer.cancel();
            resolve(true);
            stream.terminate();
          },
          data() {},
          drained() {},
          closed() {
            timer.cancel();
            // A refusal is no silence: had it met the request, `fetch` would have reported it, and
            // a host that is being restarted still answers what it has accepted.
            resolve(true);
          },
        },
      );
      const timer = this.#clock.after(withinMs, () => {
        // First, for giving up closes the attempt.
        resolve(false);
        giveUp();
      });
    });
  }
}
