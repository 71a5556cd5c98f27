import { describe, expect, test } from "bun:test";
import { generateBody, generateReader } from "../../src/provider/gemini_generate.ts";

const candidates = (finishReason?: string) => [{ content: { parts: [] }, finishReason }];

describe("generateReader()", () => {
  test("reads what an object says so far", () => {
    const usageMetadata = { promptTokenCount: 4, serviceTier: "flex" };
    const object = { candidates: candidates(), usageMetadata, modelVersion: "m", responseId: "r" };
    expect(generateReader().upstreamSignal(JSON.stringify(object))).toMatchObject({
      signal: "progress",
      key: "r",
      model: "m",
      serviceTier: "flex",
      usage: { usage: { inputTokens: 4 } },
      output: true,
    });
  });

  test.each([
    [[{ candidates: candidates() }], undefined],
    [[{ candidates: candidates("STOP") }], "completed"],
    [[{ candidates: candidates("STOP") }, { usageMetadata: {} }], "completed"],
    [[{ candidates: candidates("MAX_TOKENS") }], "incomplete"],
    [[{ promptFeedback: { blockReason: "SAFETY" } }], "completed"],
    [[], undefined],
  ])("takes a stream of %j as %p when it is over", (objects, status) => {
    const reader = generateReader();
    for (const object of objects) reader.upstreamSignal(JSON.stringify(object));
    expect(reader.streamEnded?.()?.status).toBe(status as "completed");
  });

  test("takes an error in the stream as what broke off the answer", () => {
    const error = { code: 429, status: "RESOURCE_EXHAUSTED", message: "m" };
    expect(generateReader().upstreamSignal(JSON.stringify({ error }))).toMatchObject({
      signal: "refused",
      about: "response",
      errorCode: "RESOURCE_EXHAUSTED",
      httpStatus: 429,
    });
  });

  test("passes by what is no JSON object", () => {
    expect(generateReader().upstreamSignal("[]")).toBeNull();
  });
});

describe("generateBody", () => {
  test("reads a whole answer", () => {
    const answer = { candidates: candidates("MAX_TOKENS"), usageMetadata: { promptTokenCount: 4 } };
    expect(generateBody.read(JSON.stringify(answer))).toMatchObject({
      status: "incomplete",
      usage: { usage: { inputTokens: 4 } },
    });
  });

  test("knows no usage of an answer that says nothing of it", () => {
    const body = generateBody.read('{"embedding":{"values":[1]}}');
    expect(body).toMatchObject({ status: "completed", usage: { reading: "absent" } });
  });
});
