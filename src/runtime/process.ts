/**
 * Signals, as promises. Owns the process's handlers; what a signal means is the caller's.
 */

import process from "node:process";

/** A signal that came. */
interface ReceivedSignal {
  readonly name: string;
  /** Resolves when another one of the same set comes. */
  readonly again: Promise<void>;
}

/** Resolves with the first of `names`. */
export function onSignals(names: readonly NodeJS.Signals[]): Promise<ReceivedSignal> {
  const first = Promise.withResolvers<ReceivedSignal>();
  const again = Promise.withResolvers<void>();
  let received = false;
  for (const name of names) {
    process.on(name, () => {
      if (received) again.resolve();
      received = true;
      first.resolve({ name, again: again.promise });
    });
  }
  return first.promise;
}

/** Ends the process without waiting for anything. */
export function exitNow(code: number): never {
  process.exit(code);
}
