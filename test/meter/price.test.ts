import { expect, test } from "bun:test";

import { costMicros, costMicrosMax, reserveFor } from "../../src/meter/price.ts";
import prices from "../../src/meter/prices.json" with { type: "json" };

type Counts = Partial<Parameters<typeof costMicros>[2]>;

/** Unknown unless it is said. */
function usage(counts: Counts): Parameters<typeof costMicros>[2] {
  return {
    input_tokens: null,
    cached_input_tokens: null,
    cache_creation_input_tokens: null,
    output_tokens: null,
    audio_input_tokens: null,
    audio_output_tokens: null,
    audio_seconds: null,
    web_search_requests: null,
    ...counts,
  };
}

const MILLION = 1_000_000;

interface Case {
  readonly what: string;
  readonly model: string | null;
  readonly tier?: string;
  readonly counts: Counts;
  readonly expected: number;
}

test.each<Case>([
  {
    what: "input and output",
    model: "gpt-5",
    counts: { input_tokens: MILLION / 10, output_tokens: MILLION },
    expected: 10_125_000,
  },
  {
    what: "cached input, as part of the input",
    model: "gpt-5",
    counts: { input_tokens: 1000, cached_input_tokens: 600 },
    expected: 400 * 1.25 + 75,
  },
  {
    what: "writes to the cache a quarter more",
    model: "claude-sonnet-5",
    counts: { input_tokens: 1000, cache_creation_input_tokens: 1000 },
    expected: 2_500,
  },
  {
    what: "audio by its own price",
    model: "gpt-realtime",
    counts: {
      input_tokens: 100,
      audio_input_tokens: 60,
      output_tokens: 50,
      audio_output_tokens: 40,
    },
    expected: 40 * 4 + 60 * 32 + 10 * 24 + 40 * 64,
  },
  {
    what: "cached tokens as text before they are audio",
    model: "gpt-realtime",
    counts: { input_tokens: 100, audio_input_tokens: 60, cached_input_tokens: 50 },
    expected: 50 * 32 + 20,
  },
  {
    what: "seconds of audio where there are no tokens",
    model: "whisper-1",
    counts: { audio_seconds: 60 },
    expected: 6_000,
  },
  { what: "web searches", model: "gpt-5", counts: { web_search_requests: 2 }, expected: 20_000 },
  {
    what: "a long prompt more",
    model: "gemini-2.5-pro",
    counts: { input_tokens: 200_001, output_tokens: 100 },
    expected: Math.ceil(200_001 * 2.5 + 100 * 15),
  },
  { what: "nothing for nothing known", model: "gpt-5", counts: {}, expected: 0 },
  { what: "a fraction as a whole", model: "gpt-5-nano", counts: { input_tokens: 1 }, expected: 1 },
  {
    what: "flex half",
    model: "gpt-5",
    tier: "flex",
    counts: { output_tokens: 100 },
    expected: 500,
  },
  {
    what: "priority double",
    model: "gpt-5",
    tier: "priority",
    counts: { output_tokens: 100 },
    expected: 2_000,
  },
  {
    what: "fast as priority",
    model: "gpt-5",
    tier: " Fast ",
    counts: { output_tokens: 100 },
    expected: 2_000,
  },
  {
    what: "priority as the table says",
    model: "gpt-5.5",
    tier: "priority",
    counts: { output_tokens: 100 },
    expected: 7_500,
  },
  {
    what: "fast as priority",
    model: "gpt-5.5",
    tier: "fast",
    counts: { output_tokens: 100 },
    expected: 7_500,
  },
  {
    what: "Anthropic's fast mode twice",
    model: "claude-opus-5-5",
    tier: "fast",
    counts: { input_tokens: 100, output_tokens: 100 },
    expected: 2 * (400 + 2_000),
  },
  {
    what: "Anthropic's fast mode of its first models six times",
    model: "claude-opus-4-6-20260205",
    tier: "fast",
    counts: { input_tokens: 100, output_tokens: 100 },
    expected: 6 * (500 + 2_500),
  },
  {
    what: "default as it is",
    model: "gpt-5",
    tier: "default",
    counts: { output_tokens: 100 },
    expected: 1_000,
  },
])("costMicros() prices $what", ({ model, tier, counts, expected }) => {
  expect(costMicros(model, tier ?? null, usage(counts))).toBe(Math.ceil(expected));
});

