/**
 * Gemini generateContent: as SSE, as elements of one JSON array, and as one JSON body.
 *
 *   {candidates: [{content, finishReason?}], usageMetadata, modelVersion, responseId}   any number
 *
 * Owns: what such an object says, and when a stream of them is whole.
 * Does not own: cutting them out of the stream (`sse.ts`, `json_array.ts`).
 * Invariant: every object repeats the usage so far, so the last one counts. There is no terminal
 * event: a stream is over when it ends after a reason to finish.
 */

import type { Message, TurnStatus } from "../exchange.ts";
import { readGeminiUsage } from "./gemini_usage.ts";
import type {
  EndedSignal,
  JsonBodyReader,
  MessageReader,
  OutputOwner,
  TurnSignal,
  UsageReading,
} from "./provider.ts";
import { USAGE_ABSENT } from "./usage_reading.ts";
import { ERROR_KEYS, errorCodeOf, textOf, WireObject } from "./wire_text.ts";

const KEYS = [
  "candidates",
  "promptFeedback",
  "usageMetadata",
  "modelVersion",
  "responseId",
  "error",
];

/** A reader of the objects of one stream. */
export function generateReader(): MessageReader {
  return new GenerateReader();
}

class GenerateReader implements MessageReader {
  readonly turnsBegin = "at_request";
  /** How it ended; null: no reason to finish was given yet. */
  #status: TurnStatus | null = null;

  clientSignal(): null {
    return null;
  }

  upstreamSignal(message: Message): TurnSignal | null {
    const object = WireObject.read(textOf(message), KEYS);
    if (object === null) return null;
    const error = object.object("error", ERROR_KEYS);
    if (error !== null) return refused(error);
    this.#status = statusOf(object) ?? this.#status;
    return { signal: "progress", ...partsOf(object), output: object.has("candidates") };
  }

  outputOf(): OutputOwner {
    return { key: null, lane: null };
  }

  streamEnded(): EndedSignal | null {
    return this.#status === null ? null : ended("end", this.#status, NOTHING);
  }
}

interface Parts {
  readonly key: string | null;
  readonly model: string | null;
  readonly serviceTier: string | null;
  readonly usage: UsageReading;
}

const NOTHING: Parts = { key: null, model: null, serviceTier: null, usage: USAGE_ABSENT };

function partsOf(object: WireObject): Parts {
  const usage = object.object("usageMetadata", ["serviceTier"]);
  return {
    key: object.string("responseId"),
    model: object.string("modelVersion"),
    serviceTier: usage?.string("serviceTier") ?? null,
    usage: readGeminiUsage(object.json("usageMetadata")),
  };
}

/** Most candidates have no reason to finish, and need not be built. A key may be escaped. */
const MAY_FINISH = /finishReason|\\u/;

/** Null: it may go on. A prompt that was blocked has no candidates, and is billed. */
function statusOf(object: WireObject): TurnStatus | null {
  if (object.object("promptFeedback", ["blockReason"])?.has("blockReason") === true) {
    return "completed";
  }
  const json = object.json("candidates");
  if (json === null || !MAY_FINISH.test(json)) return null;
  const candidates: unknown = JSON.parse(json);
  const reasons = Array.isArray(candidates) ? candidates.flatMap(finishReasonOf) : [];
  if (reasons.length === 0) return null;
  return reasons.includes("MAX_TOKENS") ? "incomplete" : "completed";
}

function finishReasonOf(candidate: unknown): string[] {
  if (typeof candidate !== "object" || candidate === null) return [];
  const reason = "finishReason" in candidate ? candidate.finishReason : null;
  return typeof reason === "string" ? [reason] : [];
}

function refused(error: WireObject): TurnSignal {
  return {
    signal: "refused",
    about: "response",
    lane: null,
    laneKnown: true,
    terminal: "error",
    errorCode: errorCodeOf(error),
    httpStatus: error.integer("code"),
  };
}

function ended(terminal: string, status: TurnStatus, parts: Parts): EndedSignal {
  return {
    signal: "ended",
    kind: "response",
    lane: null,
    terminal,
    status,
    errorCode: null,
    continues: false,
    ...parts,
  };
}

/** A whole answer, of embeddings and predictions too, which may say nothing of usage. */
export const generateBody: JsonBodyReader = {
  keys: KEYS,
  read(text) {
    const object = WireObject.read(text, KEYS);
    return object && ended("body", statusOf(object) ?? "completed", partsOf(object));
  },
};
