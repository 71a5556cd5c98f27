/**
 * Which failures of an upstream are reasons to ask another one, and whom.
 *
 * Owns: failures as `retry.on` names them, and whose they are. Does not own: whether there is
 * another one.
 */

import type { RetryCause } from "../config/config.ts";
import { type ErrorCode, GatewayError } from "../errors.ts";

/** Null: the answer stands, as the answer of any other would. */
export function causeOfStatus(status: number): RetryCause | null {
  if (status === 429) return "429";
  return status >= 500 ? "5xx" : null;
}

/** Nothing was sent: it cannot be reached, is left alone, or there is no credential for it. */
const NOT_SENT: readonly ErrorCode[] = [
  "upstream_unreachable",
  "upstream_auth_failed",
  "circuit_open",
  "no_healthy_provider",
];

/** Of what a request was ended with before any answer; null: it is not about the upstream. */
export function causeOfError(thrown: unknown): RetryCause | null {
  if (!(thrown instanceof GatewayError)) return null;
  if (thrown.code === "upstream_timeout") return "timeout";
  // It may have begun before it broke off, like one that answers 502.
  if (thrown.code === "upstream_closed") return "5xx";
  return NOT_SENT.includes(thrown.code) ? "connect" : null;
}

/**
 * Whether a failure is one key's alone, so that another key of the provider may do better. Every
 * other failure is all of its provider's.
 * @param thrown what ended the request before any answer; null: there is an answer
 */
export function isOfKey(cause: RetryCause, thrown: unknown): boolean {
  if (cause === "429") return true;
  // There was no credential to send.
  return thrown instanceof GatewayError && thrown.code === "upstream_auth_failed";
}
