/**
 * What usage costs, for budgets.
 *
 * Owns: finding a model's price, and whole micro-dollars from tokens. `prices.json` beside it has
 * the providers' list prices in dollars per million tokens; `long` is the input size from which a
 * prompt is dearer, with the factors for input and output; fast mode is twice the price, six times
 * on Claude Opus 4.6 and 4.7 (platform.claude.com/docs/en/build-with-claude/fast-mode).
 * Does not own: what is done with a cost (`policy/`), and no invoice: prices per call, of images by
 * size or of cache storage are not in it.
 * Invariant: a cost is never less than the table says, and a model that is not in the table costs
 * as much as the dearest one, so that an unknown name is no way past a budget.
 */

import type { UsageEvent } from "../exchange.ts";
import { Lru } from "../lib/lru.ts";
import { bareModel } from "../provider/model_field.ts";
import prices from "./prices.json" with { type: "json" };

/** Dollars per million tokens, which is micro-dollars per token. */
interface Price {
  readonly input: number;
  /** Absent: no discount. */
  readonly cached_input?: number;
  readonly output: number;
  /** Absent: as text. */
  readonly audio_input?: number;
  readonly audio_output?: number;
  /** Factor of the priority tier where it is not the usual one. */
  readonly priority?: number;
  /** Factor of Anthropic's fast mode, where it is not that of priority. */
  readonly fast?: number;
  readonly long?: readonly number[];
}

type PricedUsage = Pick<
  UsageEvent,
  | "input_tokens"
  | "cached_input_tokens"
  | "cache_creation_input_tokens"
  | "output_tokens"
  | "audio_input_tokens"
  | "audio_output_tokens"
  | "audio_seconds"
  | "web_search_requests"
>;

const PRICES: Readonly<Record<string, Price>> = prices.models;

/** Longest first, so that the first that fits is the closest one. */
const PREFIXES = Object.keys(PRICES).sort((left, right) => right.length - left.length);

const UNKNOWN: Price = {
  input: Math.max(...Object.values(PRICES).map(({ input }) => input)),
  output: Math.max(...Object.values(PRICES).map(({ output }) => output)),
};

/** Prices by the names that were asked for last: the table is not searched for every turn. */
const FOUND = new Lru<string, Price>(256);

/** Every provider that prices writes to its cache takes this much more than for input. */
const CACHE_WRITE_FACTOR = 1.25;
/** User audio that is billed by its duration, in the tokens that it would be. */
const AUDIO_TOKENS_PER_SECOND = 10;
const MICROS_PER_WEB_SEARCH = 10_000;
const BYTES_PER_TOKEN = 4;
/** What is longer carries pictures, sound or files, which come to few tokens for their bytes. */
const TEXT_BYTES_MAX = 256 * 1024;
const PRIORITY_FACTOR = 2;

/**
 * What usage costs, in whole micro-dollars, rounded up. Null counts count as 0.
 * @param model matched by the longest name in the table that it begins with, up to its end or a
 *   `-`, `@` or `:`; null or unknown: the dearest price in the table
 * @param tier as served; null: the standard one
 */
export function costMicros(model: string | null, tier: string | null, usage: PricedUsage): number {
  const price = priceOf(model);
  const inputTokens = usage.input_tokens ?? 0;
  const [longFrom, longInput, longOutput] = price.long ?? [];
  const isLong = longFrom !== undefined && inputTokens > longFrom;
  const cost =
    inputCost(price, usage) * (isLong ? (longInput ?? 1) : 1) +
    outputCost(price, usage) * (isLong ? (longOutput ?? 1) : 1);
  const searches = (usage.web_search_requests ?? 0) * MICROS_PER_WEB_SEARCH;
  return roundedUp(cost * tierFactor(price, tier) + searches);
}

/**
 * The most that usage may cost where this tier was decided: `priority` lets Anthropic serve fast
 * mode, which has a factor of its own.
 */
