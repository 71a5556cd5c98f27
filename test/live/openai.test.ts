/**
 * The same exchanges against OpenAI itself, through the executable: what sluice metered must be
 * what the API said. Skipped unless OPENAI_API_KEY is in the environment; costs a fraction of a
 * cent. The model can be chosen with SLUICE_LIVE_MODEL.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

import { type Node, startNode, usageEvents } from "../e2e/harness.ts";

const key = process.env["OPENAI_API_KEY"] ?? "";
const model = process.env["SLUICE_LIVE_MODEL"] ?? "gpt-5.4-mini";

describe.skipIf(key === "")("OpenAI's live API", () => {
  let node: Node;
  let client: OpenAI;
  let turns = 0;

  beforeAll(async () => {
    node = await startNode({
      config: "providers:\n  - { name: openai, type: openai, api_key: '${OPENAI_API_KEY}' }",
      env: { OPENAI_API_KEY: key },
    });
    client = new OpenAI({ apiKey: await node.mint(), baseURL: `${node.url}/v1` });
  });

  afterAll(async () => {
    await node.stop();
  });

  async function metered(): Promise<Record<string, unknown>> {
    turns += 1;
    const events = await usageEvents(node, turns);
    expect(events).toHaveLength(turns);
    return events.at(-1) ?? {};
  }

  function usageOf(usage: OpenAI.Responses.ResponseUsage | undefined) {
    return {
      usage_source: "upstream",
      status: "completed",
      input_tokens: usage?.input_tokens,
      cached_input_tokens: usage?.input_tokens_details.cached_tokens,
      output_tokens: usage?.output_tokens,
      reasoning_tokens: usage?.output_tokens_details.reasoning_tokens,
    };
  }

  test("responses.create", async () => {
    const response = await client.responses.create({ model, input: "Say hi." });
    expect(await metered()).toMatchObject({ ...usageOf(response.usage), response_id: response.id });
  });

  test("responses.create as a stream", async () => {
    const stream = await client.responses.create({ model, input: "Say hi.", stream: true });
    let usage: OpenAI.Responses.ResponseUsage | undefined;
    for await (const event of stream) {
      if (event.type === "response.completed") usage = event.response.usage;
    }
    expect(await metered()).toMatchObject({ ...usageOf(usage), transport: "sse" });
  });

  test("chat.completions as a stream that did not ask for usage", async () => {
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: "user", content: "Say hi." }],
      stream: true,
    });
    for await (const chunk of stream) expect(chunk.usage ?? null).toBeNull();
    const event = await metered();
    expect(event).toMatchObject({ usage_source: "upstream", status: "completed" });
    expect(event["output_tokens"]).toBeGreaterThan(0);
  });

  test("embeddings.create", async () => {
    const answer = await client.embeddings.create({
      model: "text-embedding-3-small",
      input: "alpha",
    });
    expect(await metered()).toMatchObject({
      kind: "embedding",
      input_tokens: answer.usage.prompt_tokens,
    });
  });

  test("two turns of ResponsesWS", async () => {
    const socket = new ResponsesWS(client);
    let previous: string | null = null;
    for (let count = 0; count < 2; count += 1) {
      socket.send({
        type: "response.create",
        model,
        input: "Say hi.",
        previous_response_id: previous,
      });
      for await (const event of socket.stream()) {
        if (event.type !== "message" || event.message.type !== "response.completed") continue;
        const { response } = event.message;
        previous = response.id;
        expect(await metered()).toMatchObject({ ...usageOf(response.usage), turn: count + 1 });
        break;
      }
    }
    socket.close();
  });
});
