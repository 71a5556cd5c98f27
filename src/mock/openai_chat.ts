/**
 * Chat completions and their older form.
 *
 * Owns: their bodies and chunks. Does not own: tokens and words.
 * Invariant: `usage` is on the last chunk only where the request asked for it, and then null on all
 * others; prompt tokens are the characters of all messages, four to a token.
 */

import type { MockExchange } from "./exchange.ts";
import { isObject, type JsonObject, listIn, objectIn } from "./json.ts";
import { notJson } from "./openai_errors.ts";
import { callFor, flood, modelOf, outputSize, piecesOf, servedTier } from "./openai_request.ts";
import type { Answer, OutputEvent } from "./answer.ts";
import type { Script } from "./script.ts";
import { charactersIn, type Words, tokensOf } from "./text.ts";

const JSON_TYPE = { "content-type": "application/json" };
const SSE_TYPE = { "content-type": "text/event-stream; charset=utf-8" };
const FINGERPRINT = "fp_mock00000001";
const FRAME_BYTES_DEFAULT = 1_024;

export async function chatCompletion(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const chat = chatOf(body, exchange);
  if (body["stream"] === true) {
    const events = chatEvents(chat, body, exchange.script, exchange.world.words);
    return { status: 200, headers: SSE_TYPE, body: events };
  }
  const { id, created, model, tier, usage } = chat;
  const text = exchange.world.words.text(chat.tokens);
  const message = {
    role: "assistant",
    content: chat.call === null ? text : null,
    ...(chat.call === null ? {} : { tool_calls: [toolCall(chat)] }),
    refusal: null,
    annotations: [],
  };
  const answer = {
    id,
    object: "chat.completion",
    created,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: chat.finish }],
    usage,
    service_tier: tier,
    system_fingerprint: FINGERPRINT,
  };
  return { status: 200, headers: JSON_TYPE, body: JSON.stringify(answer) };
}

interface Chat {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly tier: string;
  readonly tokens: number;
  readonly call: { readonly name: string; readonly arguments: string } | null;
  readonly callId: string;
  readonly finish: string;
  readonly usage: JsonObject;
}

function chatOf(body: JsonObject, { script, world }: MockExchange): Chat {
  const messages = listIn(body, "messages");
  const answered = messages.some((one) => isObject(one) && one["role"] === "tool");
  const call = callFor(body, answered);
  const size = outputSize(body, script, ["max_tokens", "max_completion_tokens"]);
  const tokens = (body["stream"] === true ? script.frames : null) ?? size.tokens;
  const prompt = tokensOf(charactersIn(messages));
  return {
    id: world.ids.next("chatcmpl-", 24),
    created: Math.floor(world.clock.nowMs() / 1000),
    model: modelOf(body),
    tier: servedTier(body),
    tokens,
    call,
    callId: call === null ? "" : world.ids.next("call_", 24),
    finish: call === null ? (size.cut ? "length" : "stop") : "tool_calls",
    usage: usageOf(prompt, tokens),
  };
}

function usageOf(prompt: number, completion: number): JsonObject {
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: 0, cache_write_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

function toolCall(chat: Chat): JsonObject {
  return { id: chat.callId, type: "function", function: chat.call };
}

function* chatEvents(
  chat: Chat,
  body: JsonObject,
  script: Script,
  words: Words,
): Generator<OutputEvent> {
  const options = objectIn(body, "stream_options");
  const asked = options["include_usage"] === true;
  const chunk = chunkWriter(chat, asked, options["include_obfuscation"] !== false, words);
  const role = { role: "assistant", content: chat.call === null ? "" : null, refusal: null };
  yield { text: chunk(role, null, 0), delta: false };
  if (script.frames !== null) {
    const size = script.frameBytes ?? FRAME_BYTES_DEFAULT;
    yield* flood(script.frames, size, (_, content) => chunk({ content }, null, 0));
  } else if (chat.call === null) {
    for (let index = 0; index < chat.tokens; index += 1) {
      yield { text: chunk({ content: words.delta(index) }, null, index + 1), delta: true };
    }
  } else {
    const call = { index: 0, ...toolCall(chat), function: { name: chat.call.name, arguments: "" } };
    yield { text: chunk({ tool_calls: [call] }, null, 1), delta: false };
    for (const piece of piecesOf(chat.call.arguments, 2)) {
      const part = { index: 0, function: { arguments: piece } };
      yield { text: chunk({ tool_calls: [part] }, null, 2), delta: true };
    }
  }
  yield { text: chunk({}, chat.finish, chat.tokens + 1), delta: false };
  if (asked) {
    const last = `${chatHead(chat)},"choices":[],"usage":${JSON.stringify(chat.usage)}}`;
    yield { text: `data: ${last}\n\n`, delta: false };
  }
  yield { text: "data: [DONE]\n\n", delta: false };
}

/** The fields that every chunk begins with. */
function chatHead(chat: Chat): string {
  const { id, created, model, tier: service_tier } = chat;
  const object = "chat.completion.chunk";
  const head = { id, object, created, model, service_tier, system_fingerprint: FINGERPRINT };
  return JSON.stringify(head).slice(0, -1);
}

type ChunkWriter = (delta: JsonObject, finish: string | null, index: number) => string;

function chunkWriter(chat: Chat, usage: boolean, obfuscated: boolean, words: Words): ChunkWriter {
  const head = `data: ${chatHead(chat)},"choices":[{"index":0,"delta":`;
  const middle = `,"logprobs":null,"finish_reason":`;
  const after = `}]${usage ? ',"usage":null' : ""}`;
  return (delta, finish, index) => {
    const tail = obfuscated ? `,"obfuscation":"${words.obfuscation(index)}"}` : "}";
    const body = `${JSON.stringify(delta)}${middle}${JSON.stringify(finish)}`;
    return `${head}${body}${after}${tail}\n\n`;
  };
}

export async function completion(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const { world, script } = exchange;
  const { tokens, cut } = outputSize(body, script, ["max_tokens"]);
  const prompt = tokensOf(charactersIn(body["prompt"]));
  const head = {
    id: world.ids.next("cmpl-", 24),
    object: "text_completion",
    created: Math.floor(world.clock.nowMs() / 1000),
    model: modelOf(body),
  };
  const finish = cut ? "length" : "stop";
  const usage = { prompt_tokens: prompt, completion_tokens: tokens, total_tokens: prompt + tokens };
  const choice = (text: string, finish_reason: string | null) => [
    { text, index: 0, logprobs: null, finish_reason },
  ];
  if (body["stream"] !== true) {
    const answer = { ...head, choices: choice(world.words.text(tokens), finish), usage };
    return { status: 200, headers: JSON_TYPE, body: JSON.stringify(answer) };
  }
  const asked = objectIn(body, "stream_options")["include_usage"] === true;
  const write = (fields: JsonObject) => `data: ${JSON.stringify({ ...head, ...fields })}\n\n`;
  const blank = asked ? { usage: null } : {};
  function* events(): Generator<OutputEvent> {
    for (let index = 0; index < tokens; index += 1) {
      const choices = choice(world.words.delta(index), null);
      yield { text: write({ choices, ...blank }), delta: true };
    }
    yield { text: write({ choices: choice("", finish), ...blank }), delta: false };
    if (asked) yield { text: write({ choices: [], usage }), delta: false };
    yield { text: "data: [DONE]\n\n", delta: false };
  }
  return { status: 200, headers: SSE_TYPE, body: events() };
}
