import { describe, expect, test } from "bun:test";
import { readUsage } from "../../src/provider/openai_usage.ts";

function read(usage: unknown, output: "required" | "none" = "required"): unknown {
  const reading = readUsage(JSON.stringify(usage), output);
  return reading.reading === "usage" ? reading.usage : reading.reading;
}

describe("readUsage()", () => {
  test("reads the shape of Responses", () => {
    const input_tokens_details = { cached_tokens: 3, cache_write_tokens: 2 };
    const output_tokens_details = { reasoning_tokens: 4 };
    const usage = {
      input_tokens: 9,
      input_tokens_details,
      output_tokens: 5,
      output_tokens_details,
    };
    expect(read(usage)).toMatchObject({
      inputTokens: 9,
      cachedInputTokens: 3,
      cacheCreationInputTokens: 2,
      outputTokens: 5,
      reasoningTokens: 4,
      audioInputTokens: 0,
      audioSeconds: null,
      details: {},
    });
  });

  test("reads the shape of Realtime, with what is cached of each modality", () => {
    const cached_tokens_details = { audio_tokens: 1, image_tokens: 0 };
    const input_token_details = { audio_tokens: 6, image_tokens: 2, cached_tokens_details };
    const output_token_details = { audio_tokens: 5 };
    const usage = { input_tokens: 9, input_token_details, output_tokens: 7, output_token_details };
    expect(read(usage)).toMatchObject({
      audioInputTokens: 6,
      audioOutputTokens: 5,
      details: {
        image_input_tokens: 2,
        cached_audio_input_tokens: 1,
        cached_image_input_tokens: 0,
      },
    });
  });

  test("reads the shape of chat", () => {
    const usage = { prompt_tokens: 9, completion_tokens: 7, prompt_tokens_details: null };
    expect(read(usage)).toMatchObject({ inputTokens: 9, outputTokens: 7, cachedInputTokens: 0 });
  });

  test("reads usage by duration", () => {
    const usage = { type: "duration", seconds: 13.5 };
    expect(read(usage)).toMatchObject({ audioSeconds: 13.5, inputTokens: 0, outputTokens: 0 });
  });

  test("wants output tokens, except where an endpoint has none", () => {
    expect(read({ prompt_tokens: 1 })).toBe("malformed");
    expect(read({ prompt_tokens: 1 }, "none")).toMatchObject({ outputTokens: 0 });
  });

  test.each([
    [null, "absent"],
    [{}, "malformed"],
    [[], "malformed"],
    [0, "malformed"],
    [{ input_tokens: 2 ** 53, output_tokens: 1 }, "malformed"],
    [{ type: "duration" }, "malformed"],
    [{ type: "duration", seconds: -1 }, "malformed"],
  ])("(trap 11) takes %j as %s", (usage, reading) => {
    expect(read(usage)).toBe(reading);
  });
});
