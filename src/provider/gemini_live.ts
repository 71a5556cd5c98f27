/**
 * Gemini Live: JSON messages without a type, text or binary.
 *
 *   client    setup {model, generationConfig}      the only place that names the model
 *   upstream  setupComplete
 *   client    clientContent {turnComplete}, or realtimeInput* (the upstream hears when it is over)
 *   upstream  serverContent {modelTurn}* … serverContent {turnComplete} + usageMetadata
 *
 * Owns: which of these messages matter and what they say, and names for turns, which have none.
 * Does not own: the row of a turn.
 * Invariant: usage is that of one turn. A `toolCall` with usage ends one; of several in one turn
 * the last counts; usage outside of any is a turn of its own, so that none is lost.
 */

import type { Message, TurnStatus } from "../exchange.ts";
import { outputLimitIn } from "./gemini_request.ts";
import { readGeminiUsage } from "./gemini_usage.ts";
import { bareModel } from "./model_field.ts";
import type {
  EndedSignal,
  MessageReader,
  OutputOwner,
  OutputSignal,
  StartedSignal,
  TurnSignal,
  UsageReading,
} from "./provider.ts";
import { USAGE_ABSENT } from "./usage_reading.ts";
import { ambiguousJson, clientEvent, textOf, WireObject } from "./wire_text.ts";

const OUTPUT: OutputSignal = { signal: "output" };

// Google reads field names in both spellings.
const CLIENT_KEYS = ["setup", "clientContent", "client_content"];
const CONFIG_KEYS = ["generationConfig", "generation_config"];
const SERVER_KEYS = ["serverContent", "toolCall", "usageMetadata"];
const CONTENT_KEYS = ["modelTurn", "outputTranscription", "interrupted", "turnComplete"];

/** A reader of one session of `BidiGenerateContent`. */
export function liveReader(): MessageReader {
  return new LiveReader();
}

class LiveReader implements MessageReader {
  readonly turnsBegin = "at_answer";
  readonly namesTurns = "reader";
  #model: string | null = null;
  #outputTokensMax: number | null = null;
  /** Turns begun so far. */
  #turns = 0;
  #isRunning = false;
  #isInterrupted = false;
  #usage: UsageReading = USAGE_ABSENT;

  clientSignal(message: Message): TurnSignal | null {
    const event = clientEvent(message, CLIENT_KEYS);
    const setup = event.object("setup", ["model"]);
    if (setup !== null) return this.#setUp(setup, event.object("setup", CONFIG_KEYS));
    const keys = ["turnComplete", "turn_complete"] as const;
    const content = event.object("clientContent", keys) ?? event.object("client_content", keys);
    if (content === null || !keys.some((key) => content.isTrue(key))) return null;
    return {
      signal: "requested",
      lane: null,
      model: null,
      serviceTier: null,
      outputTokensMax: this.#outputTokensMax,
      warmup: false,
    };
  }

  upstreamSignal(message: Message): TurnSignal | null {
    const event = WireObject.read(textOf(message), SERVER_KEYS);
    if (event === null) return null;
    const usage = event.json("usageMetadata");
    if (usage !== null) this.#usage = readGeminiUsage(usage);
    const content = event.object("serverContent", CONTENT_KEYS);
    const isCall = event.has("toolCall");
    if (content?.isTrue("interrupted") === true) this.#isInterrupted = true;
    if (content?.isTrue("turnComplete") === true) return this.#ended("turnComplete", usage);
    if (isCall && usage !== null) return this.#ended("toolCall", usage);
    if (isCall || content?.has("modelTurn") === true) return this.#output();
    if (content?.has("outputTranscription") === true) return this.#output();
    return usage === null || this.#isRunning ? null : this.#ended("usageMetadata", usage);
  }

  outputOf(): OutputOwner {
    return { key: this.#key(), lane: null };
  }

  #setUp(setup: WireObject, config: WireObject | null): TurnSignal {
    if (setup.duplicate !== null) throw ambiguousJson("model");
    const model = setup.string("model");
    this.#model = model === null ? null : bareModel(model);
    this.#outputTokensMax = config && outputLimitIn(config);
    return { signal: "session", model: this.#model };
  }

  #output(): TurnSignal {
    if (this.#isRunning) return OUTPUT;
    return this.#started();
  }

  #started(): StartedSignal {
    this.#turns++;
    this.#isRunning = true;
    return {
      signal: "started",
      key: this.#key(),
      kind: "response",
      lane: null,
      model: this.#model,
      serviceTier: null,
      background: false,
      requestedModel: this.#model,
      isOutput: true,
    };
  }

  /** Null: nothing has run, so nothing ends. */
  #ended(terminal: string, usageJson: string | null): EndedSignal | null {
    const usage = this.#usage;
    const status: TurnStatus = this.#isInterrupted ? "cancelled" : "completed";
    const wasRunning = this.#isRunning;
    this.#usage = USAGE_ABSENT;
    this.#isInterrupted = false;
    this.#isRunning = false;
    if (!wasRunning && usage.reading === "absent") return null;
    if (!wasRunning) this.#turns++;
    return {
      signal: "ended",
      key: this.#key(),
      kind: "response",
      lane: null,
      terminal,
      status,
      model: this.#model,
      serviceTier: WireObject.read(usageJson, ["serviceTier"])?.string("serviceTier") ?? null,
      errorCode: null,
      usage,
      continues: false,
    };
  }

  #key(): string {
    return `turn_${this.#turns}`;
  }
}
