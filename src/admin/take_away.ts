/**
 * Taking a right away, whether the store takes it or not.
 *
 * Owns: the order (in force first, then stored) and what the caller is told where it is not stored
 * yet. Does not own: what waits for the store (`auth/pending.ts`).
 * Invariant: what is answered without a refusal is stored. No right is given back while its taking
 * away still waits to be stored.
 */

import type { AuditEntry } from "../store/store.ts";
import type { AdminOptions } from "./context.ts";
import { KeptProblem, Problem } from "./problem.ts";

/** How long is waited for what would be good to know before something is revoked. */
const LOOK_MS = 500;

interface Taking {
  readonly entry: AuditEntry;
  /** Puts it in force on this node. @returns what to do once it is stored; null: nothing */
  enforce(): (() => void) | null;
  /** Stores it; called again where it failed. */
  write(entry: AuditEntry, isRepeated: boolean): Promise<unknown>;
}

/**
 * Takes a right away: in force here when this returns its promise.
 * @throws Problem 503: it is in force, and stored later; or too much waits already, and it is not
 */
export async function takeAway(
  { pending }: Pick<AdminOptions, "pending">,
  { entry, enforce, write }: Taking,
): Promise<void> {
  if (pending.isFull) throw full();
  const settle = enforce() ?? (() => undefined);
  if ((await pending.apply({ entry, write, settle })) === "kept") throw new KeptProblem();
}

/**
 * To be called before a right is given: what takes one away must not come after it.
 * @param subject as the audit names it
 * @throws Problem 503
 */
export async function requireWritten(
  { pending }: Pick<AdminOptions, "pending">,
  subject: string,
): Promise<void> {
  if (await pending.catchUp(subject)) return;
  const message = "A revocation or deactivation of it waits to be stored before";
  throw new Problem("store_unavailable", message, "Try again when the database is back");
}

/** What `reading` resolves with; null where it fails or takes longer than half a second. */
export async function readSoon<T>(
  { clock, onError }: Pick<AdminOptions, "clock" | "onError">,
  reading: Promise<T>,
): Promise<T | null> {
  const { promise, resolve } = Promise.withResolvers<null>();
  const timer = clock.after(LOOK_MS, () => resolve(null));
  const failed = (error: unknown) => {
    onError(error);
    return null;
  };
  return Promise.race([promise, reading.catch(failed)]).finally(() => timer.cancel());
}

function full(): Problem {
  const advice = "Nothing was changed. Try again when the database is back";
  return new Problem("store_unavailable", "Too many changes wait for the database already", advice);
}
