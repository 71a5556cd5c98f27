/**
 * One response of the simulated model, as an object and as the events that lead to it.
 *
 *   created → in_progress → { output_item.added → … → output_item.done }* → terminal
 *
 * Owns: its items, its usage and the order of its events, which is the same on SSE and WebSocket.
 * Does not own: what earlier responses it builds on, or how events travel.
 * Invariant: output tokens are the deltas that were sent, reasoning included; input tokens are the
 * characters of instructions and input, four to a token, plus all tokens of the response before.
 */

import { isObject, type JsonObject, listIn, objectIn, stringIn } from "./json.ts";
import {
  callFor,
  flood,
  type FunctionCall,
  modelOf,
  outputSize,
  piecesOf,
  requestedTier,
  servedTier,
} from "./openai_request.ts";
import type { OutputEvent, World } from "./answer.ts";
import type { Script } from "./script.ts";
import { charactersIn, tokensOf } from "./text.ts";

const REASONING_TOKENS = 4;
const CALL_TOKENS = 2;
const CACHE_BLOCK_TOKENS = 128;
const FRAME_BYTES_DEFAULT = 1_024;

type ResponseStatus =
  "queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";

/** An event of a response, with its name for SSE. */
interface ResponseEvent extends OutputEvent {
  readonly type: string;
}

type Item = JsonObject & { readonly id: string };

export class ResponseTurn {
  readonly id: string;
  readonly lane: string | null;
  /** Ends the response before its next delta. */
  stop: "steered" | "cancelled" | null = null;
  /** What it was steered with, for its successor. */
  steering: unknown = null;
  readonly request: JsonObject;
  readonly #world: World;
  readonly script: Script;
  readonly #model: string;
  readonly #createdS: number;
  readonly #previousTokens: number;
  readonly #inputTokens: number;
  readonly #output: Item[] = [];
  #status: ResponseStatus = "in_progress";
  #reason: string | null = null;
  #error: JsonObject | null = null;
  #reasoningTokens = 0;
  #outputTokens = 0;
  #sequence = 0;

  /**
   * @param previousTokens all tokens of the response that `previous_response_id` names, else 0
   * @param lane `stream_id`, echoed on every event; null: the default lane
   * @throws AnswerNow where the request has no model
   */
  constructor(
    world: World,
    request: JsonObject,
    script: Script,
    previousTokens: number,
    lane: string | null,
  ) {
    this.#world = world;
    this.request = request;
    this.script = script;
    this.#model = modelOf(request);
    this.#previousTokens = previousTokens;
    this.lane = lane;
    this.id = world.ids.next("resp_", 44);
    this.#createdS = Math.floor(world.clock.nowMs() / 1000);
    const { instructions, input } = request;
    this.#inputTokens = previousTokens + tokensOf(charactersIn(instructions) + charactersIn(input));
  }

  get status(): ResponseStatus {
    return this.#status;
  }

  /** `generate: false` asks for no output and is billed nothing. */
  get isWarmup(): boolean {
    const prewarm = objectIn(this.request, "prompt_cache_options")["prewarm"] === true;
    return this.request["generate"] === false || prewarm;
  }

  get totalTokens(): number {
    return this.isWarmup ? 0 : this.#inputTokens + this.#outputTokens;
  }

  /** Runs to its end at once, for an answer in one piece. */
  finish(): JsonObject {
    const events = this.events();
    while (events.next().done !== true);
    return this.object();
  }

  /** Ends what has not started to run, such as a queued response. */
  end(status: ResponseStatus): void {
    this.#status = status;
  }

