/**
 * Usage events, made from what is known of a turn.
 *
 * Owns: which value a field gets when it is known, unknown, or nothing was billed.
 * Does not own: writing them.
 * Invariant: nothing is estimated; unknown is null and never 0.
 */

import type {
  ExchangeContext,
  Ledger,
  Transport,
  TurnKind,
  TurnStatus,
  Usage,
  UsageDetails,
  UsageEvent,
  UsageSource,
} from "../exchange.ts";
import type { EndedSignal, UsageReading } from "../provider/provider.ts";
import type { Clock } from "../runtime/clock.ts";
import { costMicros, costMicrosMax } from "./price.ts";

/** What a meter is given, whatever it meters. */
export interface MeterOptions {
  readonly nodeId: string;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly report: (report: MeterReport) => void;
}

/** What a meter says to the log and the metrics. */
export type MeterReport =
  | { readonly event: "relay_turn_completed"; readonly row: UsageEvent; readonly terminal: string }
  | { readonly event: "usage_parse_failed"; readonly turn: number; readonly cause: ParseFailure };

/** Why usage could not be read. */
export type ParseFailure =
  | "malformed_usage"
  | "malformed_body"
  | "event_too_large"
  | "body_too_large"
  | "bad_encoding"
  /** The end of a turn that did not run; with usage it is recorded as a turn of its own. */
  | "unmatched_terminal";

