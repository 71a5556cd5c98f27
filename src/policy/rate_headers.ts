/**
 * Response headers that tell a client how much of its limits per minute is left, under the names
 * that the provider's SDKs know.
 *
 * Owns: names and formats. Does not own: the numbers (`limiter.ts`).
 * Invariant: headers of the upstream are never mixed with ours.
 */

import type { ProviderType } from "../exchange.ts";
import type { Rate, Rates } from "./limiter.ts";

type Header = readonly [name: string, value: string];

/**
 * @param upstream headers of the answer; where it has any of the family, ours are left out
 * @returns headers to add, none where nothing is limited
 */
export function rateHeaders(
  type: ProviderType,
  rates: Rates,
  upstream: Headers,
  nowMs: number,
): readonly Header[] {
  const isAnthropic = type === "anthropic";
  const family = isAnthropic ? "anthropic-ratelimit-" : "x-ratelimit-";
  for (const name of upstream.keys()) {
    if (name.startsWith(family)) return [];
  }
  return (["requests", "tokens"] as const).flatMap((kind) => {
    const rate = rates[kind];
    if (rate === null) return [];
    return isAnthropic ? anthropicHeaders(kind, rate, nowMs) : openaiHeaders(kind, rate);
  });
}

function openaiHeaders(kind: string, { limit, remaining, resetMs }: Rate): Header[] {
  return [
    [`x-ratelimit-limit-${kind}`, String(limit)],
    [`x-ratelimit-remaining-${kind}`, String(remaining)],
    [`x-ratelimit-reset-${kind}`, durationText(resetMs)],
  ];
}

function anthropicHeaders(
  kind: string,
  { limit, remaining, resetMs }: Rate,
  nowMs: number,
): Header[] {
  // In whole seconds, as Anthropic writes them, and never too early.
  const resetAt = new Date(Math.ceil((nowMs + resetMs) / 1000) * 1000);
  return [
    [`anthropic-ratelimit-${kind}-limit`, String(limit)],
    [`anthropic-ratelimit-${kind}-remaining`, String(remaining)],
    [`anthropic-ratelimit-${kind}-reset`, resetAt.toISOString().replace(".000Z", "Z")],
  ];
}

/** As OpenAI writes durations: `17ms`, `1s`, `6m0s`. */
function durationText(durationMs: number): string {
  const wholeMs = Math.ceil(durationMs);
  if (wholeMs < 1000) return `${wholeMs}ms`;
  const seconds = Math.ceil(wholeMs / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
