import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import OpenAI, { toFile } from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

import { connect, type Stage, stage } from "./harness.ts";

let it: Stage;
let client: OpenAI;

beforeAll(async () => {
  it = await stage();
  client = new OpenAI({ apiKey: "sk-test", baseURL: `${it.mock.url}/v1`, maxRetries: 0 });
});

afterAll(() => it.mock.stop());

describe("OpenaiMock", () => {
  test("answers with OpenAI's headers", async () => {
    const { headers } = await it.get("/v1/models");
    expect(headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
    expect(headers.get("openai-version")).toBe("2020-10-01");
    expect(headers.get("openai-processing-ms")).toMatch(/^\d+$/);
    expect(headers.get("x-ratelimit-remaining-tokens")).toMatch(/^\d+$/);
    expect(headers.get("x-ratelimit-reset-requests")).toBe("6ms");
  });

  test.each([
    ["GET", "/v1/nothing"],
    ["GET", "/v1/chat/completions"],
    ["PUT", "/v1/responses/resp_1"],
    ["GET", "/elsewhere"],
  ])("%s %s is a 404 with OpenAI's body", async (method, path) => {
    const headers = { authorization: "Bearer x" };
    const response = await fetch(`${it.mock.url}${path}`, { method, headers });
    expect(response.status).toBe(404);
    expect((await response.json()).error.message).toBe(`Invalid URL (${method} ${path})`);
  });

  test.each(["/v1/responses", "/v1/realtime?model=m"])(
    "GET %s without an upgrade is a 426",
    async (path) => {
      const response = await it.get(path);
      expect([response.status, response.headers.get("upgrade")]).toEqual([426, "websocket"]);
    },
  );

  test("an upgrade of another path is a 404", async () => {
    expect(it.connect("/v1/chat/completions")).rejects.toThrow("404");
  });

  test.each([
    [{}, 401, null],
    [{ authorization: "Basic eDp5" }, 401, null],
    [{ authorization: "Bearer sk-mock-invalid" }, 401, "invalid_api_key"],
    [{ authorization: "Bearer x" }, 200, undefined],
    [{ "api-key": "azure" }, 200, undefined],
  ])("credential %p is %d", async (headers: Record<string, string>, status, code) => {
    const response = await fetch(`${it.mock.url}/v1/models`, { headers });
    expect(response.status).toBe(status);
    const { error } = await response.json();
    expect(error?.code).toBe(code);
    expect(error?.message ?? "").not.toContain("sk-mock-invalid");
  });

  test("takes the key from the subprotocol, and selects realtime only where offered", async () => {
    const url = `${it.mock.url}/v1/realtime?model=gpt-realtime-2`;
    const offered = ["realtime", "openai-insecure-api-key.sk-1", "openai-organization.org_x"];
    const browser = await connect(url, {}, offered);
    expect(browser.subprotocol).toBe("realtime");
    browser.close();
    const node = await it.connect("/v1/realtime?model=gpt-realtime-2");
    expect(node.subprotocol).toBe("");
    node.close();
  });

  test("HEAD is answered without a body", async () => {
    const headers = { authorization: "Bearer x" };
    const response = await fetch(`${it.mock.url}/v1/models`, { method: "HEAD", headers });
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });
});

describe("the official SDK", () => {
  test("creates, retrieves and deletes a response", async () => {
    const made = await client.responses.create({ model: "gpt-5.5", input: "Hello there" });
    expect(made.output_text.split(" ")).toHaveLength(8);
    expect(made.usage).toMatchObject({ input_tokens: 3, output_tokens: 8, total_tokens: 11 });
    expect((await client.responses.retrieve(made.id)).id).toBe(made.id);
    await client.responses.delete(made.id);
    const gone = await client.responses.retrieve(made.id).catch((thrown: unknown) => thrown);
    expect(gone).toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("streams a response into the text of its terminal event", async () => {
    const stream = client.responses.stream({ model: "gpt-5.5", input: "Go" });
    let text = "";
    stream.on("response.output_text.delta", ({ delta }) => {
      text += delta;
    });
    const last = await stream.finalResponse();
    expect(last.output_text).toBe(text);
    expect(last.status).toBe("completed");
  });

  test("streams chat with and without usage", async () => {
    const base = { model: "gpt-5.4-mini", messages: [{ role: "user" as const, content: "Hi" }] };
    const plain = await client.chat.completions.create({ ...base, stream: true });
    for await (const chunk of plain) expect(chunk.usage).toBeUndefined();
    const options = { stream_options: { include_usage: true } };
    const metered = await client.chat.completions.create({ ...base, ...options, stream: true });
    const usages: unknown[] = [];
    for await (const chunk of metered) usages.push(chunk.usage);
    expect(usages.slice(0, -1).every((usage) => usage === null)).toBe(true);
    expect(usages.at(-1)).toMatchObject({ prompt_tokens: 1, completion_tokens: 8 });
  });

  test("gets embeddings, transcripts, speech, images, files and models", async () => {
    const embedded = await client.embeddings.create({
      model: "text-embedding-3-small",
      input: ["alpha", "beta"],
    });
    expect(embedded.data.map((one) => one.embedding.length)).toEqual([8, 8]);
    expect(embedded.usage.prompt_tokens).toBe(3);
    const transcript = await client.audio.transcriptions.create({
      model: "gpt-4o-transcribe",
      file: await toFile(new Uint8Array(48_044), "a.wav"),
    });
    expect(transcript.text.length).toBeGreaterThan(0);
    const spoken = await client.audio.speech.create({
      model: "tts-1",
      voice: "alloy",
      input: "Hi",
    });
    expect((await spoken.arrayBuffer()).byteLength).toBe(8 * 960);
    const image = await client.images.generate({ model: "gpt-image-1", prompt: "A lock" });
    expect(image.data).toHaveLength(1);
    const file = await client.files.create({
      file: await toFile(new Uint8Array(5_000), "b.jsonl"),
      purpose: "batch",
    });
    expect([file.bytes, file.filename, file.purpose]).toEqual([5_000, "b.jsonl", "batch"]);
    expect((await client.models.list()).data.length).toBeGreaterThan(0);
  });

  test("raises OpenAI's errors", async () => {
    const headers = { "x-mock": "status=429" };
    const call = client.responses.create({ model: "m", input: "x" }, { headers });
    expect(await call.catch((thrown: unknown) => thrown)).toBeInstanceOf(OpenAI.RateLimitError);
  });

  test("runs two turns over ResponsesWS, the second on the first", async () => {
    const socket = new ResponsesWS(client);
    const turn = async (more: object) => {
      socket.send({ type: "response.create", model: "gpt-5.5", input: "Four", ...more });
      for await (const event of socket.stream()) {
        if (event.type === "error") throw event.error;
        if (event.type === "message" && event.message.type === "response.completed") {
          return event.message.response;
        }
      }
      throw new Error("The socket ended before the turn did");
    };
    const first = await turn({});
    const second = await turn({ previous_response_id: first.id });
    expect(first.usage?.input_tokens).toBe(1);
    expect(second.usage?.input_tokens).toBe(1 + 8 + 1);
    socket.close();
  });
});
