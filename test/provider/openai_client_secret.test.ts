import { describe, expect, test } from "bun:test";
import { givenSecret, realtimeSessionRequest } from "../../src/provider/openai_client_secret.ts";

const GA = "/v1/realtime/client_secrets";
const KEY = "ek_68af296e8e408191a1120ab6383263c2";
const OURS = "ek_sluice-a.b.c";

const bytes = (text: string) => new TextEncoder().encode(text);
const fixture = `${import.meta.dir}/../golden/provider/realtime_client_secret.json`;

describe("realtimeSessionRequest()", () => {
  const transcription = { model: "gpt-4o-transcribe" };
  test.each([
    [{}, GA, null, undefined],
    [{ session: { type: "realtime" } }, GA, null, undefined],
    [{ session: { type: "realtime", model: "gpt-realtime-2" } }, GA, "gpt-realtime-2", undefined],
    [
      { session: { model: "gpt-realtime-2", audio: { input: { transcription } } } },
      GA,
      "gpt-realtime-2",
      "gpt-4o-transcribe",
    ],
    [
      { session: { type: "transcription", audio: { input: { transcription } } } },
      GA,
      "gpt-4o-transcribe",
      "gpt-4o-transcribe",
    ],
    [{ session: { audio: { input: { transcription } } } }, GA, null, "gpt-4o-transcribe"],
    [
      { model: "gpt-realtime", input_audio_transcription: { model: "whisper-1" } },
      "/v1/realtime/sessions",
      "gpt-realtime",
      "whisper-1",
    ],
    [
      { input_audio_transcription: { model: "whisper-1" } },
      "/v1/realtime/transcription_sessions",
      "whisper-1",
      "whisper-1",
    ],
  ])("of %j on %s finds %p and %p", (body, path, model, transcriptionModel) => {
    const requested = realtimeSessionRequest(JSON.stringify(body), path);
    expect(requested).toMatchObject({ model, duplicate: null, stream: false });
    expect(requested?.transcriptionModel).toBe(transcriptionModel);
  });

  test("finds a service tier", () => {
    const text = '{"session":{"service_tier":"flex"}}';
    expect(realtimeSessionRequest(text, GA)?.serviceTier).toBe("flex");
  });

  test.each([
    ['{"session":{},"session":{}}', "session"],
    ['{"session":{"model":"a","m\\u006fdel":"b"}}', "model"],
    ['{"session":{"audio":{},"audio":{}}}', "audio"],
    ['{"session":{"audio":{"input":{},"input":{}}}}', "input"],
    ['{"session":{"audio":{"input":{"transcription":{},"transcription":{}}}}}', "transcription"],
    ['{"session":{"audio":{"input":{"transcription":{"model":"a","model":"b"}}}}}', "model"],
    ['{"input_audio_transcription":{"model":"a","model":"b"}}', "model"],
    ['{"model":"a","session":{"model":"b"}}', "model"],
    [
      '{"input_audio_transcription":{"model":"a"},"session":' +
        '{"audio":{"input":{"transcription":{"model":"b"}}}}}',
      "transcription.model",
    ],
  ])("tells of %s that %s is there twice", (text, duplicate) => {
    expect(realtimeSessionRequest(text, GA)?.duplicate).toBe(duplicate);
  });

  test.each(["", "[]", '{"session":', "null"])("reads %p as null", (text) => {
    expect(realtimeSessionRequest(text, GA)).toBeNull();
  });
});

describe("givenSecret()", () => {
  test("finds the key of a recorded answer, and changes nothing but it", async () => {
    const text = await Bun.file(fixture).text();
    const given = givenSecret(bytes(text));
    expect(given).toMatchObject({ key: KEY, expiresAtMs: 1_795_190_600_000 });
    const edited = new TextDecoder().decode(given?.replacedBy(OURS) ?? bytes(""));
    expect(edited).toBe(text.replace(KEY, OURS));
  });

  test.each([
    `{"id":"sess_1","client_secret":{"expires_at":5,"value":"${KEY}"},"é":"ü"}`,
    `{ "value" : "${KEY}", "expires_at":9,
       "session":{"client_secret":{"value":"${KEY}","expires_at":5}}}`,
    `{"client_secret":{"value":"${KEY}","expires_at":5},"session":{},"value":7}`,
    `{"client_secret":null,"v\\u0061lue":"${KEY}","expires_at":5}`,
  ])("knows every place of it: %s", (text) => {
    const given = givenSecret(bytes(text));
    expect(given?.expiresAtMs).toBe(5_000);
    const edited = new TextDecoder().decode(given?.replacedBy(OURS) ?? bytes(""));
    expect(edited).toBe(text.replaceAll(KEY, OURS));
  });

  test.each([
    "",
    "no JSON",
    "[]",
    "{}",
    `{"value":"${KEY}"}`,
    `{"value":"${KEY}","expires_at":"5"}`,
    `{"value":"${KEY}","expires_at":999999999999999}`,
    `{"value":"${KEY}","expires_at":5,"client_secret":{"value":"${KEY}"}}`,
    '{"value":"","expires_at":5}',
    '{"value":"two words","expires_at":5}',
    '{"value":7,"expires_at":5}',
    `{"value":"${KEY}","value":"ek_2","expires_at":5}`,
    `{"value":"${KEY}","expires_at":5,"client_secret":{"value":"ek_other","expires_at":5}}`,
    `{"value":"${KEY}","expires_at":5}{`,
    `{"session":{"client_secret":{},"client_secret":{}},"value":"${KEY}","expires_at":5}`,
  ])("finds none that can be relied on in %p", (text) => {
    expect(givenSecret(bytes(text))).toBeNull();
  });

  test("finds none in what is no UTF-8", () => {
    const text = bytes(`{"value":"${KEY}","expires_at":5}`);
    text[4] = 0xff;
    expect(givenSecret(text)).toBeNull();
  });

  test("hands nothing out where the key stands in a place that is not known", () => {
    for (const also of [KEY, KEY.replace("e", "\\u0065"), `https:\\/\\/x/${KEY}`]) {
      const text = `{"value":"${KEY}","expires_at":5,"also":"${also}","also":1}`;
      expect(givenSecret(bytes(text))?.replacedBy(OURS)).toBeNull();
    }
  });
});