  /** The response as it stands. */
  object(): JsonObject {
    const { request } = this;
    const ended = this.#status !== "in_progress" && this.#status !== "queued";
    const completedS = Math.floor(this.#world.clock.nowMs() / 1000);
    return {
      id: this.id,
      object: "response",
      created_at: this.#createdS,
      status: this.#status,
      background: request["background"] === true,
      completed_at: this.#status === "completed" ? completedS : null,
      error: this.#error,
      incomplete_details: this.#reason === null ? null : { reason: this.#reason },
      instructions: request["instructions"] ?? null,
      max_output_tokens: request["max_output_tokens"] ?? null,
      max_tool_calls: request["max_tool_calls"] ?? null,
      model: this.#model,
      output: ended ? this.#output : [],
      parallel_tool_calls: request["parallel_tool_calls"] ?? true,
      previous_response_id: request["previous_response_id"] ?? null,
      prompt_cache_key: request["prompt_cache_key"] ?? null,
      reasoning: { effort: null, summary: null, ...objectIn(request, "reasoning") },
      safety_identifier: request["safety_identifier"] ?? null,
      service_tier: ended ? servedTier(request) : requestedTier(request),
      store: request["store"] !== false,
      temperature: request["temperature"] ?? 1,
      text: { format: { type: "text" }, verbosity: "medium", ...objectIn(request, "text") },
      tool_choice: request["tool_choice"] ?? "auto",
      tools: listIn(request, "tools"),
      top_logprobs: request["top_logprobs"] ?? 0,
      top_p: request["top_p"] ?? 1,
      truncation: request["truncation"] ?? "disabled",
      usage: ended && this.#status !== "failed" ? this.#usage() : null,
      user: request["user"] ?? null,
      metadata: request["metadata"] ?? {},
    };
  }

  /** What happens from `created` to the terminal event, made while it is read. */
  *events(): Generator<ResponseEvent> {
    const { after, error } = this.script;
    const failsAt = error === null || after === null ? Number.POSITIVE_INFINITY : after;
    let count = 0;
    for (const event of this.#run()) {
      if (count === failsAt) {
        yield this.#fail(error ?? "server_error");
        return;
      }
      yield event;
      count += 1;
    }
  }

  *#run(): Generator<ResponseEvent> {
    this.#status = "in_progress";
    yield this.#event("response.created", { response: this.object() });
    yield this.#event("response.in_progress", { response: this.object() });
    if (!this.isWarmup) yield* this.#generate();
    if (this.#status === "in_progress") this.#status = "completed";
    yield this.#event(`response.${this.#status}`, { response: this.object() });
  }

  *#generate(): Generator<ResponseEvent> {
    const { request } = this;
    const size = outputSize(request, this.script, ["max_output_tokens"]);
    const effort = stringIn(objectIn(request, "reasoning"), "effort");
    if (effort !== null && effort !== "none") yield* this.#think();
    const hasOutput = listIn(request, "input").some(
      (one) => isObject(one) && one["type"] === "function_call_output",
    );
    const call = callFor(request, hasOutput);
    if (call === null || this.stop !== null) yield* this.#say(this.script.frames ?? size.tokens);
    else yield* this.#call(call);
    if (this.stop === "cancelled") this.#status = "cancelled";
    else if (this.stop === "steered") this.#leaveIncomplete("steered");
    else if (size.cut && call === null) this.#leaveIncomplete("max_output_tokens");
  }

