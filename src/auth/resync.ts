/**
 * Keeps what a node has in memory in step with a database that other nodes change too.
 *
 * Owns: when it is read again. Does not own: what is read (`directory.ts`, `revocation.ts`).
 * Invariant: one reading at a time; with the database away the last known state stays in force.
 */

import type { Clock, Timer } from "../runtime/clock.ts";

interface ResyncOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  /** Reads everything again; what was revoked or deactivated meanwhile ends what runs. */
  readonly read: () => Promise<void>;
  /** Told of the first failure of an outage. */
  readonly onFailure: (error: unknown) => void;
}

/** Reads again every `intervalMs` until the returned timer is cancelled. */
export function startResync(options: ResyncOptions): Timer {
  const { clock, intervalMs, read, onFailure } = options;
  let isReading = false;
  let isFailing = false;
  return clock.every(intervalMs, async () => {
    if (isReading) return;
    isReading = true;
    try {
      await read();
      isFailing = false;
    } catch (error) {
      if (!isFailing) onFailure(error);
      isFailing = true;
    } finally {
      isReading = false;
    }
  });
}
