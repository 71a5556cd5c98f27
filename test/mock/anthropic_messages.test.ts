import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { scriptIn } from "../../src/mock/anthropic_messages.ts";
import { messageBody, messagesReader } from "../../src/provider/anthropic_messages.ts";
import { sseData, sseEvents, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const ASK = {
  model: "claude-sonnet-5-5",
  max_tokens: 64,
  system: "Be brief.",
  messages: [{ role: "user", content: [{ type: "text", text: "Say hi." }] }],
};
const tools = [
  { type: "web_search_20250305", name: "web_search" },
  { name: "look", input_schema: { properties: { id: { type: "string" } }, required: ["id"] } },
];
const PATH = "/v1/messages";

describe("message()", () => {
  test("answers with a message that our reader understands", async () => {
    const text = await (await it.post(PATH, ASK, "tokens=5")).text();
    expect(JSON.parse(text).content[0].text.split(" ")).toHaveLength(5);
    // "Be brief." and "Say hi." are 16 characters.
    expect(messageBody.read(text)).toMatchObject({
      model: "claude-sonnet-5-5",
      status: "completed",
      serviceTier: "standard",
      usage: { usage: { inputTokens: 4, outputTokens: 5, details: { speed: "standard" } } },
    });
  });

  test("streams the same, with the output provisional until the end", async () => {
    const text = await (await it.post(PATH, { ...ASK, stream: true }, "tokens=3")).text();
    expect(sseEvents(text).map((one) => one.event)).toEqual([
      "message_start",
      "content_block_start",
      "ping",
      ...Array.from({ length: 3 }, () => "content_block_delta"),
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    const reader = messagesReader();
    const signals = sseData(text).map((data) => reader.upstreamSignal(JSON.stringify(data)));
    expect(signals.at(-2)).toMatchObject({ usage: { usage: { inputTokens: 4, outputTokens: 3 } } });
    expect(signals.at(-1)).toMatchObject({ signal: "ended", status: "completed" });
  });

  test("is cut by max_tokens", async () => {
    const body = await (await it.post(PATH, { ...ASK, max_tokens: 2 })).json();
    expect([body.usage.output_tokens, body.stop_reason]).toEqual([2, "max_tokens"]);
  });

  test("calls the first tool of the client's, until its result is there", async () => {
    const called = await (await it.post(PATH, { ...ASK, tools })).json();
    expect(called).toMatchObject({
      stop_reason: "tool_use",
      content: [{ type: "tool_use", name: "look", input: { id: "lock" } }],
    });
    const stream = await (await it.post(PATH, { ...ASK, tools, stream: true })).text();
    const pieces = sseData(stream).map((data) => data.delta?.partial_json ?? "");
    expect(JSON.parse(pieces.join(""))).toEqual({ id: "lock" });
    const result = { role: "user", content: [{ type: "tool_result", content: "ok" }] };
    const messages = [...ASK.messages, result];
    const answered = await (await it.post(PATH, { ...ASK, tools, messages })).json();
    expect(answered.stop_reason).toBe("end_turn");
  });

  test.each([
    ["error=overloaded_error,after=4", ["error", "content_block_delta"]],
    ["frames=3,size=1KiB", ["message_stop", "message_delta"]],
  ])("obeys %s in a stream", async (script, last) => {
    const text = await (await it.post(PATH, { ...ASK, stream: true }, script)).text();
    const names = sseEvents(text).map((one) => one.event);
    expect([names.at(-1), names.at(-2)]).toEqual(last);
  });

  test.each([
    ["no JSON", "not valid JSON"],
    [{ ...ASK, model: undefined }, "model: Field required"],
    [{ ...ASK, max_tokens: undefined }, "max_tokens: Field required"],
  ])("refuses %j", async (body, words) => {
    const response = await it.post(PATH, body);
    expect([response.status, (await response.json()).error.message]).toEqual([
      400,
      expect.stringContaining(words),
    ]);
  });
});

test("countTokens() counts what message() would read", async () => {
  const response = await it.post(`${PATH}/count_tokens`, ASK);
  expect(await response.json()).toEqual({ input_tokens: 4 });
});

test("scriptIn() is in the metadata", async () => {
  expect(scriptIn({ metadata: { mock: "tokens=1" } })).toBe("tokens=1");
  const body = await (await it.post(PATH, { ...ASK, metadata: { mock: "tokens=1" } })).json();
  expect(body.usage.output_tokens).toBe(1);
});
