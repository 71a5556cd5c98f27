/**
 * Anthropic's usage objects, read all or nothing.
 *
 * Owns: what their counts mean: `input_tokens` excludes what was read from the cache and written to
 * it, and the top level excludes compactions (`iterations`).
 * Does not own: how the objects of a stream add up (`anthropic_messages.ts`).
 * Invariant: a subset that the object does not name is 0, because Anthropic leaves out what did not
 * occur.
 */

import type { Usage, UsageDetails } from "../exchange.ts";
import { count, type Json, record, recordIn, required } from "./usage_reading.ts";
import { storable } from "./wire_text.ts";

/**
 * @param isOutputKnown whether `output_tokens` is final; the one at the start of a stream is not
 * @throws TypeError the object is not what it should be
 */
export function anthropicUsage(raw: Json, isOutputKnown: boolean): Usage {
  const counted = [raw, ...compactionsOf(raw)].map((each) => countsOf(each, isOutputKnown));
  const sum = (of: (counts: Counts) => number) =>
    counted.reduce((total, counts) => total + of(counts), 0);
  const tools = recordIn(raw, "server_tool_use");
  const thinking = count(recordIn(raw, "output_tokens_details"), "thinking_tokens") ?? 0;
  return {
    inputTokens: sum(({ uncached, read, written }) => uncached + read + written),
    cachedInputTokens: sum(({ read }) => read),
    cacheCreationInputTokens: sum(({ written }) => written),
    outputTokens: isOutputKnown ? sum((counts) => counts.output) : null,
    reasoningTokens: isOutputKnown ? thinking : null,
    audioInputTokens: 0,
    audioOutputTokens: 0,
    audioSeconds: null,
    webSearchRequests: count(tools, "web_search_requests") ?? 0,
    details: detailsOf(raw, counted),
  };
}

interface Counts {
  readonly uncached: number;
  readonly read: number;
  readonly written: number;
  readonly output: number;
  /** Null: not said. */
  readonly written5m: number | null;
  readonly written1h: number | null;
}

function countsOf(raw: Json, isOutputKnown: boolean): Counts {
  const created = recordIn(raw, "cache_creation");
  const written5m = count(created, "ephemeral_5m_input_tokens");
  const written1h = count(created, "ephemeral_1h_input_tokens");
  const split = (written5m ?? 0) + (written1h ?? 0);
  return {
    uncached: required(raw, "input_tokens"),
    read: count(raw, "cache_read_input_tokens") ?? 0,
    written: count(raw, "cache_creation_input_tokens") ?? split,
    output: isOutputKnown ? required(raw, "output_tokens") : 0,
    written5m,
    written1h,
  };
}

/** Runs of the model that were billed beside the counts at the top level. */
function compactionsOf(raw: Json): readonly Json[] {
  return iterationsOf(raw).filter((each) => each["type"] === "compaction");
}

function iterationsOf(raw: Json): readonly Json[] {
  const iterations = raw["iterations"];
  return Array.isArray(iterations) ? iterations.map(record) : [];
}

function detailsOf(raw: Json, counted: readonly Counts[]): UsageDetails {
  const details: UsageDetails = {};
  const speed = raw["speed"];
  const extra = iterationsOf(raw).filter((each) => each["type"] !== "message").length;
  const written5m = sumKnown(counted.map((counts) => counts.written5m));
  const written1h = sumKnown(counted.map((counts) => counts.written1h));
  if (typeof speed === "string") details.speed = storable(speed);
  if (written5m !== null) details.cache_creation_5m_input_tokens = written5m;
  if (written1h !== null) details.cache_creation_1h_input_tokens = written1h;
  if (extra > 0) details.extra_iterations = extra;
  return details;
}

/** Null: none of them is known. */
function sumKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}
