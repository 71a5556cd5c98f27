/**
 * Anthropic Messages, streamed and not, and the counting of tokens.
 *
 * Owns: bodies and events. Does not own: tokens and words.
 * Invariant: input tokens are the characters of system and messages, four to a token; the usage of
 * `message_start` has a provisional output count, `message_delta` the final one.
 */

import type { Answer, OutputEvent } from "./answer.ts";
import { badField, notJson, scriptedError } from "./anthropic_errors.ts";
import type { MockExchange } from "./exchange.ts";
import { isObject, type JsonObject, listIn, objectIn, stringIn } from "./json.ts";
import { callFor, flood, type FunctionCall, outputSize, piecesOf } from "./openai_request.ts";
import { charactersIn, tokensOf } from "./text.ts";

const JSON_TYPE = { "content-type": "application/json" };
const SSE_TYPE = { "content-type": "text/event-stream; charset=utf-8" };
const FRAME_BYTES_DEFAULT = 1_024;

export async function message(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const model = modelOf(body);
  if (typeof body["max_tokens"] !== "number") throw badField("max_tokens", "Field required");
  const { world, script } = exchange;
  const call = callFor({ ...body, tools: toolsIn(body) }, hasResult(body));
  const size = outputSize(body, script, ["max_tokens"]);
  const isStream = body["stream"] === true;
  const tokens = (isStream ? script.frames : null) ?? size.tokens;
  const said: Said = {
    id: world.ids.next("msg_01", 22),
    model,
    call: call === null ? null : { ...call, id: world.ids.next("toolu_01", 22) },
    stop: call === null ? (size.cut ? "max_tokens" : "end_turn") : "tool_use",
    tokens,
    usage: usageOf(body, tokens),
  };
  if (isStream) return { status: 200, headers: SSE_TYPE, body: messageEvents(said, exchange) };
  const content = [said.call === null ? textBlock(world.words.text(tokens)) : toolBlock(said.call)];
  const answer = { ...messageHead(said), content, ...stopOf(said.stop), usage: said.usage };
  return { status: 200, headers: JSON_TYPE, body: JSON.stringify(answer) };
}

/** `/v1/messages/count_tokens`, which is free. */
export async function countTokens(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  modelOf(body);
  const answer = { input_tokens: inputTokensOf(body) };
  return { status: 200, headers: JSON_TYPE, body: JSON.stringify(answer) };
}

interface Said {
  readonly id: string;
  readonly model: string;
  readonly call: (FunctionCall & { readonly id: string }) | null;
  readonly stop: string;
  readonly tokens: number;
  readonly usage: JsonObject;
}

function modelOf(body: JsonObject): string {
  const model = stringIn(body, "model");
  if (model === null || model === "") throw badField("model", "Field required");
  return model;
}

function inputTokensOf(body: JsonObject): number {
  return tokensOf(charactersIn([body["system"], body["messages"]]));
}

function usageOf(body: JsonObject, output_tokens: number): JsonObject {
  return {
    input_tokens: inputTokensOf(body),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    output_tokens,
    service_tier: "standard",
    speed: stringIn(body, "speed") ?? "standard",
  };
}

/** The tools that the client runs itself, in the shape that `callFor` reads. */
function toolsIn(body: JsonObject): JsonObject[] {
  const own = listIn(body, "tools")
    .filter(isObject)
    .filter((tool) => "input_schema" in tool);
  return own.map((tool) => ({
    type: "function",
    name: tool["name"],
    parameters: tool["input_schema"],
  }));
}

function hasResult(body: JsonObject): boolean {
  const last = listIn(body, "messages").at(-1);
  const blocks = isObject(last) ? listIn(last, "content") : [];
  return blocks.some((block) => isObject(block) && block["type"] === "tool_result");
}

function textBlock(text: string): JsonObject {
  return { type: "text", text };
}

function toolBlock(call: FunctionCall & { readonly id: string }): JsonObject {
  return { type: "tool_use", id: call.id, name: call.name, input: JSON.parse(call.arguments) };
}

function messageHead({ id, model }: Said): JsonObject {
  return { id, type: "message", role: "assistant", model };
}

function stopOf(stop_reason: string | null): JsonObject {
  return { stop_reason, stop_sequence: null };
}

/** The events, with the script's error in the middle where it has `after`. */
function* messageEvents(said: Said, exchange: MockExchange): Generator<OutputEvent> {
  const { script, world } = exchange;
  let count = 0;
  for (const event of plainEvents(said, exchange)) {
    if (script.error !== null && count === script.after) {
      const { error } = scriptedError(world.fixtures, script);
      yield eventOf("error", { error, request_id: "req_mock" });
      return;
    }
    yield event;
    count += 1;
  }
}

function* plainEvents(said: Said, exchange: MockExchange): Generator<OutputEvent> {
  const { usage, call } = said;
  const begun = { ...messageHead(said), content: [], ...stopOf(null) };
  yield eventOf("message_start", { message: { ...begun, usage: { ...usage, output_tokens: 1 } } });
  const block = call === null ? textBlock("") : { ...toolBlock(call), input: {} };
  yield eventOf("content_block_start", { index: 0, content_block: block });
  yield eventOf("ping", {});
  yield* deltaEvents(said, exchange);
  yield eventOf("content_block_stop", { index: 0 });
  const final = { output_tokens: usage["output_tokens"] };
  yield eventOf("message_delta", { delta: stopOf(said.stop), usage: final });
  yield eventOf("message_stop", {});
}

function* deltaEvents({ call, tokens }: Said, exchange: MockExchange): Generator<OutputEvent> {
  const { script, world } = exchange;
  const textDelta = (text: string) => deltaOf({ type: "text_delta", text });
  if (script.frames !== null) {
    const size = script.frameBytes ?? FRAME_BYTES_DEFAULT;
    yield* flood(script.frames, size, (_, filler) => textDelta(filler).text);
  } else if (call === null) {
    for (let index = 0; index < tokens; index += 1) yield textDelta(world.words.delta(index));
  } else {
    for (const partial_json of piecesOf(call.arguments, 2)) {
      yield deltaOf({ type: "input_json_delta", partial_json });
    }
  }
}

function deltaOf(delta: JsonObject): OutputEvent {
  return { ...eventOf("content_block_delta", { index: 0, delta }), delta: true };
}

function eventOf(type: string, fields: JsonObject): OutputEvent {
  const data = JSON.stringify({ type, ...fields });
  return { text: `event: ${type}\ndata: ${data}\n\n`, delta: false };
}

/** A script in a message's metadata; null: none. */
export function scriptIn(body: JsonObject): string | null {
  return stringIn(objectIn(body, "metadata"), "mock");
}
