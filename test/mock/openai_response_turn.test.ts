import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { type Json, sseEvents, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

async function events(body: object, script = ""): Promise<Json[]> {
  const request = { model: "gpt-5.5", input: "Hello", stream: true, ...body };
  const response = await it.post("/v1/responses", request, script);
  const seen = sseEvents(await response.text());
  const data = seen.map((one) => JSON.parse(one.data));
  expect(seen.map((one) => one.event)).toEqual(data.map((one) => one.type));
  return data;
}

const types = (list: Json[]) => [...new Set(list.map((event) => event.type))];
const tools = [{ type: "function", name: "f", parameters: { properties: {}, required: ["a"] } }];

describe("ResponseTurn.events()", () => {
  test("of a message come in OpenAI's order, numbered", async () => {
    const list = await events({});
    expect(types(list)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(list.map((event) => event.sequence_number)).toEqual([...list.keys()]);
    const deltas = list.filter((event) => event.type === "response.output_text.delta");
    const text = list.at(-1).response.output[0].content[0].text;
    expect(deltas.map((event) => event.delta).join("")).toBe(text);
    expect(list[0].response.usage).toBeNull();
  });

  test("of reasoning and a call come before the terminal, in both output and usage", async () => {
    const reasoning = { effort: "high", summary: "auto" };
    const list = await events({ reasoning, tools });
    expect(types(list).slice(2, -1)).toEqual([
      "response.output_item.added",
      "response.reasoning_summary_part.added",
      "response.reasoning_summary_text.delta",
      "response.reasoning_summary_text.done",
      "response.reasoning_summary_part.done",
      "response.output_item.done",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
    ]);
    const { output, usage } = list.at(-1).response;
    expect(output.map((item: Json) => item.type)).toEqual(["reasoning", "function_call"]);
    expect(output[1].arguments).toBe('{"a":"lock"}');
    expect(usage.output_tokens_details.reasoning_tokens).toBe(4);
    expect(usage.output_tokens).toBe(4 + 2);
  });

  test("echo the tier that was asked for, and end with the one served", async () => {
    for (const [service_tier, created, served] of [
      [undefined, "auto", "default"],
      ["fast", "priority", "priority"],
      ["flex", "flex", "flex"],
    ]) {
      const list = await events({ service_tier });
      expect(list[0].response.service_tier).toBe(created);
      expect(list.at(-1).response.service_tier).toBe(served);
    }
  });

  test("are cut by max_output_tokens", async () => {
    const last = (await events({ max_output_tokens: 3 })).at(-1);
    expect([last.type, last.response.incomplete_details]).toEqual([
      "response.incomplete",
      { reason: "max_output_tokens" },
    ]);
    expect(last.response.usage.output_tokens).toBe(3);
  });

  test("of a warm-up are three, without output or usage", async () => {
    const list = await events({ generate: false });
    expect(list).toHaveLength(3);
    expect(list[2].response).toMatchObject({ output: [], usage: { total_tokens: 0 } });
  });

  test("fail in the middle where the script says so", async () => {
    const list = await events({}, "error=server_error,after=5");
    expect(list).toHaveLength(6);
    expect(list[5]).toMatchObject({
      type: "response.failed",
      response: { status: "failed", error: { code: "server_error" }, usage: null },
    });
  });

  test("flood with deltas of one size, whose text is in no later event", async () => {
    const response = await it.post(
      "/v1/responses",
      { model: "m", input: "x", stream: true },
      "frames=20,size=1KiB",
    );
    const seen = sseEvents(await response.text());
    expect(seen.filter((event) => event.data.length === 1_024)).toHaveLength(20);
    expect(JSON.parse(seen.at(-1)?.data ?? "").response.usage.output_tokens).toBe(20);
  });
});
