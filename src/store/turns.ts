/**
 * Turns at something that only a few may use at a time.
 *
 * Owns: who waits for a turn, and how long. Does not own: what is used.
 * Invariant: at most `sizeMax` have a turn; it is given in order of asking; who waits is answered
 * within `waitMs`.
 */

import type { Clock } from "../runtime/clock.ts";

interface TurnsOptions {
  readonly sizeMax: number;
  readonly waitMs: number;
  readonly clock: Pick<Clock, "after">;
  /** The error for who waited in vain. */
  refuse(reason: "closed" | "busy"): Error;
}

/** Who waits holds a request and its answer in memory. */
const WAITING_MAX = 1_000;

export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  #free: number;
  #isClosed = false;

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#free = options.sizeMax;
  }

  /** Runs with a turn. @throws what `refuse` makes and `run` throws */
  async take<T>(run: () => Promise<T>): Promise<T> {
    await this.#wait();
    try {
      return await run();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next.resolve();
    }
  }

  /** Refuses who waits, and whoever asks from now on. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#options.refuse("closed"));
  }

  #wait(): Promise<void> {
    const { clock, waitMs, refuse } = this.#options;
    if (this.#isClosed) return Promise.reject(refuse("closed"));
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    if (this.#waiting.length >= WAITING_MAX) return Promise.reject(refuse("busy"));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry = { resolve, reject };
    const timer = clock.after(waitMs, () => {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      reject(refuse("busy"));
    });
    this.#waiting.push(entry);
    return promise.finally(() => timer.cancel());
  }
}
