/**
 * The row of a session's turn: what is known of it, and how it ended.
 *
 * Owns: which fact of the turn table becomes which field. Does not own: the row itself (`row.ts`),
 * when it is written (`session_meter.ts`).
 */

import type { TurnStatus, UsageDetails } from "../exchange.ts";
import type { UsageReading } from "../provider/provider.ts";
import type { RowFacts, Traffic } from "./row.ts";
import type { Turn } from "./turn.ts";

/** How a turn ended, beside what the turn itself knows. */
export interface Ending {
  readonly status: TurnStatus;
  readonly usage: UsageReading;
  readonly terminal: string;
  readonly errorCode: string | null;
  readonly httpStatus: number | null;
}

/** What a row says of a turn. */
export function factsOf(
  turn: Turn,
  ending: Ending,
  durationMs: number | null,
  traffic: Traffic,
  isNameless: boolean,
): RowFacts {
  return {
    turn: turn.number,
    kind: turn.kind,
    transport: "websocket",
    requestedModel: turn.requestedModel,
    model: turn.model ?? turn.asked?.model ?? null,
    requestedServiceTier: turn.requestedServiceTier,
    decidedServiceTier: turn.decidedServiceTier,
    serviceTier: turn.serviceTier,
    status: ending.status,
    errorCode: ending.errorCode,
    httpStatus: ending.httpStatus,
    responseId: turn.kind === "response" && !isNameless ? turn.key : null,
    usage: ending.usage,
    reservedMicros: turn.reservation?.costMicros ?? 0,
    isPartial: false,
    details: detailsOf(turn),
    firstTokenMs: turn.firstTokenMs,
    durationMs,
    traffic,
  };
}

/**
 * No terminal event was seen: an error may have ended the turn, and what it cost is not known. A
 * response in the background goes on without us.
 */
export function interruption(turn: Turn): Ending {
  if (turn.error !== null) {
    const { isCertain, ...error } = turn.error;
    return { status: "error", usage: { reading: isCertain ? "none_billed" : "absent" }, ...error };
  }
  return {
    status: turn.background ? "pending" : "interrupted",
    usage: { reading: "absent" },
    terminal: "none",
    errorCode: null,
    httpStatus: null,
  };
}

function detailsOf(turn: Turn): UsageDetails {
  const details: UsageDetails = {};
  if (turn.lane !== null) details.stream_id = turn.lane;
  if (turn.warmup) details.warmup = true;
  return details;
}
