import { expect, test } from "bun:test";

import { rateHeaders } from "../../src/policy/rate_headers.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12, 0, 0, 500);
const RATES = {
  requests: { limit: 60, remaining: 59, resetMs: 59_500 },
  tokens: { limit: 10_000, remaining: 0, resetMs: 17 },
};

test.each(["openai", "gemini", "forward"] as const)("rateHeaders() for %s are OpenAI's", (type) => {
  expect(rateHeaders(type, RATES, new Headers(), NOW_MS)).toEqual([
    ["x-ratelimit-limit-requests", "60"],
    ["x-ratelimit-remaining-requests", "59"],
    ["x-ratelimit-reset-requests", "1m0s"],
    ["x-ratelimit-limit-tokens", "10000"],
    ["x-ratelimit-remaining-tokens", "0"],
    ["x-ratelimit-reset-tokens", "17ms"],
  ]);
});

test("rateHeaders() for anthropic are its own", () => {
  expect(rateHeaders("anthropic", RATES, new Headers(), NOW_MS)).toEqual([
    ["anthropic-ratelimit-requests-limit", "60"],
    ["anthropic-ratelimit-requests-remaining", "59"],
    ["anthropic-ratelimit-requests-reset", "2026-11-21T12:01:00Z"],
    ["anthropic-ratelimit-tokens-limit", "10000"],
    ["anthropic-ratelimit-tokens-remaining", "0"],
    ["anthropic-ratelimit-tokens-reset", "2026-11-21T12:00:01Z"],
  ]);
});

test.each([
  [17, "17ms"],
  [0.4, "1ms"],
  [999.5, "1s"],
  [1_000, "1s"],
  [1_001, "2s"],
  [59_999, "1m0s"],
  [360_000, "6m0s"],
])("rateHeaders() writes %d ms as %s", (resetMs, expected) => {
  const rates = { requests: { limit: 1, remaining: 1, resetMs }, tokens: null };
  expect(rateHeaders("openai", rates, new Headers(), NOW_MS)[2]?.[1]).toBe(expected);
});

test("rateHeaders() has only what is limited", () => {
  const names = rateHeaders("openai", { ...RATES, requests: null }, new Headers(), NOW_MS);
  expect(names.map(([name]) => name)).toEqual([
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
  ]);
  expect(rateHeaders("openai", { requests: null, tokens: null }, new Headers(), NOW_MS)).toEqual(
    [],
  );
});

test("rateHeaders() leaves the upstream's own alone", () => {
  const openai = new Headers({ "X-RateLimit-Remaining-Project-Tokens": "1" });
  const anthropic = new Headers({ "anthropic-ratelimit-input-tokens-limit": "1" });
  expect(rateHeaders("openai", RATES, openai, NOW_MS)).toEqual([]);
  expect(rateHeaders("anthropic", RATES, anthropic, NOW_MS)).toEqual([]);
  expect(rateHeaders("openai", RATES, anthropic, NOW_MS)).toHaveLength(6);
});
