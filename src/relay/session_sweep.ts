/**
 * One timer for the timeouts of all sessions, so that an idle session holds none.
 *
 * Owns: the sweep and its period. Does not own: what is due. Invariant: the timer runs only while
 * there is a session.
 */

import type { Clock, Timer } from "../runtime/clock.ts";

/** How late a timeout of a session can be. */
export const SWEEP_INTERVAL_MS = 250;

/** Something with timeouts. */
interface Swept {
  /** @param nowMs monotonic */
  tick(nowMs: number): void;
}

export class SessionSweep {
  readonly #clock: Clock;
  readonly #members = new Set<Swept>();
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(member: Swept): void {
    this.#members.add(member);
    this.#timer ??= this.#clock.every(SWEEP_INTERVAL_MS, () => this.#sweep());
  }

  remove(member: Swept): void {
    this.#members.delete(member);
    if (this.#members.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const member of this.#members) member.tick(nowMs);
  }
}
