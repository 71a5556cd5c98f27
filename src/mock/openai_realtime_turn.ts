/**
 * One Realtime response, and one transcription of what was said, as events.
 *
 *   created → output_item.added → item.added → content_part.added → deltas → … → response.done
 *
 * Owns: the order of events and the usage. Does not own: the session and its conversation.
 * Invariant: a response ends with one `response.done`, whatever stopped it; each output token is a
 * delta of transcript with 100 ms of audio (two audio tokens), or a delta of text (one text token).
 */

import { type JsonObject, listIn, objectIn } from "./json.ts";
import { PCM_BYTES_PER_TOKEN } from "./openai_audio.ts";
import { callFor, type FunctionCall, outputSize, piecesOf } from "./openai_request.ts";
import type { OutputEvent, World } from "./answer.ts";
import type { Script } from "./script.ts";
import { tokensOf } from "./text.ts";

const AUDIO_TOKENS_PER_DELTA = 2;
const CALL_DELTAS = 2;
/** 100 ms of silence. */
const SILENCE = new Uint8Array(PCM_BYTES_PER_TOKEN).toBase64();

/** What a response reads. */
interface RealtimeInput {
  readonly textCharacters: number;
  readonly audioTokens: number;
  /** Whether the conversation ends with the output of a function. */
  readonly endsWithOutput: boolean;
}

/** Why a response ended early. */
type RealtimeStop = "client_cancelled" | "turn_detected";

export class RealtimeTurn {
  readonly id: string;
  readonly script: Script;
  stop: RealtimeStop | null = null;
  /** Characters and audio that the conversation holds of this response. */
  spokenText = "";
  audioTokens = 0;
  readonly #world: World;
  readonly #config: JsonObject;
  readonly #input: RealtimeInput;
  readonly #inConversation: boolean;
  readonly #call: FunctionCall | null;
  readonly #audio: boolean;
  #textTokens = 0;
  #item: JsonObject | null = null;

  /** @param config the session with the fields of `response.create` on top */
  constructor(world: World, config: JsonObject, input: RealtimeInput, script: Script) {
    this.#world = world;
    this.#config = config;
    this.#input = input;
    this.script = script;
    this.id = world.ids.next("resp_", 20);
    this.#inConversation = config["conversation"] !== "none";
    this.#call = callFor(config, input.endsWithOutput);
    this.#audio = listIn(config, "output_modalities").includes("audio");
  }

  get inConversation(): boolean {
    return this.#inConversation;
  }

  *events(): Generator<OutputEvent> {
    const { after, error } = this.script;
    const failsAt = error === null || after === null ? Number.POSITIVE_INFINITY : after;
    let count = 0;
    yield this.#event("response.created", { response: this.#object("in_progress", null) });
    for (const event of this.#call === null ? this.#speak() : this.#callEvents(this.#call)) {
      count += 1;
      if (count >= failsAt) break;
      yield event;
    }
    const [status, details] = this.#ending(count >= failsAt);
    yield this.#event("response.done", { response: this.#object(status, details) });
    const used = this.#usage();
    const remaining = 250_000 - Number(used["total_tokens"]);
    const limits = { name: "tokens", limit: 250_000, remaining, reset_seconds: 0.188 };
    yield this.#event("rate_limits.updated", { rate_limits: [limits] });
  }

  #ending(failed: boolean): [string, JsonObject | null] {
    if (failed) {
      const error = { type: "server_error", code: this.script.error };
      return ["failed", { type: "failed", error }];
    }
    if (this.stop !== null) return ["cancelled", { type: "cancelled", reason: this.stop }];
    if (this.#size().cut)
      return ["incomplete", { type: "incomplete", reason: "max_output_tokens" }];
    return ["completed", null];
  }

