import { describe, expect, test } from "bun:test";
import { geminiRequest, outputLimitIn } from "../../src/provider/gemini_request.ts";
import { WireObject } from "../../src/provider/wire_text.ts";

const PATH = "/v1beta/models/gemini-3-flash:generateContent";

describe("geminiRequest()", () => {
  test.each([
    [PATH, "gemini-3-flash", false],
    ["/v1/models/m:streamGenerateContent", "m", true],
    ["/v1beta/models/a%2Db:countTokens", "a-b", false],
    ["/v1beta/tunedModels/t:generateContent", "tunedModels/t", false],
  ])("reads the path %s as model %s, streaming %p", (path, model, stream) => {
    expect(geminiRequest("{}", path)).toMatchObject({ model, stream, serviceTier: null });
  });

  test.each([
    ['{"serviceTier":"flex"}', "flex", null],
    ['{"service_tier":"flex"}', "flex", null],
    ['{"serviceTier":null,"service_tier":"flex"}', "flex", null],
    ['{"serviceTier":"flex","service_tier":"priority"}', "flex", "serviceTier"],
    ['{"service_tier":"flex","service_tier":"priority"}', "priority", "service_tier"],
  ])("reads the tier of %s as %p, duplicate %p", (body, serviceTier, duplicate) => {
    expect(geminiRequest(body, PATH)).toMatchObject({ serviceTier, duplicate });
  });

  test("reads nothing from what is no JSON object", () => {
    expect(geminiRequest("null", PATH)).toBeNull();
  });
});

describe("outputLimitIn()", () => {
  test.each([
    ['{"generationConfig":{"maxOutputTokens":7}}', 7],
    ['{"generation_config":{"max_output_tokens":7}}', 7],
    ['{"generationConfig":{"maxOutputTokens":7,"max_output_tokens":8}}', null],
    ['{"generationConfig":{"maxOutputTokens":7,"maxOutputTokens":8}}', null],
    ['{"generationConfig":{"maxOutputTokens":7},"generation_config":{}}', null],
    ['{"generationConfig":{"maxOutputTokens":7},"generationConfig":{"maxOutputTokens":8}}', null],
    ['{"generationConfig":{}}', null],
    ["{}", null],
  ])("reads %s as %p", (body, limit) => {
    const setup = WireObject.read(body, ["generationConfig", "generation_config"]);
    expect(setup && outputLimitIn(setup)).toBe(limit);
    expect(geminiRequest(body, PATH)?.outputTokensMax).toBe(limit);
  });
});
