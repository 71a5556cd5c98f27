/**
 * Time, as a parameter. The only file that reads a clock or starts a timer, so that tests can
 * supply their own time.
 */

/** A started timer. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Milliseconds that never go back, with fractions, from an arbitrary start. */
  monotonicMs(): number;
  /** Calls `run` once after `delayMs`. */
  after(delayMs: number, run: () => void): Timer;
  /** Calls `run` every `intervalMs`. Does not keep the process alive. */
  every(intervalMs: number, run: () => void): Timer;
  /** Calls `run` once the I/O events that are already read have been handled. */
  soon(run: () => void): void;
}

class SystemTimer implements Timer {
  readonly #timer: NodeJS.Timeout;

  constructor(timer: NodeJS.Timeout) {
    this.#timer = timer;
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    return new SystemTimer(setTimeout(run, delayMs));
  },
  every(intervalMs, run) {
    return new SystemTimer(setInterval(run, intervalMs).unref());
  },
  soon(run) {
    setImmediate(run);
  },
};

/**
 * `clock` set right by another one, as nodes agree on the time of their database. Small differences
 * are left alone: they are those of the network, and time must not jump about.
 */
export class AdjustedClock implements Clock {
  readonly #clock: Clock;
  readonly #toleranceMs: number;
  #differenceMs = 0;

  /** @param toleranceMs up to which a difference is left alone */
  constructor(clock: Clock, toleranceMs: number) {
    this.#clock = clock;
    this.#toleranceMs = toleranceMs;
  }

  /** What is added to the clock underneath, in milliseconds. */
  get differenceMs(): number {
    return this.#differenceMs;
  }

  /** @returns whether time jumped */
  adjust(otherNowMs: number): boolean {
    const differenceMs = otherNowMs - this.#clock.nowMs();
    if (Math.abs(differenceMs - this.#differenceMs) <= this.#toleranceMs) return false;
    this.#differenceMs = Math.abs(differenceMs) <= this.#toleranceMs ? 0 : differenceMs;
    return true;
  }

  nowMs(): number {
    return this.#clock.nowMs() + this.#differenceMs;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(delayMs: number, run: () => void): Timer {
    return this.#clock.after(delayMs, run);
  }

  every(intervalMs: number, run: () => void): Timer {
    return this.#clock.every(intervalMs, run);
  }

  soon(run: () => void): void {
    this.#clock.soon(run);
  }
}

/** Resolves after `delayMs`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}
