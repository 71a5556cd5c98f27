/**
 * A turn that sluice fails by itself, in the events of the protocol: begun, and failed at once.
 *
 * Owns: how that looks in each format, and which messages ask for a turn. Does not own: why
 * (`policy/`).
 * Invariant: what a client reads is complete by itself; it waits for nothing more of this turn.
 */

import type { Message } from "../exchange.ts";
import type { MeterDialect } from "./provider.ts";
import { textOf, WireObject } from "./wire_text.ts";

/** What is known of the turn. */
interface FailedTurn {
  /** A new response id. */
  readonly id: string;
  /** Seconds since the epoch, whole. */
  readonly createdAtS: number;
  /** Told to the client. */
  readonly reason: string;
}

/** The code that clients do not try again on. */
const CODE = "invalid_prompt";

/**
 * What a client is sent whose message asked for the turn; nothing where it asked for none, or the
 * format has no such events.
 */
export function failedTurnMessages(
  dialect: MeterDialect,
  asking: Message,
  turn: FailedTurn,
): readonly string[] {
  if (dialect !== "openai_realtime" && dialect !== "openai_responses") return [];
  const request = WireObject.read(textOf(asking), ["type", "model", "stream_id"]);
  if (request?.string("type") !== "response.create") return [];
  return dialect === "openai_realtime" ? realtimeEvents(turn) : responsesEvents(turn, request);
}

function responsesEvents(
  { id, createdAtS, reason }: FailedTurn,
  request: WireObject,
): readonly string[] {
  // Clients read a text there, even where it is known from an earlier turn alone.
  const model = request.string("model") ?? "";
  const lane = request.string("stream_id");
  const common = { id, object: "response", created_at: createdAtS, model, output: [] };
  const error = { code: CODE, message: reason };
  const stream = lane === null ? {} : { stream_id: lane };
  return [
    { type: "response.created", response: { ...common, status: "in_progress", error: null } },
    { type: "response.failed", response: { ...common, status: "failed", error } },
  ].map((event, index) => JSON.stringify({ ...event, sequence_number: index, ...stream }));
}

function realtimeEvents({ id, reason }: FailedTurn): readonly string[] {
  const common = { object: "realtime.response", id, output: [], usage: null };
  const error = { type: "invalid_request_error", code: CODE, message: reason };
  const details = { type: "failed", error };
  return [
    {
      type: "response.created",
      response: { ...common, status: "in_progress", status_details: null },
    },
    { type: "response.done", response: { ...common, status: "failed", status_details: details } },
  ].map((event, index) => JSON.stringify({ event_id: `event_${id}_${index}`, ...event }));
}
