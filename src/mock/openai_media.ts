/**
 * OpenAI's endpoints that answer one JSON document: embeddings, moderations, images, models.
 *
 * Owns: their bodies. Does not own: chat, responses, audio and files.
 * Invariant: input tokens are characters, four to a token; a list of token numbers counts as
 * itself.
 */

import type { MockExchange } from "./exchange.ts";
import { listIn, numberIn, stringIn } from "./json.ts";
import { badField, notJson } from "./openai_errors.ts";
import { modelOf } from "./openai_request.ts";
import { type Answer, jsonAnswer } from "./answer.ts";
import { charactersIn, tokensOf } from "./text.ts";

const DIMENSIONS_DEFAULT = 8;
const DIMENSIONS_MAX = 3_072;
const IMAGE_TOKENS = 272;
/** One transparent pixel. */
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9" +
  "awAAAABJRU5ErkJggg==";
const MODELS = [
  "gpt-4o",
  "gpt-5.4-mini",
  "gpt-5.5",
  "gpt-4o-transcribe",
  "gpt-realtime-2",
  "text-embedding-3-small",
];

export async function embedding(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const input = body["input"];
  if (input === undefined) throw badField("input", "'input' is a required property");
  const inputs: readonly unknown[] =
    Array.isArray(input) && typeof input[0] !== "number" ? input : [input];
  const size = Math.min(numberIn(body, "dimensions") ?? DIMENSIONS_DEFAULT, DIMENSIONS_MAX);
  const base64 = body["encoding_format"] === "base64";
  const data = inputs.map((one, index) => {
    const vector = vectorOf(JSON.stringify(one), size);
    const embedding = base64 ? new Uint8Array(vector.buffer).toBase64() : [...vector];
    return { object: "embedding", index, embedding };
  });
  const tokens = inputs.reduce<number>((sum, one) => sum + embeddedTokens(one), 0);
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return jsonAnswer({ object: "list", data, model: modelOf(body), usage });
}

function embeddedTokens(input: unknown): number {
  return Array.isArray(input) ? input.length : tokensOf(charactersIn(input));
}

/** Numbers between -0.1 and 0.1 that depend on nothing but the text (FNV-1a). */
function vectorOf(text: string, size: number): Float32Array<ArrayBuffer> {
  let state = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    state = Math.imul(state ^ text.charCodeAt(at), 0x01000193) >>> 0;
  }
  return Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 32 - 0.5) / 5;
  });
}

export async function moderation(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const names = ["harassment", "hate", "illicit", "self-harm", "sexual", "violence"];
  const all = (value: unknown) => Object.fromEntries(names.map((name) => [name, value]));
  const result = { flagged: false, categories: all(false), category_scores: all(0.0001) };
  const id = exchange.world.ids.next("modr-", 24);
  const model = stringIn(body, "model") ?? "omni-moderation-latest";
  const inputs = Array.isArray(body["input"]) ? listIn(body, "input") : [body["input"]];
  return jsonAnswer({ id, model, results: inputs.map(() => result) });
}

export async function imageOf(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const count = Math.min(numberIn(body, "n") ?? 1, 10);
  const text = tokensOf(charactersIn(body["prompt"]));
  const output = count * IMAGE_TOKENS;
  return jsonAnswer({
    created: Math.floor(exchange.world.clock.nowMs() / 1000),
    data: Array.from({ length: count }, () => ({ b64_json: PNG })),
    usage: {
      input_tokens: text,
      input_tokens_details: { text_tokens: text, image_tokens: 0 },
      output_tokens: output,
      total_tokens: text + output,
    },
  });
}

export function modelList(): Answer {
  const data = MODELS.map((id) => ({
    id,
    object: "model",
    created: 1_795_190_000,
    owned_by: "mock",
  }));
  return jsonAnswer({ object: "list", data });
}
