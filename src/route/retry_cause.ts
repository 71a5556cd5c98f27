/**
 * Which failures of an upstream are reasons to ask another one.
 *
 * Owns: failures as `retry.on` names them. Does not own: whether there is another one.
 */

import type { RetryCause } from "../config/config.ts";
import { type ErrorCode, GatewayError } from "../errors.ts";

/** Null: the answer stands, as the answer of any other would. */
export function causeOfStatus(status: number): RetryCause | null {
  if (status === 429) return "429";
  return status >= 500 ? "5xx" : null;
}

/** Nothing came of the connection, or there was no credential to open one with. */
const NOT_CONNECTED: readonly ErrorCode[] = [
  "upstream_unreachable",
  "upstream_closed",
  "upstream_auth_failed",
];

/** Of what a request was ended with before any answer; null: it is not about the upstream. */
export function causeOfError(thrown: unknown): RetryCause | null {
  if (!(thrown instanceof GatewayError)) return null;
  if (thrown.code === "upstream_timeout") return "timeout";
  return NOT_CONNECTED.includes(thrown.code) ? "connect" : null;
}
