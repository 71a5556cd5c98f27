/**
 * Anthropic Messages, as SSE and as one JSON body.
 *
 *   message_start {message: {id, model, usage}}    input counts, and a provisional output count
 *   content_block_start, content_block_delta*, content_block_stop … ping anywhere
 *   message_delta {delta: {stop_reason}, usage}    once or more; counts so far, not additions
 *   message_stop                                   or error, after which nothing comes
 *
 * Owns: which of these events matter, and what the usage of a stream adds up to.
 * Does not own: the counts themselves (`anthropic_usage.ts`).
 * Invariant: a count that a later event names replaces the earlier one; a count that it leaves out
 * stays. Deltas are recognised by their first bytes and never parsed.
 */

import type { Message, TurnStatus } from "../exchange.ts";
import { anthropicUsage } from "./anthropic_usage.ts";
import type {
  EndedSignal,
  JsonBodyReader,
  MessageReader,
  OutputOwner,
  OutputSignal,
  TurnSignal,
  UsageReading,
} from "./provider.ts";
import { type Json, readUsageObject, USAGE_ABSENT } from "./usage_reading.ts";
import { ERROR_KEYS, errorCodeOf, textOf, typeAtFront, WireObject } from "./wire_text.ts";

const OUTPUT: OutputSignal = { signal: "output" };

const MATTERS: ReadonlySet<string> = new Set([
  "message_start",
  "message_delta",
  "message_stop",
  "error",
]);

/** Why the model stopped where it would have gone on. */
const CUT_OFF: readonly (string | null)[] = ["max_tokens", "model_context_window_exceeded"];

/** What `usage.speed` says of fast mode. */
const FAST = "fast";

const EVENT_KEYS = ["type", "message", "delta", "usage", "error"];
const MESSAGE_KEYS = ["id", "model", "usage", "stop_reason"];

/** A reader of the SSE events of one answer of `/v1/messages`. */
export function messagesReader(): MessageReader {
  return new MessagesReader();
}

class MessagesReader implements MessageReader {
  readonly turnsBegin = "at_request";
  /** Every usage field that was seen, as it was seen last. */
  #usage: Json = {};
  #isOutputKnown = false;
  #isFast = false;
  #status: TurnStatus = "completed";

  clientSignal(): null {
    return null;
  }

  upstreamSignal(message: Message): TurnSignal | null {
    const front = typeAtFront(message);
    if (front === "content_block_delta") return OUTPUT;
    if (front !== "" && !MATTERS.has(front)) return null;
    const event = WireObject.read(textOf(message), EVENT_KEYS);
    const type = event?.string("type") ?? null;
    if (event === null || type === null) return null;
    if (type === "message_start") return this.#progress(event.object("message", MESSAGE_KEYS));
    if (type === "message_delta") return this.#delta(event);
    if (type === "message_stop") return ended(type, this.#status, null, USAGE_ABSENT);
    if (type === "error") return refused(event);
    return type === "content_block_delta" ? OUTPUT : null;
  }

  outputOf(): OutputOwner {
    return { key: null, lane: null };
  }

  #delta(event: WireObject): TurnSignal | null {
    const usage = event.object("usage", ["output_tokens"]);
    this.#isOutputKnown ||= usage?.has("output_tokens") === true;
    this.#status = statusOf(event.object("delta", ["stop_reason"]));
    return this.#progress(event);
  }

  /** @param from what holds `usage`; of a `message_start` also id and model */
  #progress(from: WireObject | null): TurnSignal | null {
    if (from === null) return null;
    return {
      signal: "progress",
      key: from.string("id"),
      model: from.string("model"),
      serviceTier: this.#tierOf(from),
      usage: readUsageObject(from.json("usage"), (raw) => {
        const named = Object.entries(raw).filter(([, value]) => value !== null);
        this.#usage = { ...this.#usage, ...Object.fromEntries(named) };
        return anthropicUsage(this.#usage, this.#isOutputKnown);
      }),
      output: false,
    };
  }

  /** A later event that leaves the speed out does not take it back. */
  #tierOf(from: WireObject): string | null {
    const tier = tierOf(from);
    this.#isFast ||= tier === FAST;
    return this.#isFast ? FAST : tier;
  }
}

function refused(event: WireObject): TurnSignal {
  return {
    signal: "refused",
    about: "response",
    lane: null,
    laneKnown: true,
    terminal: "error",
    errorCode: errorCodeOf(event.object("error", ERROR_KEYS)),
    httpStatus: null,
  };
}

function statusOf(from: WireObject | null): TurnStatus {
  return CUT_OFF.includes(from?.string("stop_reason") ?? null) ? "incomplete" : "completed";
}

/** Fast mode is a tier by another name, and beside any that the usage names. */
function tierOf(from: WireObject): string | null {
  const usage = from.object("usage", ["service_tier", "speed"]);
  return usage?.string("speed") === FAST ? FAST : (usage?.string("service_tier") ?? null);
}

function ended(
  terminal: string,
  status: TurnStatus,
  message: WireObject | null,
  usage: UsageReading,
): EndedSignal {
  return {
    signal: "ended",
    key: message?.string("id") ?? null,
    kind: "response",
    lane: null,
    terminal,
    status,
    model: message?.string("model") ?? null,
    serviceTier: message === null ? null : tierOf(message),
    errorCode: null,
    usage,
    continues: false,
  };
}

/** The body of a message that was not streamed. */
export const messageBody: JsonBodyReader = {
  keys: MESSAGE_KEYS,
  read(text) {
    const message = WireObject.read(text, MESSAGE_KEYS);
    if (message === null) return null;
    const usage = readUsageObject(message.json("usage"), (raw) => anthropicUsage(raw, true));
    return ended("body", statusOf(message), message, usage);
  },
};
