import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";

import { SPEECH_BYTES } from "../../src/mock/openai_realtime.ts";
import { advanceUntil, type Client, type Stage, stage, until } from "./harness.ts";

let it: Stage;
let client: Client;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

beforeEach(async () => {
  client = await it.connect("/v1/realtime?model=gpt-realtime-2");
  await client.next();
});

afterEach(() => client.close());

const audio = (bytes: number) => new Uint8Array(bytes).toBase64();
const append = (bytes: number) =>
  client.send({ type: "input_audio_buffer.append", audio: audio(bytes) });
const update = async (session: object) => {
  client.send({ type: "session.update", session });
  return (await client.until("session.updated")).at(-1).session;
};
const item = {
  type: "message",
  role: "user",
  content: [{ type: "input_text", text: "Sixteen letters." }],
};
const slow = { metadata: { mock: "tokens=5,delay=each:1s" } };

describe("RealtimeDialogue", () => {
  test("greets with the session that the query asks for", async () => {
    const one = await it.connect("/v1/realtime?model=my-model");
    expect((await one.next()).session).toMatchObject({ type: "realtime", model: "my-model" });
    const two = await it.connect("/v1/realtime?intent=transcription");
    expect((await two.next()).session.type).toBe("transcription");
    const three = await it.connect("/v1/realtime?call_id=rtc_1");
    expect((await three.next()).type).toBe("session.created");
    for (const other of [one, two, three]) other.close();
    expect(it.connect("/v1/realtime")).rejects.toThrow("400");
  });

  test("takes an update, except of the model", async () => {
    const session = await update({
      model: "gpt-realtime-2",
      audio: { input: { turn_detection: null } },
    });
    expect(session.audio.input).toMatchObject({
      turn_detection: null,
      format: { type: "audio/pcm" },
    });
    client.send({ type: "session.update", event_id: "evt_1", session: { model: "other" } });
    expect((await client.next()).error).toMatchObject({
      param: "session.model",
      event_id: "evt_1",
    });
  });

  test("counts items and earlier answers as input", async () => {
    await update({ instructions: "", output_modalities: ["text"] });
    client.send({ type: "conversation.item.create", item });
    const added = (await client.until("conversation.item.done")).map((event) => event.type);
    expect(added).toEqual(["conversation.item.added", "conversation.item.done"]);
    client.send({ type: "response.create" });
    const first = (await client.until("rate_limits.updated")).at(-2).response;
    expect(first.usage.input_tokens).toBe(4);
    client.send({ type: "response.create" });
    const second = (await client.until("rate_limits.updated")).at(-2).response;
    const spoken = first.output[0].content[0].text.length;
    expect(second.usage.input_tokens).toBe(Math.ceil((16 + spoken) / 4));
  });

  test("commits audio by hand, transcribes it, and answers when asked", async () => {
    const transcription = { model: "gpt-4o-mini-transcribe" };
    await update({ instructions: "", audio: { input: { turn_detection: null, transcription } } });
    append(9_600);
    append(1);
    client.send({ type: "input_audio_buffer.commit" });
    const kind = "conversation.item.input_audio_transcription";
    const events = await client.until(`${kind}.completed`);
    expect(events.map((event) => event.type).slice(0, 4)).toEqual([
      "input_audio_buffer.committed",
      "conversation.item.added",
      "conversation.item.done",
      `${kind}.delta`,
    ]);
    expect(events.at(-1).usage).toEqual({
      type: "tokens",
      total_tokens: 7,
      input_tokens: 3,
      input_token_details: { text_tokens: 0, audio_tokens: 3 },
      output_tokens: 4,
    });
    client.send({ type: "response.create" });
    const { usage } = (await client.until("rate_limits.updated")).at(-2).response;
    expect(usage.input_token_details).toMatchObject({ text_tokens: 0, audio_tokens: 3 });
  });

  test("bills whisper-1 by the second", async () => {
    const transcription = { model: "whisper-1" };
    await update({ audio: { input: { turn_detection: null, transcription } } });
    append(SPEECH_BYTES + 1);
    client.send({ type: "input_audio_buffer.commit" });
    const kind = "conversation.item.input_audio_transcription.completed";
    const { usage } = (await client.until(kind)).at(-1);
    expect(usage).toEqual({ type: "duration", seconds: 2 });
  });

  test("hears the end of speech and answers by itself", async () => {
    append(SPEECH_BYTES / 2);
    expect((await client.next()).type).toBe("input_audio_buffer.speech_started");
    append(SPEECH_BYTES / 2);
    const stopped = await client.next();
    expect(stopped).toMatchObject({
      type: "input_audio_buffer.speech_stopped",
      audio_end_ms: 1_000,
    });
    const events = await client.until("response.done");
    expect(events[0].type).toBe("input_audio_buffer.committed");
    expect(events.at(-1).response.usage.input_token_details.audio_tokens).toBe(10);
  });

  test("only transcribes in a transcription session", async () => {
    const other = await it.connect("/v1/realtime?intent=transcription");
    const input = { transcription: { model: "gpt-4o-transcribe" } };
    other.send({ type: "session.update", session: { audio: { input } } });
    other.send({ type: "input_audio_buffer.append", audio: audio(SPEECH_BYTES) });
    await other.until("conversation.item.input_audio_transcription.completed");
    other.send({ type: "input_audio_buffer.clear" });
    expect((await other.next()).type).toBe("input_audio_buffer.cleared");
    other.close();
  });

  test("cancels a response, at the client's word or because somebody speaks", async () => {
    client.send({ type: "response.create", response: slow });
    await until(() => it.clock.pendingTimers === 1);
    client.send({ type: "response.create" });
    const busy = (await client.until("error")).at(-1);
    expect(busy.error.code).toBe("conversation_already_has_active_response");
    client.send({ type: "response.cancel" });
    client.send({ type: "response.cancel" });
    const none = (await client.until("error")).at(-1);
    expect(none.error.code).toBe("response_cancel_not_active");
    const first = await advanceUntil(it.clock, 1_000, client.until("response.done"));
    expect(first.at(-1).response).toMatchObject({
      status: "cancelled",
      status_details: { reason: "client_cancelled" },
    });
    client.send({ type: "response.create", response: slow });
    await until(() => it.clock.pendingTimers === 1);
    append(100);
    const second = await advanceUntil(it.clock, 1_000, client.until("response.done"));
    expect(second.at(-1).response.status_details.reason).toBe("turn_detected");
  });

  test("runs responses outside the conversation beside it", async () => {
    client.send({ type: "response.create", response: slow });
    await until(() => it.clock.pendingTimers === 1);
    client.send({ type: "response.create", response: { conversation: "none" } });
    const { response } = (await client.until("response.done")).at(-1);
    expect(response.conversation_id).toBeNull();
    client.send({ type: "response.cancel" });
    await advanceUntil(it.clock, 1_000, client.until("response.done"));
  });

  test.each([
    ["hello", "invalid_json"],
    [{ type: "session.explode" }, "invalid_value"],
    [{ type: "toString" }, "invalid_value"],
    [{ type: "input_audio_buffer.append" }, "missing_required_parameter"],
    [{ type: "input_audio_buffer.commit" }, "input_audio_buffer_commit_empty"],
    [{ type: "response.create", response: { metadata: { mock: "x=1" } } }, "invalid_mock_script"],
    [
      { type: "response.create", response: { metadata: { mock: "error=rate_limit_exceeded" } } },
      "rate_limit_exceeded",
    ],
  ])("refuses %p with %s and goes on", async (message, code) => {
    client.send(message);
    const event = await client.next();
    expect([event.type, event.error.code]).toEqual(["error", code]);
    await update({});
  });

  test.each([
    ["delete", "deleted", { item_id: "item_1" }],
    ["retrieve", "retrieved", { item: { id: "item_1" } }],
    ["truncate", "truncated", { item_id: "item_1", audio_end_ms: 5 }],
  ])("conversation.item.%s is %s", async (verb, past, fields) => {
    client.send({ type: `conversation.item.${verb}`, item_id: "item_1", audio_end_ms: 5 });
    expect(await client.next()).toMatchObject({ type: `conversation.item.${past}`, ...fields });
  });
});
