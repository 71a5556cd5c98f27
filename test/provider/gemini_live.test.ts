import { describe, expect, test } from "bun:test";
import { liveReader } from "../../src/provider/gemini_live.ts";

const USAGE = { promptTokenCount: 4, responseTokenCount: 2 };
const SPEAKS = { serverContent: { modelTurn: { parts: [] } } };
const DONE = { serverContent: { turnComplete: true } };

/** What the upstream's messages mean, read in order by one reader. */
function readAll(...messages: readonly object[]) {
  const reader = liveReader();
  return messages.map((message) => reader.upstreamSignal(JSON.stringify(message)));
}

describe("liveReader() of client messages", () => {
  test("takes the setup as the model of the session and of its turns", () => {
    const reader = liveReader();
    const setup = { model: "models/m", generationConfig: { maxOutputTokens: 7 } };
    const signal = reader.clientSignal(JSON.stringify({ setup }));
    expect(signal).toEqual({ signal: "session", model: "m" });
    const content = reader.clientSignal('{"clientContent":{"turnComplete":true}}');
    expect(content).toMatchObject({ signal: "requested", outputTokensMax: 7 });
    const started = reader.upstreamSignal(JSON.stringify(SPEAKS));
    expect(started).toMatchObject({ signal: "started", model: "m", requestedModel: "m" });
  });

  test.each([
    ['{"clientContent":{"turnComplete":true}}', "requested"],
    ['{"client_content":{"turn_complete":true}}', "requested"],
    ['{"clientContent":{"turns":[]}}', undefined],
    ['{"realtimeInput":{"audio":{"data":"AA=="}}}', undefined],
    ['{"toolResponse":{}}', undefined],
  ])("takes %s as %p", (text, signal) => {
    const got = liveReader().clientSignal(new TextEncoder().encode(text));
    expect(got?.signal).toBe(signal as "requested");
  });

  test.each([
    ['{"setup":{"model":"a"},"setup":{"model":"b"}}', 'The JSON names "setup" twice'],
    ['{"setup":{"model":"a","x":1,"mod\\u0065l":"b"}}', 'The JSON names "model" twice'],
    ["setup", "not one JSON object"],
  ])("refuses %s", (text, words) => {
    expect(() => liveReader().clientSignal(text)).toThrow(words);
  });
});

describe("liveReader() of upstream messages", () => {
  test("names the turns itself, one after the other", () => {
    const done = { ...DONE, usageMetadata: USAGE };
    expect(readAll(SPEAKS, SPEAKS, done, SPEAKS, DONE)).toMatchObject([
      { signal: "started", key: "turn_1", isOutput: true },
      { signal: "output" },
      { signal: "ended", key: "turn_1", usage: { usage: { inputTokens: 4 } } },
      { signal: "started", key: "turn_2" },
      { signal: "ended", key: "turn_2", usage: { reading: "absent" } },
    ]);
  });

  test("takes usage from before the end of its turn", () => {
    const signals = readAll(SPEAKS, { usageMetadata: { ...USAGE, serviceTier: "flex" } }, DONE);
    expect(signals[1]).toBeNull();
    expect(signals[2]).toMatchObject({ status: "completed", usage: { usage: { inputTokens: 4 } } });
  });

  test("takes a call of tools with usage as the end of a turn, without as a part of one", () => {
    const call = { toolCall: { functionCalls: [] } };
    expect(readAll({ ...call, usageMetadata: USAGE }, call, SPEAKS)).toMatchObject([
      { signal: "ended", key: "turn_1", terminal: "toolCall" },
      { signal: "started", key: "turn_2" },
      { signal: "output" },
    ]);
  });

  test("takes an interrupted turn as cancelled, and the one after it not", () => {
    const interrupted = { serverContent: { interrupted: true } };
    const signals = readAll(SPEAKS, interrupted, DONE, SPEAKS, DONE);
    expect(signals[2]).toMatchObject({ status: "cancelled" });
    expect(signals[4]).toMatchObject({ status: "completed" });
  });

  test("takes usage outside of any turn as one of its own", () => {
    expect(readAll({ usageMetadata: USAGE })).toMatchObject([{ signal: "ended", key: "turn_1" }]);
  });

  test.each([
    [{ setupComplete: {} }],
    [{ goAway: { timeLeft: "50s" } }],
    [{ sessionResumptionUpdate: { newHandle: "h" } }],
    [{ serverContent: { inputTranscription: { text: "t" } } }],
    [DONE],
    [[]],
  ])("passes by %j where nothing runs", (message) => {
    expect(readAll(message)).toEqual([null]);
  });
});