export function costMicrosMax(
  model: string | null,
  decidedTier: string | null,
  usage: PricedUsage,
): number {
  const cost = costMicros(model, decidedTier, usage);
  if (decidedTier !== "priority") return cost;
  return Math.max(cost, costMicros(model, "fast", usage));
}

/**
 * What to set aside for a turn of which only the request is known: 1 token for every 4 of its
 * first 256 KiB, and all the output that it allows.
 * @param outputTokensMax null: it names no maximum, and `defaultOutputTokens` is taken
 * @returns whole tokens and micro-dollars, at least 1 of each
 */
export function reserveFor(
  model: string | null,
  tier: string | null,
  requestBytes: number,
  outputTokensMax: number | null,
  defaultOutputTokens: number,
): { tokens: number; costMicros: number } {
  const inputTokens = Math.ceil(Math.min(requestBytes, TEXT_BYTES_MAX) / BYTES_PER_TOKEN);
  const outputTokens = outputTokensMax ?? defaultOutputTokens;
  const cost = costMicrosMax(model, tier, {
    input_tokens: inputTokens,
    cached_input_tokens: null,
    cache_creation_input_tokens: null,
    output_tokens: outputTokens,
    audio_input_tokens: null,
    audio_output_tokens: null,
    audio_seconds: null,
    web_search_requests: null,
  });
  // A limiter takes 0 for an exchange that no budget is about.
  return { tokens: Math.max(1, inputTokens + outputTokens), costMicros: Math.max(1, cost) };
}

function priceOf(model: string | null): Price {
  if (model === null) return UNKNOWN;
  const known = FOUND.get(model);
  if (known !== undefined) return known;
  const price = findPrice(model);
  FOUND.set(model, price);
  return price;
}

function findPrice(model: string): Price {
  const name = bareModel(model);
  for (const prefix of PREFIXES) {
    if (name.startsWith(prefix) && isEnd(name[prefix.length])) return PRICES[prefix] ?? UNKNOWN;
  }
  return UNKNOWN;
}

/** `gpt-5` is about `gpt-5-2025-08-07`, and not about `gpt-5.9`. */
function isEnd(next: string | undefined): boolean {
  return next === undefined || next === "-" || next === "@" || next === ":";
}

function inputCost(price: Price, usage: PricedUsage): number {
  const total = usage.input_tokens ?? durationTokens(usage);
  const audio = Math.min(
    total,
    usage.input_tokens === null ? total : (usage.audio_input_tokens ?? 0),
  );
  const cached = Math.min(total, usage.cached_input_tokens ?? 0);
  const written = Math.min(total - cached, usage.cache_creation_input_tokens ?? 0);
  // Which tokens were cached is not known. Text is cheaper, so that less is taken off.
  const cachedAudio = Math.max(0, cached + written - (total - audio));
  const freshAudio = Math.max(0, audio - cachedAudio);
  const freshText = Math.max(0, total - cached - written - freshAudio);
  return (
    freshText * price.input +
    freshAudio * (price.audio_input ?? price.input) +
    cached * (price.cached_input ?? price.input) +
    written * price.input * CACHE_WRITE_FACTOR
  );
}

function outputCost(price: Price, usage: PricedUsage): number {
  const total = usage.output_tokens ?? 0;
  const audio = Math.min(total, usage.audio_output_tokens ?? 0);
  return (total - audio) * price.output + audio * (price.audio_output ?? price.output);
}

function durationTokens({ audio_seconds }: PricedUsage): number {
  return Math.ceil((audio_seconds ?? 0) * AUDIO_TOKENS_PER_SECOND);
}

function tierFactor(price: Price, tier: string | null): number {
  const name = tier?.trim().toLowerCase();
  if (name === "flex" || name === "batch") return 0.5;
  const priority = price.priority ?? PRIORITY_FACTOR;
  if (name === "fast") return price.fast ?? priority;
  return name === "priority" || name === "ultrafast" ? priority : 1;
}

/** Products of decimal prices are off by less than this; without it 2.5 * 4 could become 11. */
function roundedUp(micros: number): number {
  return Math.max(0, Math.ceil(micros - 1e-6));
}
