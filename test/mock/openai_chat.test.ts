import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { sseData, sseEvents, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: [{ type: "text", text: "Say hi." }] },
];
const CHAT = { model: "gpt-4o", messages };
const tools = [
  {
    type: "function",
    function: {
      name: "lookup",
      parameters: { properties: { id: { type: "string" } }, required: ["id"] },
    },
  },
];

const json = async (path: string, body: object, script?: string) =>
  (await it.post(path, body, script)).json();
const text = async (path: string, body: object, script?: string) =>
  (await it.post(path, body, script)).text();

describe("chatCompletion()", () => {
  test("answers with a message and usage that follow from the request", async () => {
    const body = await json("/v1/chat/completions", CHAT, "tokens=5");
    expect(body).toMatchObject({ object: "chat.completion", model: "gpt-4o-2024-08-06" });
    expect(body.choices[0].message.content.split(" ")).toHaveLength(5);
    // "Be brief." and "Say hi." are 16 characters.
    expect(body.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 5, total_tokens: 9 });
    expect([body.service_tier, body.choices[0].finish_reason]).toEqual(["default", "stop"]);
  });

  test.each(["max_tokens", "max_completion_tokens"])("%s cuts it short", async (name) => {
    const body = await json("/v1/chat/completions", { ...CHAT, [name]: 2 });
    expect([body.usage.completion_tokens, body.choices[0].finish_reason]).toEqual([2, "length"]);
  });

  test("calls the first tool, until its output is there", async () => {
    const called = await json("/v1/chat/completions", { ...CHAT, tools });
    expect(called.choices[0].finish_reason).toBe("tool_calls");
    const [call] = called.choices[0].message.tool_calls;
    expect(call.function).toEqual({ name: "lookup", arguments: '{"id":"lock"}' });
    const output = { role: "tool", tool_call_id: call.id, content: "done" };
    const after = await json("/v1/chat/completions", {
      ...CHAT,
      tools,
      messages: [...messages, output],
    });
    expect(after.choices[0].finish_reason).toBe("stop");
  });

  test("streams the same text, with usage nowhere where nobody asked", async () => {
    const whole = await json("/v1/chat/completions", CHAT);
    const stream = await text("/v1/chat/completions", { ...CHAT, stream: true });
    expect(sseEvents(stream).at(-1)?.data).toBe("[DONE]");
    expect(stream).not.toContain("usage");
    const chunks = sseData(stream);
    const content = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    expect(content).toBe(whole.choices[0].message.content);
    expect(chunks.every((chunk) => chunk.obfuscation.length > 0)).toBe(true);
    expect(chunks.at(-1).choices[0].finish_reason).toBe("stop");
  });

  test("streams usage on the last chunk, and null on the others, where asked for", async () => {
    const stream_options = { include_usage: true, include_obfuscation: false };
    const body = { ...CHAT, stream: true, stream_options };
    const chunks = sseData(await text("/v1/chat/completions", body));
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 12 } });
    expect(chunks.some((chunk) => "obfuscation" in chunk)).toBe(false);
  });

  test("streams the arguments of a call in pieces", async () => {
    const body = { ...CHAT, stream: true, tools };
    const chunks = sseData(await text("/v1/chat/completions", body));
    const calls = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
    expect(calls[0].function.name).toBe("lookup");
    expect(calls.map((call) => call.function.arguments).join("")).toBe('{"id":"lock"}');
  });

  test("without a model is a 400", async () => {
    const response = await it.post("/v1/chat/completions", { messages });
    expect([response.status, (await response.json()).error.param]).toEqual([400, "model"]);
  });
});

describe("completion()", () => {
  test("answers with a text", async () => {
    const body = await json("/v1/completions", { model: "m", prompt: "Once upon" }, "tokens=3");
    expect(body.object).toBe("text_completion");
    expect(body.usage).toEqual({ prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
  });

  test("streams it, with usage where it was asked for", async () => {
    const request = { model: "m", prompt: "Once upon", stream: true };
    const plain = await text("/v1/completions", request, "tokens=3");
    expect(plain).not.toContain("usage");
    const asked = { ...request, stream_options: { include_usage: true } };
    const chunks = sseData(await text("/v1/completions", asked, "tokens=3"));
    expect(chunks.at(-1).usage.completion_tokens).toBe(3);
    expect(chunks[0].usage).toBeNull();
  });
});
