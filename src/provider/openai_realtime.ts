/**
 * OpenAI Realtime, GA and beta names, conversation and transcription sessions.
 *
 *   upstream  session.created {session: {model, audio.input.transcription.model}}
 *   client    input_audio_buffer.append* … (the upstream's voice detection commits)
 *   upstream  input_audio_buffer.committed {item_id}  is now transcribed, on a model of its own
 *   upstream  response.created … response.output_audio.delta* … response.done
 *   upstream  conversation.item.input_audio_transcription.completed {item_id, usage}
 *
 * Owns: which of these events matter and what they say.
 * Does not own: which turn an event belongs to, nor whether the session transcribes.
 * Invariant: a `response.done` names no model and an `error` ends nothing; both are the session's
 * and the turn table's business. Audio is never parsed, except to tell parallel turns apart.
 */

import type { Message, TurnStatus } from "../exchange.ts";
import { OUTPUT } from "./openai_responses.ts";
import { readUsage } from "./openai_usage.ts";
import type {
  EndedSignal,
  MessageReader,
  OutputOwner,
  SessionSignal,
  TurnSignal,
} from "./provider.ts";
import { NONE_BILLED, USAGE_ABSENT } from "./usage_reading.ts";
import {
  ERROR_KEYS,
  WireObject,
  clientEvent,
  errorCodeOf,
  isDelta,
  textOf,
  typeAtFront,
} from "./wire_text.ts";

const TRANSCRIPTION = "conversation.item.input_audio_transcription";

const MATTERS: ReadonlySet<string> = new Set([
  "session.created",
  "session.updated",
  "transcription_session.created",
  "transcription_session.updated",
  "input_audio_buffer.committed",
  `${TRANSCRIPTION}.completed`,
  `${TRANSCRIPTION}.failed`,
  "response.created",
  "response.done",
  "error",
]);

const STATUSES: ReadonlyMap<string, TurnStatus> = new Map([
  ["completed", "completed"],
  ["incomplete", "incomplete"],
  ["failed", "failed"],
  ["cancelled", "cancelled"],
  ["canceled", "cancelled"],
]);

const EVENT_KEYS = ["type", "session", "response", "item_id", "usage", "error"];

/** Reads a session on `/v1/realtime`. */
export const realtimeReader: MessageReader = {
  turnsBegin: "at_answer",
  clientSignal,
  upstreamSignal,
  outputOf,
};

/** Those that say what the message does, or what it is done with. */
const REQUEST_KEYS = ["type", "session", "response"];

function clientSignal(message: Message): TurnSignal | null {
  const event = clientEvent(message, REQUEST_KEYS);
  if (event.string("type") !== "response.create") return null;
  return {
    signal: "requested",
    lane: null,
    model: null,
    serviceTier: null,
    outputTokensMax: outputTokensMaxOf(event.object("response", OUTPUT_LIMITS)),
    warmup: false,
  };
}

/** GA name and beta name. `"inf"` is no limit. */
const OUTPUT_LIMITS = ["max_output_tokens", "max_response_output_tokens"] as const;

function outputTokensMaxOf(response: WireObject | null): number | null {
  if (response === null || response.duplicate !== null) return null;
  const [limit, older] = OUTPUT_LIMITS;
  return response.integer(response.has(limit) ? limit : older);
}

function upstreamSignal(message: Message): TurnSignal | null {
  if (isDelta(message)) return OUTPUT;
  const front = typeAtFront(message);
  if (front !== "" && !MATTERS.has(front)) return null;
  const event = WireObject.read(textOf(message), EVENT_KEYS);
  const type = event?.string("type") ?? null;
  if (event === null || type === null) return null;
  if (type.endsWith(".delta")) return OUTPUT;
  if (type.includes("session.")) return MATTERS.has(type) ? sessionOf(event) : null;
  if (type === "input_audio_buffer.committed") return committed(event);
  if (type === `${TRANSCRIPTION}.completed`) return transcribed(event, type, "completed");
  if (type === `${TRANSCRIPTION}.failed`) return transcribed(event, type, "failed");
  if (type === "response.created") return created(event);
  if (type === "response.done") return done(event);
  return type === "error" ? refused(event) : null;
}

/** `audio.input.transcription` in GA, `input_audio_transcription` in the beta; null is off. */
function sessionOf(event: WireObject): SessionSignal | null {
  const session = event.object("session", ["model", "audio", "input_audio_transcription"]);
  if (session === null) return null;
  const model = session.string("model");
  const input = session.object("audio", ["input"])?.object("input", ["transcription"]) ?? null;
  const [owner, key] =
    input === null ? [session, "input_audio_transcription"] : [input, "transcription"];
  if (owner.json(key) === null) return { signal: "session", model };
  const transcriptionModel = owner.object(key, ["model"])?.string("model") ?? null;
  return { signal: "session", model, transcriptionModel };
}

function committed(event: WireObject): TurnSignal | null {
  const key = event.string("item_id");
  if (key === null) return null;
  return {
    signal: "started",
    key,
    kind: "transcription",
    lane: null,
    model: null,
    serviceTier: null,
    background: false,
  };
}

function transcribed(event: WireObject, type: string, status: TurnStatus): EndedSignal {
  const failed = status === "failed" && !event.has("usage");
  return {
    signal: "ended",
    key: event.string("item_id"),
    kind: "transcription",
    lane: null,
    terminal: type,
    status,
    model: null,
    serviceTier: null,
    errorCode: errorCodeOf(event.object("error", ERROR_KEYS)),
    usage: failed ? NONE_BILLED : readUsage(event.json("usage")),
    continues: false,
  };
}

function created(event: WireObject): TurnSignal | null {
  const key = event.object("response", ["id"])?.string("id") ?? null;
  if (key === null) return null;
  return {
    signal: "started",
    key,
    kind: "response",
    lane: null,
    model: null,
    serviceTier: null,
    background: false,
  };
}

function done(event: WireObject): EndedSignal {
  const keys = ["id", "status", "status_details", "usage", "model", "service_tier"];
  const response = event.object("response", keys);
  const details = response?.object("status_details", ["error"]) ?? null;
  return {
    signal: "ended",
    key: response?.string("id") ?? null,
    kind: "response",
    lane: null,
    terminal: "response.done",
    status: STATUSES.get(response?.string("status") ?? "") ?? "completed",
    model: response?.string("model") ?? null,
    serviceTier: response?.string("service_tier") ?? null,
    errorCode: errorCodeOf(details?.object("error", ERROR_KEYS) ?? null),
    usage: response === null ? USAGE_ABSENT : readUsage(response.json("usage")),
    continues: false,
  };
}

function refused(event: WireObject): TurnSignal {
  return {
    signal: "refused",
    about: "request",
    lane: null,
    laneKnown: false,
    terminal: "error",
    errorCode: errorCodeOf(event.object("error", ERROR_KEYS)),
    httpStatus: null,
  };
}

function outputOf(message: Message): OutputOwner {
  const event = WireObject.read(textOf(message), ["response_id", "item_id", "type"]);
  const item = event?.string("type")?.startsWith(TRANSCRIPTION) === true;
  return { key: event?.string(item ? "item_id" : "response_id") ?? null, lane: null };
}
