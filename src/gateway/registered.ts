/**
 * What the registry of exchanges in flight is told of one, whatever it is at the moment: a request,
 * a session that is dialled, waits or runs.
 *
 * Owns: these facts, and since when it is so; of a session, what is told of its end. Does not own:
 * being in the registry (`relay/live.ts`), ending or draining.
 * Invariant: they are those of the request that it began with.
 */

import type { LogFields } from "../emit/log.ts";
import { closeCodeLabel } from "../relay/close.ts";
import type { LiveExchange } from "../relay/live.ts";
import type { SessionOutcome } from "../relay/session_record.ts";
import type { Candidate } from "../route/choose.ts";
import type { Admitted, GatewayParts } from "./arrival.ts";

/** How a session ended, whether or not it came to relaying. */
type SessionEnd = Pick<
  SessionOutcome,
  "result" | "stage" | "error" | "closeCodeDownstream" | "droppedFrames" | "graceful"
>;

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
  abstract readonly turns: number;

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

  /**
   * Counts the session and its lost frames, and tells the log how it ended.
   * @param model that it was for; null: not known
   * @param more that the log is told
   */
  protected tellEnd(
    { log, metrics, clock }: Pick<GatewayParts, "log" | "metrics" | "clock">,
    model: string | null,
    { result, stage, error, closeCodeDownstream, droppedFrames, graceful }: SessionEnd,
    more: LogFields = {},
  ): void {
    metrics.count("sluice_sessions_total", [
      this.provider,
      metrics.modelLabel(model),
      result,
      closeCodeLabel(closeCodeDownstream),
    ]);
    let dropped = 0;
    for (const [reason, count] of Object.entries(droppedFrames)) {
      dropped += count;
      metrics.count("sluice_frames_dropped_total", [reason], count);
    }
    log(result === "completed" ? "relay_completed" : "relay_failed", {
      session_id: this.id,
      transport: this.transport,
      provider: this.provider,
      endpoint: this.endpoint,
      stage,
      reason: error?.message,
      code: error?.code,
      close_code_downstream: closeCodeDownstream,
      ...more,
      dropped_frames: dropped,
      turns: this.turns,
      duration_ms: clock.nowMs() - this.startedAtMs,
      graceful,
    });
  }
}
