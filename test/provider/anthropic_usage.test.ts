import { describe, expect, test } from "bun:test";
import { anthropicUsage } from "../../src/provider/anthropic_usage.ts";

const PLAIN = { input_tokens: 5, output_tokens: 3 };

describe("anthropicUsage()", () => {
  test("adds what was read from and written to the cache to the input", () => {
    const cache = { cache_read_input_tokens: 10, cache_creation_input_tokens: 100 };
    expect(anthropicUsage({ ...PLAIN, ...cache }, true)).toMatchObject({
      inputTokens: 115,
      cachedInputTokens: 10,
      cacheCreationInputTokens: 100,
      details: {},
    });
  });

  test("takes the sum of the cache writes by lifetime where only these are named", () => {
    const cache_creation = { ephemeral_5m_input_tokens: 7, ephemeral_1h_input_tokens: 20 };
    expect(anthropicUsage({ ...PLAIN, cache_creation }, true)).toMatchObject({
      inputTokens: 32,
      cacheCreationInputTokens: 27,
      details: { cache_creation_5m_input_tokens: 7, cache_creation_1h_input_tokens: 20 },
    });
  });

  test("knows no output before it is final", () => {
    const usage = anthropicUsage(PLAIN, false);
    expect(usage).toMatchObject({ inputTokens: 5, outputTokens: null, reasoningTokens: null });
  });

  test("adds compactions, which the top level leaves out, and counts all extra runs", () => {
    const iterations = [
      { type: "compaction", input_tokens: 1000, output_tokens: 50 },
      { type: "message", ...PLAIN },
      { type: "advisor_message", input_tokens: 9, output_tokens: 9 },
    ];
    expect(anthropicUsage({ ...PLAIN, iterations }, true)).toMatchObject({
      inputTokens: 1005,
      outputTokens: 53,
      details: { extra_iterations: 2 },
    });
  });

  test.each([
    [{ output_tokens: 3 }],
    [{ input_tokens: 5 }],
    [{ ...PLAIN, cache_read_input_tokens: -1 }],
    [{ ...PLAIN, cache_creation: 7 }],
    [{ ...PLAIN, server_tool_use: { web_search_requests: "3" } }],
    [{ ...PLAIN, iterations: [null] }],
  ])("throws of %j", (raw) => {
    expect(() => anthropicUsage(raw, true)).toThrow(TypeError);
  });
});
