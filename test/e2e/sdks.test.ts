/**
 * The official SDKs of three providers and the `ai` package, all through one node with one token:
 * each gets its answers, and each turn is metered.
 */

import { describe, expect, test } from "bun:test";

import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI, type LiveServerMessage, Modality } from "@google/genai";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

import type { Mock } from "../../src/mock/mock.ts";
import { dialectsConfig, type Node, nodeForFile, usageEvents } from "./harness.ts";

const CLAUDE = "claude-opus-4-6";
const GEMINI = "gemini-3-flash";

let provider: Mock;
let node: Node;
let token: string;

nodeForFile(dialectsConfig, async (started) => {
  ({ provider, node } = started);
  token = await node.mint();
});

/** The usage of the turns since the last call. */
let seen = 0;
async function newTurns(count: number): Promise<Record<string, unknown>[]> {
  const events = await usageEvents(node, seen + count);
  expect(events).toHaveLength(seen + count);
  seen += count;
  return events.slice(-count);
}

describe("@anthropic-ai/sdk", () => {
  const client = () => new Anthropic({ apiKey: token, baseURL: node.url, maxRetries: 0 });
  const messages = [{ role: "user" as const, content: "Hello there" }];

  test("messages.create is relayed and metered", async () => {
    const { usage } = await client().messages.create({ model: CLAUDE, max_tokens: 50, messages });
    expect(await newTurns(1)).toMatchObject([
      {
        provider: "anthropic",
        endpoint: "/v1/messages",
        transport: "http",
        status: "completed",
        requested_model: CLAUDE,
        output_tokens: usage.output_tokens,
        usage_source: "upstream",
      },
    ]);
    const sent = provider.requests.at(-1)?.headers ?? {};
    expect(sent["x-api-key"] ?? sent["authorization"]).toContain("sk-upstream-secret-0002");
    expect(JSON.stringify(sent)).not.toContain(token);
  });

  test("messages.stream is relayed and metered", async () => {
    const stream = client().messages.stream({ model: CLAUDE, max_tokens: 50, messages });
    let text = "";
    stream.on("text", (delta) => (text += delta));
    const { usage } = await stream.finalMessage();
    expect(text.length).toBeGreaterThan(0);
    expect(await newTurns(1)).toMatchObject([
      { transport: "sse", status: "completed", output_tokens: usage.output_tokens },
    ]);
  });

  test("messages.countTokens is free", async () => {
    const counted = await client().messages.countTokens({ model: CLAUDE, messages });
    expect(counted.input_tokens).toBeGreaterThan(0);
  });
});

describe("@google/genai", () => {
  const client = () => new GoogleGenAI({ apiKey: token, httpOptions: { baseUrl: node.url } });

  test("models.generateContent is relayed and metered", async () => {
    const answer = await client().models.generateContent({ model: GEMINI, contents: "Hello" });
    expect(answer.text?.length).toBeGreaterThan(0);
    expect(await newTurns(1)).toMatchObject([
      {
        provider: "gemini",
        transport: "http",
        status: "completed",
        requested_model: GEMINI,
        usage_source: "upstream",
        input_tokens: answer.usageMetadata?.promptTokenCount,
      },
    ]);
  });

  test("models.generateContentStream is relayed and metered", async () => {
    const asked = { model: GEMINI, contents: "Hello" };
    const stream = await client().models.generateContentStream(asked);
    let text = "";
    for await (const chunk of stream) text += chunk.text ?? "";
    expect(text.length).toBeGreaterThan(0);
    expect(await newTurns(1)).toMatchObject([
      { transport: "sse", status: "completed", usage_source: "upstream" },
    ]);
  });

  test("live.connect is relayed and metered", async () => {
    const done = Promise.withResolvers<void>();
    const session = await client().live.connect({
      model: GEMINI,
      config: { responseModalities: [Modality.TEXT] },
      callbacks: {
        onmessage: ({ serverContent }: LiveServerMessage) => {
          if (serverContent?.turnComplete === true) done.resolve();
        },
        onerror: ({ message }) => done.reject(new Error(message)),
        onclose: ({ reason }) => done.reject(new Error(`closed: ${reason}`)),
      },
    });
    session.sendClientContent({ turns: "Hello", turnComplete: true });
    await done.promise;
    session.close();
    expect(await newTurns(1)).toMatchObject([
      { provider: "gemini", transport: "websocket", status: "completed", usage_source: "upstream" },
    ]);
  });
});

describe("ai", () => {
  const model = () => createOpenAI({ apiKey: token, baseURL: `${node.url}/v1` });

  test("generateText and streamText are relayed and metered", async () => {
    const { text } = await generateText({ model: model()("gpt-5.5"), prompt: "Hello" });
    expect(text.length).toBeGreaterThan(0);
    const stream = streamText({ model: model()("gpt-5.5"), prompt: "Hello" });
    expect((await stream.text).length).toBeGreaterThan(0);
    expect(await newTurns(2)).toMatchObject([
      { provider: "openai", transport: "http", status: "completed" },
      { provider: "openai", transport: "sse", status: "completed" },
    ]);
  });
});

describe("openai", () => {
  test("takes the same token", async () => {
    const client = new OpenAI({ apiKey: token, baseURL: `${node.url}/v1`, maxRetries: 0 });
    const { id } = await client.responses.create({ model: "gpt-5.5", input: "Hello" });
    expect(await newTurns(1)).toMatchObject([{ response_id: id, status: "completed" }]);
  });

  test("takes Gemini's models too, where Google speaks as OpenAI does", async () => {
    const baseURL = `${node.url}/v1beta/openai`;
    const client = new OpenAI({ apiKey: token, baseURL, maxRetries: 0 });
    const messages = [{ role: "user" as const, content: "Hello" }];
    const { usage } = await client.chat.completions.create({ model: GEMINI, messages });
    expect(await newTurns(1)).toMatchObject([
      {
        provider: "gemini",
        endpoint: "/v1beta/openai/chat/completions",
        status: "completed",
        requested_model: GEMINI,
        output_tokens: usage?.completion_tokens,
      },
    ]);
    const sent = provider.requests.at(-1)?.headers ?? {};
    expect(sent["authorization"]).toBe("Bearer sk-upstream-secret-0002");
  });
});
