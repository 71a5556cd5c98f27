import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { sseData, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

function transcribe(fields: Record<string, string>, script = ""): Promise<Response> {
  const form = new FormData();
  form.set("file", new File([new Uint8Array(48_000)], "a.wav"));
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  const headers = { authorization: "Bearer x", ...(script === "" ? {} : { "x-mock": script }) };
  const init = { method: "POST", body: form, headers };
  return fetch(`${it.mock.url}/v1/audio/transcriptions`, init);
}

describe("transcription()", () => {
  test("counts a second of audio as ten tokens", async () => {
    const body = await (await transcribe({ model: "gpt-4o-transcribe" }, "tokens=3")).json();
    expect(body.text.split(" ")).toHaveLength(3);
    expect(body.usage).toEqual({
      type: "tokens",
      total_tokens: 13,
      input_tokens: 10,
      input_token_details: { text_tokens: 0, audio_tokens: 10 },
      output_tokens: 3,
    });
  });

  test("counts seconds for whisper-1", async () => {
    const fields = { model: "whisper-1", response_format: "verbose_json" };
    const body = await (await transcribe(fields)).json();
    expect([body.duration, body.usage]).toEqual([1, { type: "duration", seconds: 1 }]);
  });

  test.each([
    ["text", /^\w/],
    ["srt", /^1\n00:00:00,000/],
    ["vtt", /^WEBVTT/],
  ])("as %s is plain text without usage", async (response_format, begins) => {
    const response = await transcribe({ model: "whisper-1", response_format });
    expect(response.headers.get("content-type")).toStartWith("text/plain");
    expect(await response.text()).toMatch(begins);
  });

  test("streams deltas and ends with the usage", async () => {
    const response = await transcribe({ model: "gpt-4o-transcribe", stream: "true" });
    const events = sseData(await response.text());
    expect(events.filter((event) => event.type === "transcript.text.delta")).toHaveLength(8);
    expect(events.at(-1)).toMatchObject({
      type: "transcript.text.done",
      usage: { output_tokens: 8 },
    });
  });

  test.each([[{}], [{ model: "m", file: "text" }]])("refuses the form %p", async (fields) => {
    expect((await transcribe(fields)).status).toBe(400);
  });

  test("refuses what is no form", async () => {
    expect((await it.post("/v1/audio/transcriptions", "x")).status).toBe(400);
  });
});

describe("speech()", () => {
  test("answers with audio of every byte value", async () => {
    const request = { model: "tts-1", input: "Hi", voice: "alloy", response_format: "wav" };
    const response = await it.post("/v1/audio/speech", request, "tokens=2");
    expect(response.headers.get("content-type")).toBe("audio/wav");
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect([bytes.length, new Set(bytes).size]).toEqual([1_920, 256]);
  });

  test("streams it as events with usage", async () => {
    const request = { model: "m", input: "Hello there", voice: "v", stream_format: "sse" };
    const events = sseData(await (await it.post("/v1/audio/speech", request, "tokens=2")).text());
    const types = ["speech.audio.delta", "speech.audio.delta", "speech.audio.done"];
    expect(events.map((event) => event.type)).toEqual(types);
    expect(events.at(-1).usage).toEqual({ input_tokens: 3, output_tokens: 2, total_tokens: 5 });
  });

  test("without input is a 400", async () => {
    expect((await it.post("/v1/audio/speech", { model: "m" })).status).toBe(400);
  });
});
