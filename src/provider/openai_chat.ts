/**
 * OpenAI chat completions and legacy completions, as SSE and as one JSON body.
 *
 *   data: {"id":…,"choices":[{"delta":{…}}],"usage":null} any number
 *   data: {"id":…,"choices":[],"usage":{…}}       only with stream_options.include_usage
 *   data: [DONE]
 *
 * Owns: what a chunk says, and which chunk is the usage chunk.
 * Does not own: asking for that chunk (`openai_request.ts`) or taking it out again (the meter).
 * Invariant: the usage chunk is the one with no choices. Usage beside choices (servers that repeat
 * it as it grows) is remembered and counts only when the stream ends without a usage chunk.
 */

import type { Message } from "../exchange.ts";
import { readUsage } from "./openai_usage.ts";
import type {
  EndedSignal,
  JsonBodyReader,
  MessageReader,
  TurnSignal,
  UsageReading,
} from "./provider.ts";
import { USAGE_ABSENT } from "./usage_reading.ts";
import { ERROR_KEYS, WireObject, errorCodeOf, textOf } from "./wire_text.ts";

const CHUNK_KEYS = ["id", "model", "service_tier", "usage", "choices", "error"];
const BODY_KEYS = ["id", "model", "service_tier", "usage"];
const DONE = "[DONE]";

/** Name of the usage chunk as a terminal event, by which the tap knows which one to take out. */
export const USAGE_CHUNK = "usage";

/** Reads the SSE events of `/v1/chat/completions` and `/v1/completions`. */
export const chatReader: MessageReader = {
  turnsBegin: "at_request",
  clientSignal: () => null,
  upstreamSignal,
  outputOf: () => ({ key: null, lane: null }),
};

function upstreamSignal(message: Message): TurnSignal | null {
  const text = textOf(message);
  if (text === null) return null;
  if (text === DONE) return ended(DONE, null, null, null, USAGE_ABSENT);
  const chunk = WireObject.read(text, CHUNK_KEYS);
  if (chunk === null) return null;
  const error = chunk.object("error", ERROR_KEYS);
  if (error !== null) {
    return {
      signal: "refused",
      about: "response",
      lane: null,
      laneKnown: true,
      terminal: "error",
      errorCode: errorCodeOf(error),
      httpStatus: error.integer("status") ?? error.integer("code"),
    };
  }
  return chunkSignal(chunk);
}

function chunkSignal(chunk: WireObject): TurnSignal {
  const key = chunk.string("id");
  const model = chunk.string("model");
  const serviceTier = chunk.string("service_tier");
  const usage = readUsage(chunk.json("usage"));
  if (isUsageChunk(chunk)) return ended(USAGE_CHUNK, key, model, serviceTier, usage);
  const output = !hasNoChoices(chunk);
  return { signal: "progress", key, model, serviceTier, usage, output };
}

function hasNoChoices(chunk: WireObject): boolean {
  const choices = chunk.json("choices");
  return choices !== null && /^\[\s*\]$/.test(choices);
}

/** Azure's first chunk has no choices either, but its usage is null or missing. */
function isUsageChunk(chunk: WireObject): boolean {
  return hasNoChoices(chunk) && chunk.has("usage");
}

function ended(
  terminal: string,
  key: string | null,
  model: string | null,
  serviceTier: string | null,
  usage: UsageReading,
): EndedSignal {
  return {
    signal: "ended",
    key,
    kind: "response",
    lane: null,
    terminal,
    status: "completed",
    model,
    serviceTier,
    errorCode: null,
    usage,
    continues: false,
  };
}

/** The body of a chat or legacy completion. */
export const chatBody: JsonBodyReader = { keys: BODY_KEYS, read: readBody };

function readBody(text: string): EndedSignal | null {
  const body = WireObject.read(text, BODY_KEYS);
  if (body === null) return null;
  const usage = readUsage(body.json("usage"));
  return ended("body", body.string("id"), body.string("model"), body.string("service_tier"), usage);
}
