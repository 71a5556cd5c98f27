/**
 * Which failures of an upstream are reasons to ask another one.
 *
 * Owns: failures as `retry.on` names them. Does not own: whether there is another one.
 */

import type { RetryCause } from "../config/config.ts";
import { GatewayError } from "../errors.ts";

/** Null: the answer stands, as the answer of any other would. */
export function causeOfStatus(status: number): RetryCause | null {
  if (status === 429) return "429";
  return status >= 500 ? "5xx" : null;
}

/** Of what a request was ended with before any answer; null: it is not about the upstream. */
export function causeOfError(thrown: unknown): RetryCause | null {
  if (!(thrown instanceof GatewayError)) return null;
  if (thrown.code === "upstream_timeout") return "timeout";
  const isLost = thrown.code === "upstream_unreachable" || thrown.code === "upstream_closed";
  return isLost ? "connect" : null;
}