/** What went over the wire for a turn. */
export interface Traffic {
  readonly framesUp: number;
  readonly framesDown: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

export interface RowFacts {
  readonly turn: number;
  readonly kind: TurnKind;
  readonly transport: Transport;
  readonly requestedModel: string | null;
  readonly model: string | null;
  readonly requestedServiceTier: string | null;
  readonly decidedServiceTier: string | null;
  readonly serviceTier: string | null;
  readonly status: TurnStatus;
  readonly errorCode: string | null;
  readonly httpStatus: number | null;
  readonly responseId: string | null;
  readonly usage: UsageReading;
  /** What was set aside for it, in micro-dollars: counts where the usage stays unknown. */
  readonly reservedMicros: number;
  /** Numbers that were seen before the turn broke off: not all there is. */
  readonly isPartial: boolean;
  readonly details: UsageDetails;
  readonly firstTokenMs: number | null;
  readonly durationMs: number | null;
  readonly traffic: Traffic;
}

export const NO_TRAFFIC: Traffic = { framesUp: 0, framesDown: 0, bytesUp: 0, bytesDown: 0 };

/**
 * The row of a turn. Its `event_id` is made from session and turn, so that writing it again changes
 * nothing.
 */
export function rowOf(
  options: MeterOptions,
  context: ExchangeContext,
  facts: RowFacts,
): UsageEvent {
  const { usage, details } = numbersOf(facts.usage);
  const serviceTier = facts.serviceTier ?? facts.decidedServiceTier;
  const model = facts.model ?? facts.requestedModel;
  const settlement = settlementOf(facts, priceOf(facts, model, serviceTier, usage));
  return {
    // First, where the runtime copies it at once.
    ...usage,
    event_id: `${context.sessionId}_${facts.turn}`,
    recorded_at: options.clock.nowMs(),
    node_id: options.nodeId,
    project_id: context.projectId,
    token_id: context.tokenId,
    session_id: context.sessionId,
    turn: facts.turn,
    kind: facts.kind,
    transport: facts.transport,
    provider: context.provider,
    endpoint: context.endpoint,
    requested_model: facts.requestedModel,
    model,
    requested_service_tier: facts.requestedServiceTier,
    decided_service_tier: facts.decidedServiceTier,
    service_tier: serviceTier,
    status: facts.status,
    error_code: facts.errorCode,
    http_status: facts.httpStatus,
    response_id: facts.responseId,
    upstream_request_id: context.upstreamRequestId,
    usage_source: sourceOf(facts),
    details: { ...facts.details, ...details, ...settlement.details },
    cost_micros: null,
    settled_micros: settlement.micros,
    first_token_ms: rounded(facts.firstTokenMs),
    duration_ms: rounded(facts.durationMs),
    frames_up: facts.traffic.framesUp,
    frames_down: facts.traffic.framesDown,
    bytes_up: facts.traffic.bytesUp,
    bytes_down: facts.traffic.bytesDown,
  };
}

/** Tokens of a row, in and out; null: not known, or not all. */
export function tokensOf(row: UsageEvent): number | null {
  const { input_tokens, output_tokens, usage_source } = row;
  if (usage_source === "partial") return null;
  return input_tokens === null || output_tokens === null ? null : input_tokens + output_tokens;
}

/**
 * Completes a row whose usage came later.
 * @param pending the row as it was closed
 */
export function completedRow(pending: UsageEvent, ended: EndedSignal): UsageEvent {
  const { usage, details } = numbersOf(ended.usage);
  const model = ended.model ?? pending.model;
  const serviceTier = ended.serviceTier ?? pending.service_tier;
  const isKnown = ended.usage.reading === "usage";
  const { settled_at_reserve: _, ...former } = pending.details;
  return {
    ...pending,
    ...usage,
    model,
    service_tier: serviceTier,
    status: ended.status,
    error_code: ended.errorCode,
    usage_source: isKnown ? "upstream" : "missing",
    details: isKnown ? { ...former, ...details } : pending.details,
    settled_micros: isKnown
      ? priceOf(
          {
            requestedServiceTier: pending.requested_service_tier,
            decidedServiceTier: pending.decided_service_tier,
          },
          model,
          serviceTier,
          usage,
        )
      : pending.settled_micros,
  };
}

/** Of the tier served, but where one was asked for never of a dearer one than was decided. */
function priceOf(
  {
    requestedServiceTier,
    decidedServiceTier,
  }: Pick<RowFacts, "requestedServiceTier" | "decidedServiceTier">,
  model: string | null,
  servedTier: string | null,
  usage: UsageColumns,
): number {
  const served = costMicros(model, servedTier, usage);
  if (requestedServiceTier === null) return served;
  return Math.min(served, costMicrosMax(model, decidedServiceTier, usage));
}

/**
 * What a turn counts for against budgets. Where it broke off, numbers that were seen are not all
 * there is, so the reserved amount is the least.
 */
function settlementOf(
  { usage, isPartial, reservedMicros }: RowFacts,
  price: number,
): { micros: number; details: UsageDetails } {
  if (usage.reading === "none_billed") return { micros: 0, details: {} };
  if (usage.reading === "usage" && !isPartial) return { micros: price, details: {} };
  const isReserve = reservedMicros > 0 && reservedMicros >= price;
  return {
    micros: Math.max(price, reservedMicros),
    details: isReserve ? { settled_at_reserve: true } : {},
  };
}

type UsageColumns = Pick<
  UsageEvent,
  | "input_tokens"
  | "cached_input_tokens"
  | "cache_creation_input_tokens"
  | "output_tokens"
  | "reasoning_tokens"
  | "audio_input_tokens"
  | "audio_output_tokens"
  | "audio_seconds"
  | "web_search_requests"
>;

function numbersOf(reading: UsageReading): { usage: UsageColumns; details: UsageDetails } {
  if (reading.reading === "usage") {
    return { usage: columnsOf(reading.usage), details: reading.usage.details };
  }
  return { usage: filled(reading.reading === "none_billed" ? 0 : null), details: {} };
}

function columnsOf(usage: Usage): UsageColumns {
  return {
    input_tokens: usage.inputTokens,
    cached_input_tokens: usage.cachedInputTokens,
    cache_creation_input_tokens: usage.cacheCreationInputTokens,
    output_tokens: usage.outputTokens,
    reasoning_tokens: usage.reasoningTokens,
    audio_input_tokens: usage.audioInputTokens,
    audio_output_tokens: usage.audioOutputTokens,
    audio_seconds: usage.audioSeconds,
    web_search_requests: usage.webSearchRequests,
  };
}

/** Every count of tokens the same; what is not tokens stays unknown. */
function filled(tokens: 0 | null): UsageColumns {
  return {
    input_tokens: tokens,
    cached_input_tokens: tokens,
    cache_creation_input_tokens: tokens,
    output_tokens: tokens,
    reasoning_tokens: tokens,
    audio_input_tokens: tokens,
    audio_output_tokens: tokens,
    audio_seconds: null,
    web_search_requests: null,
  };
}

function sourceOf(facts: RowFacts): UsageSource {
  if (facts.usage.reading === "none_billed") return "none_billed";
  if (facts.usage.reading !== "usage") return "missing";
  return facts.isPartial ? "partial" : "upstream";
}

/** Milliseconds as SQL keeps them: whole. */
function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}
