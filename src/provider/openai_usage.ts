/**
 * OpenAI's usage objects, read all or nothing.
 *
 * Owns: the three shapes there are (`input_tokens` with `input_tokens_details` or, on Realtime and
 * audio, `input_token_details`; `prompt_tokens` with `prompt_tokens_details`; `type: "duration"`).
 * Does not own: where in an event the object stands.
 * Invariant: a subset that the object does not name is 0, because OpenAI leaves out what did not
 * occur.
 */

import type { Usage, UsageDetails } from "../exchange.ts";
import type { UsageReading } from "./provider.ts";
import { count, type Json, readUsageObject, record, recordIn, required } from "./usage_reading.ts";

/**
 * @param json the text of the `usage` value, or null where there is none
 * @param output whether the endpoint has output tokens; embeddings have none
 */
export function readUsage(
  json: string | null,
  output: "required" | "none" = "required",
): UsageReading {
  return readUsageObject(json, (raw) => usageOf(raw, output));
}

function usageOf(raw: Json, output: "required" | "none"): Usage {
  if (raw["type"] === "duration") return { ...ZERO, audioSeconds: seconds(raw), details: {} };
  const isChat = "prompt_tokens" in raw;
  const input = record(
    raw["prompt_tokens_details"] ?? raw["input_tokens_details"] ?? raw["input_token_details"] ?? {},
  );
  const produced = record(
    raw["completion_tokens_details"] ??
      raw["output_tokens_details"] ??
      raw["output_token_details"] ??
      {},
  );
  const outputKey = isChat ? "completion_tokens" : "output_tokens";
  return {
    inputTokens: required(raw, isChat ? "prompt_tokens" : "input_tokens"),
    cachedInputTokens: count(input, "cached_tokens") ?? 0,
    cacheCreationInputTokens: count(input, "cache_write_tokens") ?? 0,
    outputTokens: output === "none" ? (count(raw, outputKey) ?? 0) : required(raw, outputKey),
    reasoningTokens: count(produced, "reasoning_tokens") ?? 0,
    audioInputTokens: count(input, "audio_tokens") ?? 0,
    audioOutputTokens: count(produced, "audio_tokens") ?? 0,
    audioSeconds: null,
    webSearchRequests: null,
    details: detailsOf(input),
  };
}

/** The counts of a turn that used nothing, or that is billed by other than tokens. */
const ZERO: Omit<Usage, "details"> = {
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheCreationInputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  audioInputTokens: 0,
  audioOutputTokens: 0,
  audioSeconds: null,
  webSearchRequests: null,
};

function detailsOf(input: Json): UsageDetails {
  const cached = recordIn(input, "cached_tokens_details");
  const details: UsageDetails = {};
  const image = count(input, "image_tokens");
  const cachedAudio = count(cached, "audio_tokens");
  const cachedImage = count(cached, "image_tokens");
  if (image !== null) details.image_input_tokens = image;
  if (cachedAudio !== null) details.cached_audio_input_tokens = cachedAudio;
  if (cachedImage !== null) details.cached_image_input_tokens = cachedImage;
  return details;
}

function seconds(raw: Json): number {
  const value = raw["seconds"];
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw new TypeError("Usage by duration lacks seconds");
}