  #leaveIncomplete(reason: string): void {
    this.#status = "incomplete";
    this.#reason = reason;
  }

  *#think(): Generator<ResponseEvent> {
    const id = this.#world.ids.next("rs_", 44);
    const at = { item_id: id, output_index: this.#output.length, summary_index: 0 };
    yield* this.#added({ id, type: "reasoning", summary: [] });
    const wanted = stringIn(objectIn(this.request, "reasoning"), "summary") !== null;
    const text = this.#world.words.text(REASONING_TOKENS);
    const kind = "response.reasoning_summary";
    if (wanted) {
      yield this.#event(`${kind}_part.added`, { ...at, part: { type: "summary_text", text: "" } });
      for (let index = 0; index < REASONING_TOKENS && this.stop === null; index += 1) {
        const delta = this.#world.words.delta(index);
        const obfuscation = this.#world.words.obfuscation(index);
        yield this.#event(`${kind}_text.delta`, { ...at, delta, obfuscation }, true);
      }
      yield this.#event(`${kind}_text.done`, { ...at, text });
      yield this.#event(`${kind}_part.done`, { ...at, part: { type: "summary_text", text } });
    }
    this.#reasoningTokens = REASONING_TOKENS;
    this.#outputTokens += REASONING_TOKENS;
    yield* this.#done({
      id,
      type: "reasoning",
      summary: wanted ? [{ type: "summary_text", text }] : [],
    });
  }

  *#say(tokens: number): Generator<ResponseEvent> {
    const { words, ids } = this.#world;
    const id = ids.next("msg_", 44);
    const at = { item_id: id, output_index: this.#output.length, content_index: 0 };
    const item = (status: string, content: readonly object[]) => {
      return { id, type: "message", status, content, role: "assistant" };
    };
    const part = (text: string) => ({ type: "output_text", annotations: [], logprobs: [], text });
    yield* this.#added(item("in_progress", []));
    yield this.#event("response.content_part.added", { ...at, part: part("") });
    const kind = "response.output_text";
    let text = "";
    if (this.script.frames === null) {
      for (let index = 0; index < tokens && this.stop === null; index += 1) {
        const delta = words.delta(index);
        const obfuscation = words.obfuscation(index);
        text += delta;
        this.#outputTokens += 1;
        yield this.#event(`${kind}.delta`, { ...at, delta, logprobs: [], obfuscation }, true);
      }
    } else {
      yield* this.#flood(tokens, at);
    }
    yield this.#event(`${kind}.done`, { ...at, text, logprobs: [] });
    yield this.#event("response.content_part.done", { ...at, part: part(text) });
    const status = this.stop === null ? "completed" : "incomplete";
    yield* this.#done(item(status, [part(text)]));
  }

  /** Deltas of a wanted size. Their text is in no later event: it may be gigabytes. */
  *#flood(count: number, at: object): Generator<ResponseEvent> {
    const type = "response.output_text.delta";
    const first = this.#sequence;
    const lane = this.lane === null ? "" : `,"stream_id":${JSON.stringify(this.lane)}`;
    const place = JSON.stringify(at).slice(1, -1);
    const wrap = (index: number, filler: string) =>
      `{"type":"${type}","sequence_number":${first + index},${place},"delta":"${filler}"${lane}}`;
    for (const event of flood(count, this.script.frameBytes ?? FRAME_BYTES_DEFAULT, wrap)) {
      if (this.stop !== null) break;
      this.#sequence += 1;
      this.#outputTokens += 1;
      yield { type, ...event };
    }
  }

  *#call(call: FunctionCall): Generator<ResponseEvent> {
    const id = this.#world.ids.next("fc_", 44);
    const call_id = this.#world.ids.next("call_", 24);
    const at = { item_id: id, output_index: this.#output.length };
    const item = (status: string, text: string) => {
      return { id, type: "function_call", status, arguments: text, call_id, name: call.name };
    };
    yield* this.#added(item("in_progress", ""));
    const kind = "response.function_call_arguments";
    for (const [index, delta] of piecesOf(call.arguments, CALL_TOKENS).entries()) {
      const obfuscation = this.#world.words.obfuscation(index);
      this.#outputTokens += 1;
      yield this.#event(`${kind}.delta`, { ...at, delta, obfuscation }, true);
    }
    yield this.#event(`${kind}.done`, { ...at, arguments: call.arguments });
    yield* this.#done(item("completed", call.arguments));
  }

  *#added(item: Item): Generator<ResponseEvent> {
    yield this.#event("response.output_item.added", { output_index: this.#output.length, item });
  }

  *#done(item: Item): Generator<ResponseEvent> {
    yield this.#event("response.output_item.done", { output_index: this.#output.length, item });
    this.#output.push(item);
  }

  #fail(code: string): ResponseEvent {
    this.#status = "failed";
    this.#error = { code, message: `Simulated error ${code}` };
    return this.#event("response.failed", { response: this.object() });
  }

  #event(type: string, fields: JsonObject, delta = false): ResponseEvent {
    const lane = this.lane === null ? {} : { stream_id: this.lane };
    const event = { type, sequence_number: this.#sequence, ...fields, ...lane };
    this.#sequence += 1;
    return { type, text: JSON.stringify(event), delta };
  }

  #usage(): JsonObject {
    const warmup = this.isWarmup;
    const input = warmup ? 0 : this.#inputTokens;
    // What the response before already had is read from the cache, in whole blocks.
    const blocks = warmup ? 0 : Math.floor(this.#previousTokens / CACHE_BLOCK_TOKENS);
    const details = { cached_tokens: blocks * CACHE_BLOCK_TOKENS, cache_write_tokens: 0 };
    return {
      input_tokens: input,
      input_tokens_details: details,
      output_tokens: this.#outputTokens,
      output_tokens_details: { reasoning_tokens: this.#reasoningTokens },
      total_tokens: input + this.#outputTokens,
    };
  }
}
