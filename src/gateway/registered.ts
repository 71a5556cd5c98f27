/**
 * What the registry of exchanges in flight is told of one, whatever it is at the moment: a request,
 * a session that is dialled, waits or runs.
 *
 * Owns: these facts, and since when it is so. Does not own: being in the registry
 * (`relay/live.ts`), ending or draining.
 * Invariant: they are those of the request that it began with.
 */

import type { LiveExchange } from "../relay/live.ts";
import type { Candidate } from "../route/choose.ts";
import type { Admitted, GatewayParts } from "./arrival.ts";

type Facts = Pick<
  LiveExchange,
  "id" | "projectId" | "tokenId" | "issuedAtMs" | "endpoint" | "startedAtMs"
>;

export abstract class Registered implements Facts {
  readonly id: string;
  readonly projectId: string;
  readonly tokenId: string | null;
  readonly issuedAtMs: number | null;
  readonly endpoint: string;
  readonly startedAtMs: number;

  constructor(
    { clock }: Pick<GatewayParts, "clock">,
    { id, principal, candidates }: Pick<Admitted, "id" | "principal" | "candidates">,
  ) {
    this.id = id;
    this.projectId = principal.projectId;
    this.tokenId = principal.tokenId;
    this.issuedAtMs = principal.issuedAtMs;
    this.endpoint = candidates[0].endpoint.name;
    this.startedAtMs = clock.nowMs();
  }
}

/** A session, also before it is one. */
export abstract class RegisteredSession extends Registered {
  readonly transport = "websocket";
  readonly provider: string;
  readonly remoteAddress: string;

  /** @param candidate that it is with, or would be with */
  constructor(
    parts: Pick<GatewayParts, "clock">,
    admitted: Pick<Admitted, "id" | "principal" | "candidates" | "connection">,
    { provider }: Pick<Candidate, "provider">,
  ) {
    super(parts, admitted);
    this.provider = provider.name;
    this.remoteAddress = admitted.connection.remoteAddress;
  }
}
