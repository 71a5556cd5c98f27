import { afterAll, beforeAll, expect, test } from "bun:test";

import { type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const json = async (path: string, body: object) => (await it.post(path, body)).json();

/** The session that a key opens. */
async function opened(key: string, query = ""): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${key}` };
  const client = await it.connect(`/v1/realtime${query}`, "", headers);
  const { session } = await client.next();
  client.close();
  return session;
}

test("ClientSecrets.create() makes a key for the seconds asked for", async () => {
  const expires_after = { anchor: "created_at", seconds: 60 };
  const session = { type: "realtime", model: "gpt-realtime-2" };
  const body = await json("/v1/realtime/client_secrets", { expires_after, session });
  expect(body.value).toMatch(/^ek_[0-9a-f]{32}$/);
  expect(body.expires_at).toBe(Math.floor(it.clock.nowMs() / 1000) + 60);
  expect(body.session).toMatchObject(session);
  expect(await opened(body.value)).toMatchObject(session);
  await it.clock.advance(61_000);
  expect(opened(body.value)).rejects.toThrow("401");
});

test("ClientSecrets.session() is the one that was asked for, save the URL's model", async () => {
  const session = { type: "realtime", model: "a", instructions: "Be brief." };
  const { value } = await json("/v1/realtime/client_secrets", { session });
  expect(await opened(value)).toMatchObject(session);
  expect(await opened(value, "?model=b")).toMatchObject({ ...session, model: "b" });
});

test("ClientSecrets.createInBeta() gives the key in client_secret", async () => {
  const input_audio_transcription = { model: "whisper-1" };
  const asked = { model: "gpt-realtime", input_audio_transcription };
  const made = await json("/v1/realtime/sessions", asked);
  const audio = { input: { transcription: { model: "whisper-1" } } };
  expect(made).toMatchObject({ model: "gpt-realtime", audio });
  expect(await opened(made.client_secret.value)).toMatchObject({ model: "gpt-realtime", audio });
  const other = await json("/v1/realtime/transcription_sessions", { input_audio_transcription });
  const session = await opened(other.client_secret.value);
  expect(session).toMatchObject({ type: "transcription", audio });
});

test("ClientSecrets.opens() nothing but Realtime, with nothing but its own keys", async () => {
  const { value } = await json("/v1/realtime/client_secrets", { session: {} });
  const list = await fetch(`${it.mock.url}/v1/models`, {
    headers: { authorization: `Bearer ${value}` },
  });
  expect(list.status).toBe(401);
  expect(opened("ek_made_up", "?model=m")).rejects.toThrow("401");
});
