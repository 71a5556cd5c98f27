/**
 * A token's limits on the wire, where `max_requests` has a field of its own.
 *
 * Owns: joining the two fields. Does not own: what a limit may be (`config/limits.ts`).
 * Invariant: one thing is said in one place only.
 */

import type { LimitChanges } from "../exchange.ts";
import { Problem } from "./problem.ts";

/**
 * Both fields as one.
 * @throws Problem 400 where `limits` holds `max_requests` too
 */
export function joinLimits(fields: {
  readonly limits?: LimitChanges;
  readonly max_requests?: number | null;
}): LimitChanges {
  const { limits = {}, max_requests } = fields;
  if (Object.hasOwn(limits, "max_requests")) {
    const advice = 'Send "max_requests" beside "limits"';
    throw new Problem("bad_request", '"max_requests" of a token is not one of "limits"', advice);
  }
  return max_requests === undefined ? limits : { ...limits, max_requests };
}
