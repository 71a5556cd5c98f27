/**
 * OpenAI's smaller endpoints: embeddings, audio, images and moderations.
 *
 * Owns: their JSON bodies, and the SSE events of transcription, speech and image streams
 * (`transcript.text.done`, `speech.audio.done`, `image_generation.completed`,
 * `image_edit.completed`).
 * Does not own: bodies that say nothing of usage (audio, srt, vtt, plain text).
 * Invariant: a transcription body names no model; the request's one counts.
 */

import type { Message, TurnKind } from "../exchange.ts";
import { OUTPUT } from "./openai_responses.ts";
import { readUsage } from "./openai_usage.ts";
import type {
  EndedSignal,
  JsonBodyReader,
  MessageReader,
  TurnSignal,
  UsageReading,
} from "./provider.ts";
import { NONE_BILLED } from "./usage_reading.ts";
import { ERROR_KEYS, WireObject, errorCodeOf, isDelta, textOf } from "./wire_text.ts";

const TERMINALS: ReadonlyMap<string, TurnKind> = new Map([
  ["transcript.text.done", "transcription"],
  ["speech.audio.done", "speech"],
  ["image_generation.completed", "image"],
  ["image_edit.completed", "image"],
]);
const EVENT_KEYS = ["type", "model", "usage", "error", "code"];
const BODY_KEYS = ["id", "model", "usage"];

/** Reads the SSE events of `/v1/audio/…` and `/v1/images/…`. */
export const mediaReader: MessageReader = {
  turnsBegin: "at_request",
  clientSignal: () => null,
  upstreamSignal,
  outputOf: () => ({ key: null, lane: null }),
};

function upstreamSignal(message: Message): TurnSignal | null {
  if (isDelta(message)) return OUTPUT;
  const event = WireObject.read(textOf(message), EVENT_KEYS);
  if (event === null) return null;
  const type = event.string("type") ?? "";
  if (type === "error" || (type === "" && event.has("error"))) return refused(event);
  const kind = TERMINALS.get(type);
  if (kind === undefined) return type.endsWith(".partial_image") ? OUTPUT : null;
  const usage = readUsage(event.json("usage"));
  // Speech is audio, but its usage does not say how much of the output is.
  if (kind === "speech" && usage.reading === "usage") usage.usage.audioOutputTokens = null;
  return ended(type, kind, event, usage);
}

function refused(event: WireObject): TurnSignal {
  const error = event.object("error", ERROR_KEYS);
  return {
    signal: "refused",
    about: "response",
    lane: null,
    laneKnown: true,
    terminal: "error",
    errorCode: error === null ? event.string("code") : errorCodeOf(error),
    httpStatus: null,
  };
}

function ended(
  terminal: string,
  kind: TurnKind,
  from: WireObject,
  usage: UsageReading,
): EndedSignal {
  return {
    signal: "ended",
    key: null,
    kind,
    lane: null,
    terminal,
    status: "completed",
    model: from.string("model"),
    serviceTier: null,
    errorCode: null,
    usage,
    continues: false,
  };
}

/** The body of an embeddings call: input tokens only. */
export const embeddingsBody = bodyReader("embedding", (body) =>
  readUsage(body.json("usage"), "none"),
);

/** The body of a transcription, translation or image call. */
export const mediaBody = bodyReader("transcription", (body) => readUsage(body.json("usage")));

/** The body of a moderation call, which OpenAI does not bill. */
export const moderationBody = bodyReader("moderation", () => NONE_BILLED);

function bodyReader(kind: TurnKind, usageOf: (body: WireObject) => UsageReading): JsonBodyReader {
  return {
    keys: BODY_KEYS,
    read(text) {
      const body = WireObject.read(text, BODY_KEYS);
      return body && ended("body", kind, body, usageOf(body));
    },
  };
}
