/**
 * Gemini over HTTP: generating, as one object, as SSE and as one array; counting; embedding.
 *
 * Owns: bodies and the objects of a stream. Does not own: tokens and words.
 * Invariant: every object of a stream repeats the usage so far; prompt tokens are the characters of
 * all parts, four to a token.
 */

import type { Answer, OutputEvent } from "./answer.ts";
import type { MockExchange } from "./exchange.ts";
import { notJson, scriptedError } from "./gemini_errors.ts";
import { isObject, type JsonObject, listIn, objectIn, stringIn } from "./json.ts";
import { callFor, flood, type FunctionCall, outputSize } from "./openai_request.ts";
import { charactersIn, tokensOf } from "./text.ts";

const JSON_TYPE = { "content-type": "application/json; charset=UTF-8" };
const SSE_TYPE = { "content-type": "text/event-stream" };
const FRAME_BYTES_DEFAULT = 1_024;
const DIMENSIONS = 8;

/** How the objects of a stream stand in its body. */
interface Framing {
  readonly headers: Readonly<Record<string, string>>;
  readonly before: (index: number) => string;
  readonly after: string;
  readonly end: string;
}

const SSE: Framing = { headers: SSE_TYPE, before: () => "data: ", after: "\r\n\r\n", end: "" };
const ARRAY: Framing = {
  headers: JSON_TYPE,
  before: (index) => (index === 0 ? "[" : ",\r\n"),
  after: "",
  end: "\n]\n",
};

export async function generate(exchange: MockExchange, model: string): Promise<Answer> {
  const answer = await answerOf(exchange, model);
  const parts = answer.call === null ? textParts(exchange.world.words.text(answer.tokens)) : [];
  const whole = objectOf(answer, answer.call === null ? parts : callParts(answer.call), true);
  return { status: 200, headers: { ...JSON_TYPE, ...answer.tier }, body: JSON.stringify(whole) };
}

export async function streamGenerate(exchange: MockExchange, model: string): Promise<Answer> {
  const answer = await answerOf(exchange, model);
  const framing = isArray(exchange) ? ARRAY : SSE;
  const headers = { ...framing.headers, ...answer.tier };
  return { status: 200, headers, body: streamEvents(answer, framing, exchange) };
}

/** Whether a stream is one JSON array: unless it was asked for as SSE. */
export function isArray({ path, query }: MockExchange): boolean {
  return path.endsWith(":streamGenerateContent") && query.get("alt") !== "sse";
}

export async function countTokens(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const request = isObject(body["generateContentRequest"]) ? body["generateContentRequest"] : body;
  const answer = { totalTokens: promptTokensOf(request) };
  return { status: 200, headers: JSON_TYPE, body: JSON.stringify(answer) };
}

/** `embedContent` and `batchEmbedContents`. */
export async function embed(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  const requests = listIn(body, "requests").filter(isObject);
  const values = Array.from({ length: DIMENSIONS }, (_, index) => (index + 1) / DIMENSIONS);
  const texts = (requests.length === 0 ? [body] : requests).map((one) => one["content"]);
  const promptTokenCount = texts.reduce<number>((sum, text) => sum + tokensIn([text]), 0);
  const embedded =
    requests.length === 0
      ? { embedding: { values } }
      : { embeddings: requests.map(() => ({ values })) };
  const usageMetadata = { promptTokenCount, totalTokenCount: promptTokenCount };
  const answer = JSON.stringify({ ...embedded, usageMetadata });
  return { status: 200, headers: JSON_TYPE, body: answer };
}

interface Generated {
  readonly id: string;
  readonly model: string;
  readonly tokens: number;
  readonly promptTokens: number;
  readonly call: FunctionCall | null;
  readonly finish: string;
  /** The header that tells the tier. */
  readonly tier: Readonly<Record<string, string>>;
}