  #size(): { tokens: number; cut: boolean } {
    if (this.#call !== null) return { tokens: CALL_DELTAS, cut: false };
    return outputSize(this.#config, this.script, ["max_output_tokens"]);
  }

  *#speak(): Generator<OutputEvent> {
    const { words, ids } = this.#world;
    const id = ids.next("item_", 20);
    const at = { response_id: this.id, item_id: id, output_index: 0, content_index: 0 };
    yield* this.#added({
      id,
      type: "message",
      status: "in_progress",
      role: "assistant",
      content: [],
    });
    const part = (text: string) =>
      this.#audio ? { type: "audio", transcript: text } : { type: "text", text };
    yield this.#event("response.content_part.added", { ...at, part: part("") });
    const kind = this.#audio ? "response.output_audio_transcript" : "response.output_text";
    const { tokens } = this.#size();
    for (let index = 0; index < tokens && this.stop === null; index += 1) {
      const delta = words.delta(index);
      this.spokenText += delta;
      this.#textTokens += 1;
      yield this.#event(`${kind}.delta`, { ...at, delta }, true);
      if (!this.#audio) continue;
      this.audioTokens += AUDIO_TOKENS_PER_DELTA;
      yield this.#event("response.output_audio.delta", { ...at, delta: SILENCE });
    }
    const text = this.spokenText;
    if (this.#audio) yield this.#event("response.output_audio.done", at);
    yield this.#event(`${kind}.done`, {
      ...at,
      ...(this.#audio ? { transcript: text } : { text }),
    });
    yield this.#event("response.content_part.done", { ...at, part: part(text) });
    const status = this.stop === null ? "completed" : "incomplete";
    const content = this.#audio
      ? { type: "output_audio", transcript: text }
      : { type: "output_text", text };
    yield* this.#done({ id, type: "message", status, role: "assistant", content: [content] });
  }

  *#callEvents(call: FunctionCall): Generator<OutputEvent> {
    const id = this.#world.ids.next("item_", 20);
    const call_id = this.#world.ids.next("call_", 16);
    const at = { response_id: this.id, item_id: id, output_index: 0, call_id };
    const item = { id, type: "function_call", call_id, name: call.name };
    yield* this.#added({ ...item, status: "in_progress", arguments: "" });
    const kind = "response.function_call_arguments";
    for (const delta of piecesOf(call.arguments, CALL_DELTAS)) {
      this.#textTokens += 1;
      yield this.#event(`${kind}.delta`, { ...at, delta }, true);
    }
    yield this.#event(`${kind}.done`, { ...at, name: call.name, arguments: call.arguments });
    yield* this.#done({ ...item, status: "completed", arguments: call.arguments });
  }

  *#added(item: JsonObject): Generator<OutputEvent> {
    yield* this.#itemEvents("added", item);
  }

  *#done(item: JsonObject): Generator<OutputEvent> {
    this.#item = { object: "realtime.item", ...item };
    yield* this.#itemEvents("done", item);
  }

  *#itemEvents(what: "added" | "done", fields: JsonObject): Generator<OutputEvent> {
    const item = { object: "realtime.item", ...fields };
    const at = { response_id: this.id, output_index: 0 };
    yield this.#event(`response.output_item.${what}`, { ...at, item });
    if (!this.#inConversation) return;
    yield this.#event(`conversation.item.${what}`, { previous_item_id: null, item });
  }

  #object(status: string, details: JsonObject | null): JsonObject {
    const ended = status !== "in_progress";
    return {
      object: "realtime.response",
      id: this.id,
      status,
      status_details: details,
      output: this.#item === null ? [] : [this.#item],
      conversation_id: this.#inConversation ? "conv_mock" : null,
      output_modalities: this.#config["output_modalities"] ?? null,
      max_output_tokens: this.#config["max_output_tokens"] ?? "inf",
      audio: { output: objectIn(objectIn(this.#config, "audio"), "output") },
      usage: ended ? this.#usage() : null,
      metadata: this.#config["metadata"] ?? null,
    };
  }

  #usage(): JsonObject {
    const text = tokensOf(this.#input.textCharacters);
    const audio = this.#input.audioTokens;
    const output = this.#textTokens + this.audioTokens;
    const none = { text_tokens: 0, audio_tokens: 0, image_tokens: 0 };
    return {
      total_tokens: text + audio + output,
      input_tokens: text + audio,
      output_tokens: output,
      input_token_details: {
        text_tokens: text,
        audio_tokens: audio,
        image_tokens: 0,
        cached_tokens: 0,
        cached_tokens_details: none,
      },
      output_token_details: { text_tokens: this.#textTokens, audio_tokens: this.audioTokens },
    };
  }

  #event(type: string, fields: JsonObject, delta = false): OutputEvent {
    return realtimeEvent(this.#world, type, fields, delta);
  }
}

/** An event with an id of its own. */
export function realtimeEvent(
  world: World,
  type: string,
  fields: JsonObject,
  delta = false,
): OutputEvent {
  const event_id = world.ids.next("event_", 20);
  return { text: JSON.stringify({ type, event_id, ...fields }), delta };
}

const TRANSCRIPT_TOKENS = 4;

/** The transcription of an item: as many audio tokens in as it has, four words out. */
export function* transcriptionEvents(
  world: World,
  itemId: string,
  model: string,
  audioTokens: number,
): Generator<OutputEvent> {
  const kind = "conversation.item.input_audio_transcription";
  const at = { item_id: itemId, content_index: 0 };
  for (let index = 0; index < TRANSCRIPT_TOKENS; index += 1) {
    const delta = world.words.delta(index);
    yield realtimeEvent(world, `${kind}.delta`, { ...at, delta }, true);
  }
  const tokens = {
    type: "tokens",
    total_tokens: audioTokens + TRANSCRIPT_TOKENS,
    input_tokens: audioTokens,
    input_token_details: { text_tokens: 0, audio_tokens: audioTokens },
    output_tokens: TRANSCRIPT_TOKENS,
  };
  const duration = { type: "duration", seconds: Math.ceil(audioTokens / 10) };
  const usage = model === "whisper-1" ? duration : tokens;
  const transcript = world.words.text(TRANSCRIPT_TOKENS);
  yield realtimeEvent(world, `${kind}.completed`, { ...at, transcript, usage });
}
