/**
 * A turn that sluice fails by itself, in the events of the protocol: begun, and failed at once.
 *
 * Owns: how that looks in each format. Does not own: why (`policy/`).
 * Invariant: what a client reads is complete by itself; it waits for nothing more of this turn.
 */

import type { Message } from "../exchange.ts";
import type { MeterDialect } from "./provider.ts";
import { textOf, WireObject } from "./wire_text.ts";

/** What is known of the turn. */
interface FailedTurn {
  readonly id: string;
  readonly model: string | null;
  /** `stream_id` of the request; null: it named none. */
  readonly lane: string | null;
  readonly reason: string;
}

/** The code that clients do not try again on. */
const CODE = "invalid_prompt";

/**
 * What a client is sent whose message asked for the turn; nothing where the format has no such
 * events.
 * @param id a new response id
 * @param reason told to the client
 */
export function failedTurnMessages(
  dialect: MeterDialect,
  asking: Message,
  id: string,
  reason: string,
): readonly string[] {
  if (dialect === "openai_realtime") return realtimeEvents(id, reason);
  if (dialect !== "openai_responses") return [];
  const request = WireObject.read(textOf(asking), ["model", "stream_id"]);
  const [model, lane] = ["model", "stream_id"].map((key) => request?.string(key) ?? null);
  return responsesEvents({ id, model: model ?? null, lane: lane ?? null, reason });
}

function responsesEvents({ id, model, lane, reason }: FailedTurn): readonly string[] {
  const common = { id, object: "response", model, output: [] };
  const error = { code: CODE, message: reason };
  const stream = lane === null ? {} : { stream_id: lane };
  return [
    { type: "response.created", response: { ...common, status: "in_progress", error: null } },
    { type: "response.failed", response: { ...common, status: "failed", error } },
  ].map((event, index) => JSON.stringify({ ...event, sequence_number: index, ...stream }));
}

function realtimeEvents(id: string, reason: string): readonly string[] {
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