async function answerOf(exchange: MockExchange, model: string): Promise<Generated> {
  const body = await exchange.json(notJson);
  const { script, world } = exchange;
  const size = outputSize(objectIn(body, "generationConfig"), script, ["maxOutputTokens"]);
  const isStream = exchange.path.endsWith(":streamGenerateContent");
  const tier = stringIn(body, "serviceTier") ?? stringIn(body, "service_tier") ?? "standard";
  return {
    id: world.ids.next("", 22),
    model: `${model}-001`,
    tokens: (isStream ? script.frames : null) ?? size.tokens,
    promptTokens: promptTokensOf(body),
    call: callFor({ tools: functionsIn(body) }, hasResponse(body)),
    finish: size.cut ? "MAX_TOKENS" : "STOP",
    tier: { "x-gemini-service-tier": tier },
  };
}

function promptTokensOf(body: JsonObject): number {
  return tokensIn([body["systemInstruction"], ...listIn(body, "contents")]);
}

/** Tokens of the text in contents, each `{parts: [{text}]}`. */
export function tokensIn(contents: readonly unknown[]): number {
  return tokensOf(charactersIn(contents.filter(isObject).map((one) => listIn(one, "parts"))));
}

/** The functions of all tools, in the shape that `callFor` reads. */
export function functionsIn(body: JsonObject): JsonObject[] {
  const tools = listIn(body, "tools").filter(isObject);
  const declared = tools.flatMap((tool) => listIn(tool, "functionDeclarations")).filter(isObject);
  return declared.map((one) => ({
    type: "function",
    name: one["name"],
    parameters: one["parametersJsonSchema"] ?? one["parameters"],
  }));
}

function hasResponse(body: JsonObject): boolean {
  const contents = listIn(body, "contents").filter(isObject);
  const parts = contents.flatMap((content) => listIn(content, "parts"));
  return parts.some((part) => isObject(part) && "functionResponse" in part);
}

function textParts(text: string): JsonObject[] {
  return [{ text }];
}

function callParts(call: FunctionCall): JsonObject[] {
  return [{ functionCall: { name: call.name, args: JSON.parse(call.arguments) } }];
}

/** @param tokens output so far */
function objectOf(
  answer: Generated,
  parts: readonly JsonObject[],
  isLast: boolean,
  tokens = answer.tokens,
): JsonObject {
  const finish = isLast ? { finishReason: answer.finish } : {};
  const { promptTokens } = answer;
  return {
    candidates: [{ content: { parts, role: "model" }, ...finish, index: 0 }],
    usageMetadata: {
      promptTokenCount: promptTokens,
      candidatesTokenCount: tokens,
      totalTokenCount: promptTokens + tokens,
      promptTokensDetails: [{ modality: "TEXT", tokenCount: promptTokens }],
    },
    modelVersion: answer.model,
    responseId: answer.id,
  };
}

/** The objects in their framing, with the script's error in the middle where it has `after`. */
function* streamEvents(
  answer: Generated,
  framing: Framing,
  exchange: MockExchange,
): Generator<OutputEvent> {
  const { script, world } = exchange;
  let count = 0;
  const framed = (json: string) => `${framing.before(count)}${json}${framing.after}`;
  for (const { text, delta } of plainObjects(answer, exchange)) {
    if (script.error !== null && count === script.after) {
      const { error } = scriptedError(world.fixtures, script);
      yield { text: framed(JSON.stringify({ error })) + framing.end, delta: false };
      return;
    }
    yield { text: framed(text), delta };
    count += 1;
  }
  if (framing.end !== "") yield { text: framing.end, delta: false };
}

function* plainObjects(answer: Generated, exchange: MockExchange): Generator<OutputEvent> {
  const { script, world } = exchange;
  const write = (parts: readonly JsonObject[], isLast: boolean, tokens: number) =>
    JSON.stringify(objectOf(answer, parts, isLast, tokens));
  if (script.frames !== null) {
    const size = script.frameBytes ?? FRAME_BYTES_DEFAULT;
    yield* flood(script.frames, size, (index, text) => write(textParts(text), false, index + 1));
  } else if (answer.call !== null) {
    yield { text: write(callParts(answer.call), false, answer.tokens), delta: true };
  } else {
    for (let index = 0; index < answer.tokens; index += 1) {
      yield { text: write(textParts(world.words.delta(index)), false, index + 1), delta: true };
    }
  }
  yield { text: write(textParts(""), true, answer.tokens), delta: false };
}
