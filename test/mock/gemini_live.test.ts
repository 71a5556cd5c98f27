import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { liveReader } from "../../src/provider/gemini_live.ts";
import { type Client, type Json, type Stage, stage } from "./harness.ts";

let it: Stage;

beforeAll(async () => {
  it = await stage();
});

afterAll(() => it.mock.stop());

const PATH = "//ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k";
const SETUP = { model: "models/gemini-3.1-flash-live-preview" };
const DONE = { serverContent: { turnComplete: true } };

const says = (text: string) => ({
  clientContent: { turns: [{ role: "user", parts: [{ text }] }], turnComplete: true },
});

/** The next message, which must be a binary frame. */
async function next(client: Client): Promise<Json> {
  const raw = await client.nextRaw();
  expect(raw).toBeInstanceOf(ArrayBuffer);
  return JSON.parse(new TextDecoder().decode(raw as ArrayBuffer));
}

async function open(setup: object = {}, script = ""): Promise<Client> {
  const client = await it.connect(PATH, script);
  client.send({ setup: { ...SETUP, ...setup } });
  expect(await next(client)).toEqual({ setupComplete: {} });
  return client;
}

/** Messages up to and with the end of a turn. */
async function turn(client: Client): Promise<Json[]> {
  const messages: Json[] = [];
  while (messages.at(-1)?.serverContent?.turnComplete !== true) messages.push(await next(client));
  return messages;
}

describe("LiveDialogue", () => {
  test("answers text with turns whose usage our reader understands", async () => {
    const client = await open({}, "tokens=3");
    const reader = liveReader();
    client.send(says("Say hi!!"));
    const first = await turn(client);
    const signals = first.map((message) => reader.upstreamSignal(JSON.stringify(message)));
    expect(signals.at(-1)).toMatchObject({
      signal: "ended",
      status: "completed",
      usage: { usage: { inputTokens: 2, outputTokens: 3, audioOutputTokens: 0 } },
    });
    client.send(says("Four"));
    const { usageMetadata } = (await turn(client)).at(-1);
    // The turn before it is in the prompt, and not in its usage.
    expect(usageMetadata).toMatchObject({ promptTokenCount: 6, responseTokenCount: 3 });
    client.close();
  });

  test("answers speech with speech once the speech is over", async () => {
    const generationConfig = { responseModalities: ["AUDIO"], maxOutputTokens: 2 };
    const client = await open({ generationConfig });
    const data = new Uint8Array(2_560).toBase64();
    client.send({ realtimeInput: { audio: { data, mimeType: "audio/pcm;rate=16000" } } });
    client.send({ realtimeInput: { audioStreamEnd: true } });
    const messages = await turn(client);
    const [part] = messages[0].serverContent.modelTurn.parts;
    expect(part.inlineData.mimeType).toBe("audio/pcm;rate=24000");
    expect(messages.at(-1).usageMetadata).toMatchObject({
      promptTokensDetails: [{ modality: "AUDIO", tokenCount: 2 }],
      responseTokensDetails: [{ modality: "AUDIO", tokenCount: 2 }],
    });
    client.close();
  });

  test("calls the first function, and goes on with its response", async () => {
    const client = await open({ tools: [{ functionDeclarations: [{ name: "look" }] }] });
    client.send(says("Look"));
    const { toolCall } = await next(client);
    expect(toolCall.functionCalls).toEqual([{ id: "function-call-1", name: "look", args: {} }]);
    client.send({ toolResponse: { functionResponses: [] } });
    expect((await turn(client)).at(-1)).toMatchObject(DONE);
    client.close();
  });

  test("is interrupted by whoever speaks", async () => {
    const client = await open({}, "delay=each:10ms,tokens=5");
    client.send(says("One"));
    client.send(says("Two"));
    const messages: Json[] = [];
    let isOver = false;
    const read = (async () => {
      messages.push(...(await turn(client)), ...(await turn(client)));
      isOver = true;
    })();
    while (!isOver) {
      if (it.clock.pendingTimers > 0) it.clock.advance(10);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await read;
    const interruptions = messages.filter((one) => one.serverContent?.interrupted === true);
    expect(interruptions).toHaveLength(1);
    client.close();
  });

  test.each([
    ["no JSON", 1007],
    [says("Hi"), 1007],
    [{ setup: { model: "gemini" } }, 1008],
  ])("closes where %j comes instead of a setup", async (message, code) => {
    const client = await it.connect(PATH);
    client.send(message);
    expect((await client.closed).code).toBe(code);
  });

  test("closes on an unknown message, and with the script's error", async () => {
    const unknown = await open();
    unknown.send({ what: 1 });
    expect((await unknown.closed).code).toBe(1007);
    const spent = await open({}, "error=resource_exhausted");
    spent.send({ realtimeInput: { text: "Hi" } });
    expect(await spent.closed).toEqual({ code: 1011, reason: "RESOURCE_EXHAUSTED" });
  });
});
