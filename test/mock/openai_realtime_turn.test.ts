import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { type Json, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

/** The events of one response of a fresh session. */
async function respond(response: object, script = ""): Promise<Json[]> {
  const client = await it.connect("/v1/realtime?model=gpt-realtime-2", script);
  client.send({ type: "session.update", session: { instructions: "Four" } });
  await client.until("session.updated");
  client.send({ type: "response.create", response });
  const events = await client.until("rate_limits.updated");
  client.close();
  return events;
}

const types = (list: Json[]) => [...new Set(list.map((event) => event.type))];

describe("RealtimeTurn.events()", () => {
  test("of text come in OpenAI's order, a token a delta", async () => {
    const events = await respond({ output_modalities: ["text"] }, "tokens=3");
    expect(types(events)).toEqual([
      "response.created",
      "response.output_item.added",
      "conversation.item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "conversation.item.done",
      "response.done",
      "rate_limits.updated",
    ]);
    const { response } = events.at(-2);
    expect(response.status).toBe("completed");
    expect(response.usage).toMatchObject({
      total_tokens: 4,
      input_tokens: 1,
      output_tokens: 3,
      output_token_details: { text_tokens: 3, audio_tokens: 0 },
    });
  });

  test("of audio carry a transcript and 100 ms of sound for each token", async () => {
    const events = await respond({}, "tokens=2");
    const sound = events.filter((event) => event.type === "response.output_audio.delta");
    expect(sound).toHaveLength(2);
    expect(Uint8Array.fromBase64(sound[0].delta)).toHaveLength(4_800);
    const { usage, output } = events.at(-2).response;
    expect(usage.output_token_details).toEqual({ text_tokens: 2, audio_tokens: 4 });
    expect(output[0].content[0]).toHaveProperty("transcript");
  });

  test("outside the conversation touch no items", async () => {
    const events = await respond({ conversation: "none" });
    expect(types(events).some((type) => type.startsWith("conversation."))).toBe(false);
    expect(events.at(-2).response.conversation_id).toBeNull();
  });

  test("call a tool where there is one", async () => {
    const tools = [{ type: "function", name: "f", parameters: { required: ["a"] } }];
    const events = await respond({ tools });
    expect(types(events)).toContain("response.function_call_arguments.done");
    expect(events.at(-2).response.output[0]).toMatchObject({ type: "function_call", name: "f" });
  });

  test.each([
    [{ max_output_tokens: 2 }, "", "incomplete", "max_output_tokens"],
    [{}, "error=server_error,after=4", "failed", undefined],
  ])("of %p with script %p end %s", async (response, script, status, reason) => {
    const { response: ended } = (await respond(response, script)).at(-2);
    expect(ended.status).toBe(status);
    expect(ended.status_details.type).toBe(status);
    expect(ended.status_details.reason).toBe(reason);
  });
});
