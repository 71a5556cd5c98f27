/** The official OpenAI SDK talks to the executable as to OpenAI, with nothing but a base URL. */

import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import OpenAI, { toFile } from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

import type { Mock } from "../../src/mock/mock.ts";
import {
  type Node,
  nodeForFile,
  openaiConfig,
  startNode,
  startProvider,
  usageEvents,
} from "./harness.ts";

let provider: Mock;
let node: Node;
let client: OpenAI;

nodeForFile(openaiConfig, async (started) => {
  ({ provider, node } = started);
  client = new OpenAI({ apiKey: await node.mint(), baseURL: `${node.url}/v1`, maxRetries: 0 });
});

/** The event of the newest turn, once it is in the ledger. */
let turns = 0;
async function nextEvent(): Promise<Record<string, unknown>> {
  const [event = {}] = await nextEvents(1);
  return event;
}

/** The next `count` events, and no more than those. */
async function nextEvents(count: number): Promise<Record<string, unknown>[]> {
  turns += count;
  const events = await usageEvents(node, turns);
  expect(events).toHaveLength(turns);
  return events.slice(-count);
}

describe("openai SDK", () => {
  test("responses.create is relayed and metered", async () => {
    const response = await client.responses.create({ model: "gpt-5.5", input: "Hello there" });
    expect(response.output_text.length).toBeGreaterThan(0);
    expect(await nextEvent()).toMatchObject({
      transport: "http",
      kind: "response",
      endpoint: "/v1/responses",
      status: "completed",
      requested_model: "gpt-5.5",
      response_id: response.id,
      input_tokens: response.usage?.input_tokens,
      output_tokens: response.usage?.output_tokens,
      usage_source: "upstream",
    });
  });

  test("responses.create streams and is metered", async () => {
    const stream = await client.responses.create({ model: "gpt-5.5", input: "Go", stream: true });
    let usage: OpenAI.Responses.ResponseUsage | undefined;
    const types: string[] = [];
    for await (const event of stream) {
      types.push(event.type);
      if (event.type === "response.completed") usage = event.response.usage;
    }
    expect(types[0]).toBe("response.created");
    const event = await nextEvent();
    expect(event).toMatchObject({
      transport: "sse",
      status: "completed",
      output_tokens: usage?.output_tokens,
    });
    expect(event["first_token_ms"]).toBeNumber();
    expect(event["duration_ms"]).toBeNumber();
  });

  test("chat.completions streams without usage for the client, and is still metered", async () => {
    const stream = await client.chat.completions.create({
      model: "gpt-5.4-mini",
      messages: [{ role: "user", content: "Hi" }],
      stream: true,
    });
    for await (const chunk of stream) {
      expect(chunk.choices).not.toHaveLength(0);
      expect(chunk.usage ?? null).toBeNull();
    }
    const event = await nextEvent();
    expect(event).toMatchObject({ endpoint: "/v1/chat/completions", usage_source: "upstream" });
    expect(event["output_tokens"]).toBeGreaterThan(0);
  });

  test("chat.completions streams its usage chunk to a client that asked for it", async () => {
    const stream = await client.chat.completions.create({
      model: "gpt-5.4-mini",
      messages: [{ role: "user", content: "Hi" }],
      stream: true,
      stream_options: { include_usage: true },
    });
    let usage: OpenAI.CompletionUsage | null = null;
    for await (const chunk of stream) usage = chunk.usage ?? usage;
    expect(usage).not.toBeNull();
    expect(await nextEvent()).toMatchObject({ input_tokens: usage?.prompt_tokens });
  });

  test("embeddings and audio transcriptions are metered by their kind", async () => {
    await client.embeddings.create({ model: "text-embedding-3-small", input: ["alpha", "beta"] });
    expect(await nextEvent()).toMatchObject({ kind: "embedding", status: "completed" });
    await client.audio.transcriptions.create({
      model: "gpt-4o-transcribe",
      file: await toFile(new Uint8Array(48_044), "a.wav"),
    });
    expect(await nextEvent()).toMatchObject({
      kind: "transcription",
      requested_model: "gpt-4o-transcribe",
      status: "completed",
    });
  });

  test("models.list makes no usage event", async () => {
    const models = await client.models.list();
    expect(models.data.length).toBeGreaterThan(0);
    expect(await usageEvents(node, turns)).toHaveLength(turns);
  });

  test("ResponsesWS runs two turns, the second on the first's response id", async () => {
    const socket = new ResponsesWS(client);
    const first = await turn(socket, { model: "gpt-5.5", input: "First" });
    const second = await turn(socket, {
      model: "gpt-5.5",
      input: "Second",
      previous_response_id: first.id,
    });
    socket.close();
    const [one = {}, two = {}] = await nextEvents(2);
    expect([one["transport"], one["turn"], two["turn"]]).toEqual(["websocket", 1, 2]);
    expect(one["session_id"]).toBe(two["session_id"] as string);
    expect([one["response_id"], two["response_id"]]).toEqual([first.id, second.id]);
    expect(two["input_tokens"]).toBe(second.usage?.input_tokens as number);
  });

  test("the provider never saw the token, and saw its own key", () => {
    const seen = provider.requests.map((request) => request.headers["authorization"]);
    expect(new Set(seen)).toEqual(new Set(["Bearer sk-upstream-secret-0001"]));
  });
});

type CreateEvent = { model: string; input: string; previous_response_id?: string };

async function turn(socket: ResponsesWS, create: CreateEvent): Promise<OpenAI.Responses.Response> {
  socket.send({ type: "response.create", ...create });
  for await (const event of socket.stream()) {
    if (event.type === "error") throw event.error;
    if (event.type === "message" && event.message.type === "response.completed") {
      return event.message.response;
    }
  }
  throw new Error("The socket ended before the turn did");
}

test("OpenAIRealtimeWS, which insists on wss, is relayed and metered over https_port", async () => {
  const upstream = await startProvider();
  const folder = node.dataDir;
  const cert = join(folder, "cert.pem");
  const key = join(folder, "key.pem");
  const made = Bun.spawnSync([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    ...["-nodes", "-days", "2", "-subj", "/CN=localhost"],
    ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
  ]);
  expect(made.exitCode).toBe(0);
  const secure = await startNode({
    config: openaiConfig(
      upstream.url,
      `https_port: 0\nhttps_bind_address: 127.0.0.1\ncert_file: ${cert}\nprivate_key_file: ${key}`,
    ),
  });
  const base = secure.httpsUrl?.replace("127.0.0.1", "localhost");
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "realtime_client.ts")], {
    env: {
      PATH: process.env["PATH"] ?? "",
      NODE_EXTRA_CA_CERTS: cert,
      OPENAI_API_KEY: await secure.mint(),
      OPENAI_BASE_URL: `${base}/v1`,
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ code: await child.exited, stderr }).toEqual({ code: 0, stderr: "" });
  const done = JSON.parse(stdout);
  const [event] = await usageEvents(secure, 1);
  expect(event).toMatchObject({
    endpoint: "/v1/realtime",
    transport: "websocket",
    status: "completed",
    response_id: done.id,
    input_tokens: done.usage.input_tokens,
    output_tokens: done.usage.output_tokens,
  });
  await secure.stop();
  await upstream.stop();
});
