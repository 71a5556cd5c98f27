/**
 * OpenAI Responses: over WebSocket, as SSE and as one JSON body.
 *
 *   client    response.create                        (lane: `stream_id`)
 *   upstream  response.created … response.output_text.delta* … response.completed
 *                                                    or incomplete, failed, cancelled; or error
 *
 * Owns: which of these events matter and what they say. Server events are the same objects on a
 * WebSocket and in SSE `data`.
 * Does not own: which turn an event belongs to.
 * Invariant: deltas are recognised by their first bytes and never parsed, except to tell parallel
 * turns apart; usage, model and tier are those of the terminal event.
 */

import type { Message, TurnStatus } from "../exchange.ts";
import { readUsage } from "./openai_usage.ts";
import type {
  EndedSignal,
  JsonBodyReader,
  MessageReader,
  OtherSignal,
  OutputOwner,
  OutputSignal,
  RefusedSignal,
  TurnSignal,
  UsageReading,
} from "./provider.ts";
import { USAGE_ABSENT } from "./usage_reading.ts";
import {
  ERROR_KEYS,
  WireObject,
  clientEvent,
  errorCodeOf,
  isDelta,
  textOf,
  typeAtFront,
} from "./wire_text.ts";

export const OUTPUT: OutputSignal = { signal: "output" };
const OTHER: OtherSignal = { signal: "other" };

/** Event type to status; `response.done` says it in the response. */
const TERMINALS: ReadonlyMap<string, TurnStatus | null> = new Map([
  ["response.completed", "completed"],
  ["response.incomplete", "incomplete"],
  ["response.failed", "failed"],
  ["response.cancelled", "cancelled"],
  ["response.canceled", "cancelled"],
  ["response.done", null],
]);
const STATUSES: ReadonlyMap<string, TurnStatus> = new Map([
  ["completed", "completed"],
  ["incomplete", "incomplete"],
  ["failed", "failed"],
  ["cancelled", "cancelled"],
  ["canceled", "cancelled"],
  ["queued", "pending"],
  ["in_progress", "pending"],
]);

const REQUEST_KEYS = [
  "type",
  "stream_id",
  "model",
  "service_tier",
  "generate",
  "prompt_cache_options",
  "max_output_tokens",
  "prompt",
];
const EVENT_KEYS = ["type", "stream_id", "response", "error", "status", "code", "param"];
const RESPONSE_KEYS = [
  "id",
  "status",
  "model",
  "service_tier",
  "usage",
  "error",
  "incomplete_details",
  "output",
  "background",
];

/** Reads a session on `/v1/responses`, and the SSE events of a `POST` there. */
export const responsesReader: MessageReader = {
  turnsBegin: "at_request",
  clientSignal,
  quietSignal: OTHER,
  upstreamSignal,
  outputOf,
};

function clientSignal(message: Message): TurnSignal | null {
  const event = clientEvent(message, REQUEST_KEYS, ["max_output_tokens"]);
  if (event.string("type") !== "response.create") return OTHER;
  const prewarm = event.object("prompt_cache_options", ["prewarm"])?.isTrue("prewarm") ?? false;
  return {
    signal: "requested",
    lane: event.string("stream_id"),
    model: event.string("model"),
    isModelOpen: event.has("prompt"),
    serviceTier: event.string("service_tier"),
    outputTokensMax: event.integer("max_output_tokens"),
    warmup: event.isFalse("generate") || prewarm,
  };
}

function upstreamSignal(message: Message): TurnSignal | null {
  if (isDelta(message)) return OUTPUT;
  const front = typeAtFront(message);
  if (front !== "" && !matters(front)) return null;
  const event = WireObject.read(textOf(message), EVENT_KEYS);
  if (event === null) return null;
  const type = event.string("type");
  if (type === "error" || (type === null && event.has("error"))) return refused(event);
  if (type === null) return null;
  if (type.endsWith(".delta")) return OUTPUT;
  if (!matters(type)) return null;
  const response = event.object("response", RESPONSE_KEYS);
  return type === "response.created"
    ? started(event, response)
    : ended(type, event.string("stream_id"), response);
}

function matters(type: string): boolean {
  return type === "response.created" || type === "error" || TERMINALS.has(type);
}

function started(event: WireObject, response: WireObject | null): TurnSignal | null {
  const key = response?.string("id") ?? null;
  if (response === null || key === null) return null;
  return {
    signal: "started",
    key,
    kind: "response",
    lane: event.string("stream_id"),
    model: response.string("model"),
    serviceTier: response.string("service_tier"),
    background: response.isTrue("background"),
  };
}

function ended(type: string, lane: string | null, response: WireObject | null): EndedSignal {
  const said = STATUSES.get(response?.string("status") ?? "") ?? "completed";
  const error = response?.object("error", ERROR_KEYS) ?? null;
  return {
    signal: "ended",
    key: response?.string("id") ?? null,
    kind: "response",
    lane,
    terminal: type,
    status: TERMINALS.get(type) ?? said,
    model: response?.string("model") ?? null,
    serviceTier: response?.string("service_tier") ?? null,
    errorCode: errorCodeOf(error),
    usage: response === null ? USAGE_ABSENT : usageOf(response),
    continues:
      response?.object("incomplete_details", ["reason"])?.string("reason") === "steered" &&
      type === "response.incomplete",
  };
}

/**
 * The three shapes of an error event: wrapped with `status`, the same with headers beside it, and
 * flat. A wrapped one answers a request before its response begins; a flat one may also break off
 * what runs. An error about `stream_id` names no lane, because the lane is what is wrong.
 */
function refused(event: WireObject): RefusedSignal {
  const wrapped = event.object("error", ERROR_KEYS);
  const lane = event.string("stream_id");
  const param = wrapped === null ? event.string("param") : wrapped.string("param");
  const code = wrapped === null ? event.string("code") : errorCodeOf(wrapped);
  return {
    signal: "refused",
    about: wrapped === null ? "response" : "request",
    lane,
    laneKnown: lane !== null || (param !== "stream_id" && code !== "invalid_stream_id"),
    terminal: "error",
    errorCode: code,
    httpStatus: event.integer("status"),
  };
}

function outputOf(message: Message): OutputOwner {
  const event = WireObject.read(textOf(message), ["stream_id"]);
  return { key: null, lane: event?.string("stream_id") ?? null };
}

/** Usage with the web searches counted, which are billed by the call and are not in `usage`. */
function usageOf(response: WireObject): UsageReading {
  const reading = readUsage(response.json("usage"));
  if (reading.reading === "usage") reading.usage.webSearchRequests = webSearches(response);
  return reading;
}

function webSearches(response: WireObject): number | null {
  const json = response.json("output");
  if (json === null || !json.startsWith("[")) return null;
  if (!json.includes("web_search_call")) return 0;
  const items: unknown = JSON.parse(json);
  return Array.isArray(items) ? items.filter(isWebSearch).length : null;
}

/** Opening a page and looking for a word on it are calls too, but only a search is billed. */
function isWebSearch(item: unknown): boolean {
  if (typeof item !== "object" || item === null || !("type" in item)) return false;
  if (item.type !== "web_search_call") return false;
  const action = "action" in item ? item.action : null;
  if (typeof action !== "object" || action === null || !("type" in action)) return true;
  return action.type === "search";
}

/** A whole response object: the body of `POST`, of `/compact` and of `GET /v1/responses/{id}`. */
export const responseBody: JsonBodyReader = {
  keys: RESPONSE_KEYS,
  read(text) {
    const response = WireObject.read(text, RESPONSE_KEYS);
    return response === null ? null : ended("body", null, response);
  },
};