test.each([
  ["gpt-5-2025-08-07", "gpt-5"],
  ["gpt-5-mini-2025-08-07", "gpt-5-mini"],
  ["gpt-5.4-pro-2026-03-05", "gpt-5.4-pro"],
  ["claude-opus-4-5-20251101", "claude-opus-4-5"],
  ["claude-opus-4-20250514", "claude-opus-4"],
  ["claude-haiku-4-5@20251001", "claude-haiku-4-5"],
  ["models/gemini-2.5-flash-lite", "gemini-2.5-flash-lite"],
])("costMicros() takes %s for %s", (model, named) => {
  const counts = usage({ input_tokens: 1000, output_tokens: 1000 });
  expect(costMicros(model, null, counts)).toBe(costMicros(named, null, counts));
});

test.each([null, "", "gpt", "gpt-5.9", "gpt-50", "my-gpt-5", "llama-4"])(
  "costMicros() takes the dearest price for %p, which it does not know",
  (model) => {
    const all = Object.values(prices.models);
    const dearest = {
      input: Math.max(...all.map(({ input }) => input)),
      output: Math.max(...all.map(({ output }) => output)),
    };
    const counts = usage({ input_tokens: 1000, output_tokens: 1000 });
    expect(costMicros(model, null, counts)).toBe((dearest.input + dearest.output) * 1000);
  },
);

test("prices.json has prices that make sense", () => {
  for (const [model, price] of Object.entries<Record<string, unknown>>(prices.models)) {
    const { input, cached_input = 0, output } = price;
    expect([model, typeof input, typeof output]).toEqual([model, "number", "number"]);
    expect(Number(cached_input)).toBeLessThanOrEqual(Number(input));
  }
});

test("costMicrosMax() lets what was decided as priority be fast mode, and nothing else", () => {
  const counts = usage({ output_tokens: 100 });
  expect(costMicrosMax("claude-opus-4-6", "priority", counts)).toBe(15_000);
  expect(costMicrosMax("claude-opus-4-6", "auto", counts)).toBe(2_500);
  expect(costMicrosMax("claude-opus-4-6", null, counts)).toBe(2_500);
  expect(costMicrosMax("gpt-5.5", "priority", counts)).toBe(7_500);
});

test("reserveFor() sets aside what fast mode costs where it may be served", () => {
  expect(reserveFor("claude-opus-4-6", "priority", 0, 100, 0).costMicros).toBe(15_000);
});

test("reserveFor() takes a token for 4 bytes and all the output that is allowed", () => {
  expect(reserveFor("gpt-5", null, 4_001, 500, 1_000)).toEqual({
    tokens: 1_501,
    costMicros: Math.ceil(1_001 * 1.25 + 500 * 10),
  });
});

test("reserveFor() takes the default output where the request names no maximum", () => {
  expect(reserveFor("gpt-5", null, 400, null, 1_000).tokens).toBe(1_100);
  expect(reserveFor("gpt-5", null, 400, 0, 1_000).tokens).toBe(100);
});

test("reserveFor() takes no more for pictures and sound than for a long text", () => {
  const megabyte = 1024 * 1024;
  expect(reserveFor("gpt-5", null, megabyte / 4, 0, 0).tokens).toBe(65_536);
  expect(reserveFor("gpt-5", null, 20 * megabyte, 500, 0).tokens).toBe(65_536 + 500);
});

test("reserveFor() sets something aside for a request of no bytes and no price", () => {
  expect(reserveFor("omni-moderation", null, 0, 0, 0)).toEqual({ tokens: 1, costMicros: 1 });
});
