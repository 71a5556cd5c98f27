import { describe, expect, test } from "bun:test";
import { chatBody, chatReader } from "../../src/provider/openai_chat.ts";

const USAGE = { prompt_tokens: 1, completion_tokens: 2 };
const read = (chunk: object) => chatReader.upstreamSignal(JSON.stringify(chunk));

describe("chatReader", () => {
  test("takes the chunk with usage and no choices as the end", () => {
    const text = JSON.stringify({ usage: USAGE, choices: [] }).replace("[]", "[ ]");
    expect(chatReader.upstreamSignal(text)).toMatchObject({ signal: "ended", terminal: "usage" });
  });

  test.each([
    [{ choices: [{}], usage: null }, "absent", true],
    [{ choices: [{}], usage: USAGE }, "usage", true],
    [{ choices: [], usage: null }, "absent", false],
    [{ choices: [] }, "absent", false],
  ])("takes %j as progress", (chunk, reading, output) => {
    expect(read(chunk)).toMatchObject({ signal: "progress", usage: { reading }, output });
  });

  test("takes [DONE] as the end and an error as a refusal", () => {
    expect(chatReader.upstreamSignal("[DONE]")?.signal).toBe("ended");
    expect(read({ error: { code: "c" } })).toMatchObject({ signal: "refused", errorCode: "c" });
  });

  test("passes by what is no JSON object", () => {
    expect(chatReader.upstreamSignal("[1]")).toBeNull();
    expect(chatReader.upstreamSignal(Uint8Array.of(0xff))).toBeNull();
  });
});

describe("chatBody", () => {
  test("reads model, tier and usage", () => {
    const body = { id: "c", model: "m", service_tier: "flex", usage: USAGE };
    const wanted = { key: "c", model: "m", serviceTier: "flex", usage: { reading: "usage" } };
    expect(chatBody.read(JSON.stringify(body))).toMatchObject(wanted);
  });
});
