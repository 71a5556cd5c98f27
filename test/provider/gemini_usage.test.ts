import { describe, expect, test } from "bun:test";
import { readGeminiUsage } from "../../src/provider/gemini_usage.ts";

const read = (raw: object) => readGeminiUsage(JSON.stringify(raw));

describe("readGeminiUsage()", () => {
  test("adds thoughts to the output, and what tools put into the prompt to the input", () => {
    const counts = {
      promptTokenCount: 10,
      toolUsePromptTokenCount: 5,
      candidatesTokenCount: 3,
      thoughtsTokenCount: 4,
    };
    expect(read(counts)).toMatchObject({
      usage: { inputTokens: 15, outputTokens: 7, reasoningTokens: 4, cachedInputTokens: 0 },
    });
  });

  test("reads what the Live API calls a response", () => {
    const responseTokensDetails = [{ modality: "AUDIO", tokenCount: 6 }];
    expect(
      read({ promptTokenCount: 1, responseTokenCount: 8, responseTokensDetails }),
    ).toMatchObject({ usage: { outputTokens: 8, audioOutputTokens: 6 } });
  });

  test("reads audio and images, of the cache too", () => {
    const [image, audio] = ["IMAGE", "AUDIO"].map((modality) => ({ modality, tokenCount: 2 }));
    const details = { promptTokensDetails: [image, audio], cacheTokensDetails: [audio, image] };
    const more = { toolUsePromptTokensDetails: [audio] };
    expect(read({ promptTokenCount: 9, ...details, ...more })).toMatchObject({
      usage: {
        audioInputTokens: 4,
        details: {
          image_input_tokens: 2,
          cached_audio_input_tokens: 2,
          cached_image_input_tokens: 2,
        },
      },
    });
  });

  test.each([
    [{ candidatesTokenCount: 1 }],
    [{ promptTokenCount: 1.5 }],
    [{ promptTokenCount: 1, thoughtsTokenCount: "2" }],
    [{ promptTokenCount: 1, promptTokensDetails: [7] }],
  ])("takes %j as malformed", (raw) => {
    expect(read(raw)).toEqual({ reading: "malformed" });
  });

  test("takes no object as absent", () => {
    expect(readGeminiUsage(null)).toEqual({ reading: "absent" });
  });
});
