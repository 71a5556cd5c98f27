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

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const id = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(id) };
  },
  every(intervalMs, run) {
    const id = setInterval(run, intervalMs);
    id.unref();
    return { cancel: () => clearInterval(id) };
  },
  soon(run) {
    setImmediate(run);
  },
};

/** Resolves after `delayMs`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}
