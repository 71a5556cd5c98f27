/**
 * Whether there is room for another exchange.
 *
 * Owns: the node's and a token's number of sessions. Does not own: what a token may ask for.
 * Invariant: a refusal happens before the upstream is dialled, and long before the operating system
 * would refuse a socket.
 */

import { GatewayError } from "../errors.ts";
import type { Principal } from "../exchange.ts";

/** What admission counts; the registry of live exchanges implements it. */
interface Occupancy {
  readonly sessions: number;
  sessionsOf(tokenId: string): number;
}

interface AdmissionLimits {
  readonly sessionsMax: number;
  /** 0: no limit. */
  readonly sessionsPerTokenMax: number;
}

/** Each relayed session holds two sockets; the rest is for files, the database and HTTP. */
const RESERVED_FILES = 500;

/** Sessions that the open-file limit of the process allows (`limits.sessions: auto`). */
export function sessionsForOpenFiles(openFilesMax: number): number {
  return Math.max(1, Math.floor((openFilesMax - RESERVED_FILES) / 2));
}

/**
 * Admits a session or throws `node_full` or `too_many_sessions`.
 */
export function admitSession(
  principal: Principal,
  occupancy: Occupancy,
  limits: AdmissionLimits,
): void {
  if (occupancy.sessions >= limits.sessionsMax) throw new GatewayError("node_full");
  const perToken = limits.sessionsPerTokenMax;
  if (perToken === 0 || principal.tokenId === null) return;
  if (occupancy.sessionsOf(principal.tokenId) >= perToken) {
    throw new GatewayError("too_many_sessions", {
      message: `The token has ${perToken} open sessions, its limit`,
    });
  }
}
