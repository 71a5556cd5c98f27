import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { Message } from "../../src/exchange.ts";
import {
  renameInAnswer,
  renameInBody,
  renameInEvent,
  renameInMessage,
  renameInUpstreamMessage,
} from "../../src/provider/model_field.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";

const up = (name: string) => (name === "fast" ? "gpt-5" : name);
const down = (name: string) => (name === "gpt-5" ? "fast" : name);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (message: Message) =>
  typeof message === "string" ? message : new TextDecoder().decode(message);

function code(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (thrown) {
    return thrown instanceof GatewayError ? thrown.code : String(thrown);
  }
}

describe("renameInBody()", () => {
  test.each([
    ['{ "input":"ü", "model" :"fast" , "n":1.0}', '{ "input":"ü", "model" :"gpt-5" , "n":1.0}'],
    ['{"\\u006dodel":"fast"}', '{"\\u006dodel":"gpt-5"}'],
    ['{"model":"\\u0066ast"}', '{"model":"gpt-5"}'],
    ['{"model":"models/fast"}', '{"model":"models/gpt-5"}'],
    ['{"metadata":{"model":"fast"}}', '{"metadata":{"model":"fast"}}'],
    ['{"model":1}', '{"model":1}'],
  ])("makes %s %s", (text, expected) => {
    expect(textOf(renameInBody("openai_chat", bytesOf(text), up))).toBe(expected);
  });

  test("gives the very bytes where the name stays", () => {
    const body = bytesOf('{"model":"o3"}');
    expect(renameInBody("openai_chat", body, up)).toBe(body);
  });

  test("goes into the list of what Gemini embeds in one request", () => {
    const text = '{"requests": [{"model":"models/fast","x":"ü"}, 1, {"y":1 ,"model":"fast"}, {}]}';
    const body = (json: string) => renameInBody("gemini_generate", bytesOf(json), up);
    expect(textOf(body(text))).toBe(text.replaceAll("fast", "gpt-5"));
    const others = '{"requests":{"model":"fast"}}';
    expect(textOf(body(others))).toBe(others);
    expect(code(() => body('{"requests":[{"model":"a","model":"b"}]}'))).toBe("ambiguous_json");
    const many = JSON.stringify({ requests: Array(50_000).fill({ model: "fast" }) });
    expect(textOf(body(many))).not.toContain("fast");
  });

  test("refuses a model that is named twice", () => {
    const body = bytesOf('{"model":"fast","mode\\u006c":"o3"}');
    expect(code(() => renameInBody("openai_chat", body, up))).toBe("ambiguous_json");
  });
});

describe("renameInMessage()", () => {
  const asked = (session: unknown) => JSON.stringify({ type: "session.update", session });

  test.each<[MeterDialect, string, string]>([
    ["openai_responses", '{"model":"fast","type":"response.create"}', "gpt-5"],
    ["openai_responses", '{"type":"response.create","response":{"model":"fast"}}', "gpt-5"],
    ["openai_realtime", '{"type":"response.create","response":{"model":"fast"}}', "gpt-5"],
    ["openai_realtime", asked({ model: "fast" }), "gpt-5"],
    ["openai_realtime", asked({ audio: { input: { transcription: { model: "fast" } } } }), "gpt-5"],
    ["openai_realtime", asked({ input_audio_transcription: { model: "fast" } }), "gpt-5"],
    ["gemini_live", '{"setup":{"model":"models/fast"}}', "gpt-5"],
    ["openai_realtime", '{"type":"response.create","model":"fast"}', "fast"],
    ["none", '{"model":"fast"}', "fast"],
  ])("of %s makes %s name %s, as text and as bytes", (dialect, text, name) => {
    const expected = text.replace("fast", name);
    expect(renameInMessage(dialect, text, up)).toBe(expected);
    expect(textOf(renameInMessage(dialect, bytesOf(text), up))).toBe(expected);
  });

  test("gives the very message where it names no model", () => {
    const frame = bytesOf('{"type":"input_audio_buffer.append","audio":"AAAA"}');
    expect(renameInMessage("openai_realtime", frame, up)).toBe(frame);
    expect(renameInMessage("openai_realtime", "no JSON", up)).toBe("no JSON");
  });

  test("refuses a key on the way to a model that is named twice", () => {
    const input = '"input":{"transcription":{"model":"fast"}}';
    const twice = `{"type":"session.update","session":{"audio":{${input},${input}}}}`;
    expect(code(() => renameInMessage("openai_realtime", twice, up))).toBe("ambiguous_json");
  });

  test("shows every model to whoever may refuse it", () => {
    const seen: string[] = [];
    const note = (name: string) => {
      seen.push(name);
      return name;
    };
    const transcription = { model: "b" };
    renameInMessage(
      "openai_realtime",
      asked({ model: "a", audio: { input: { transcription } } }),
      note,
    );
    expect(seen).toEqual(["a", "b"]);
  });
});

describe("of answers", () => {
  test.each<[MeterDialect, string, string]>([
    ["openai_chat", '{"id":"x","model":"gpt-5"}', "fast"],
    ["anthropic_messages", '{"model":"gpt-5"}', "fast"],
    ["gemini_generate", '{"modelVersion":"gpt-5"}', "fast"],
    ["openai_chat", '{"choices":[{"model":"gpt-5"}]}', "gpt-5"],
    ["openai_chat", "no JSON", "gpt-5"],
  ])("renameInAnswer() of %s makes %s name %s", (dialect, text, name) => {
    expect(renameInAnswer(dialect, text, down)).toBe(text.replace("gpt-5", name));
  });

  test.each<[MeterDialect, string, string]>([
    ["openai_chat", '{"model":"gpt-5","choices":[]}', "fast"],
    ["openai_responses", '{"type":"response.created","response":{"model":"gpt-5"}}', "fast"],
    ["anthropic_messages", '{"type":"message_start","message":{"model":"gpt-5"}}', "fast"],
    ["gemini_generate", '{"modelVersion":"gpt-5"}', "fast"],
    ["openai_responses", '{"type":"x","model":"gpt-5"}', "gpt-5"],
    ["openai_chat", "[DONE]", ""],
  ])("renameInEvent() of %s makes %s name %s", (dialect, text, name) => {
    expect(renameInEvent(dialect, text, down)).toBe(text.replace("gpt-5", name));
  });

  test("renameInUpstreamMessage() renames the session's, and leaves audio alone", () => {
    const created = '{"type":"session.created","session":{"model":"gpt-5"}}';
    const dialect = "openai_realtime";
    const renamed = created.replace("gpt-5", "fast");
    expect(renameInUpstreamMessage(dialect, created, down)).toBe(renamed);
    expect(textOf(renameInUpstreamMessage(dialect, bytesOf(created), down))).toBe(renamed);
    const audio = bytesOf('{"type":"response.output_audio.delta","delta":"AAAA"}');
    expect(renameInUpstreamMessage(dialect, audio, down)).toBe(audio);
    expect(renameInUpstreamMessage("gemini_live", created, down)).toBe(created);
  });
});
