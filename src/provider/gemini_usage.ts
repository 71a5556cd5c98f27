/**
 * Gemini's `usageMetadata`, of generateContent and of the Live API, read all or nothing.
 *
 * Owns: what its counts mean: thoughts are beside the candidates, and what tools put into the
 * prompt is beside the prompt.
 * Does not own: which of a stream's objects counts.
 * Invariant: a subset that the object does not name is 0, because what is 0 is left out.
 */

import type { Usage, UsageDetails } from "../exchange.ts";
import type { UsageReading } from "./provider.ts";
import { count, type Json, readUsageObject, record, required } from "./usage_reading.ts";

/** @param json the text of the `usageMetadata` value, or null where there is none */
export function readGeminiUsage(json: string | null): UsageReading {
  return readUsageObject(json, usageOf);
}

function usageOf(raw: Json): Usage {
  const thoughts = count(raw, "thoughtsTokenCount") ?? 0;
  // The Live API calls it the response.
  const answer = count(raw, "responseTokenCount") ?? count(raw, "candidatesTokenCount") ?? 0;
  const answerDetails = raw["responseTokensDetails"] ?? raw["candidatesTokensDetails"];
  const input = [raw["promptTokensDetails"], raw["toolUsePromptTokensDetails"]];
  return {
    inputTokens: required(raw, "promptTokenCount") + (count(raw, "toolUsePromptTokenCount") ?? 0),
    cachedInputTokens: count(raw, "cachedContentTokenCount") ?? 0,
    cacheCreationInputTokens: 0,
    outputTokens: answer + thoughts,
    reasoningTokens: thoughts,
    audioInputTokens: tokensOf("AUDIO", input),
    audioOutputTokens: tokensOf("AUDIO", [answerDetails]),
    audioSeconds: null,
    webSearchRequests: null,
    details: detailsOf(input, [raw["cacheTokensDetails"]]),
  };
}

function detailsOf(input: readonly unknown[], cached: readonly unknown[]): UsageDetails {
  const details: UsageDetails = {};
  const image = tokensOf("IMAGE", input);
  const cachedAudio = tokensOf("AUDIO", cached);
  const cachedImage = tokensOf("IMAGE", cached);
  if (image > 0) details.image_input_tokens = image;
  if (cachedAudio > 0) details.cached_audio_input_tokens = cachedAudio;
  if (cachedImage > 0) details.cached_image_input_tokens = cachedImage;
  return details;
}

/**
 * The tokens of one modality.
 * @param lists each a list of `{modality, tokenCount}`, or undefined
 */
function tokensOf(modality: string, lists: readonly unknown[]): number {
  const entries = lists.flatMap((list) => (Array.isArray(list) ? list.map(record) : []));
  return entries
    .filter((entry) => entry["modality"] === modality)
    .reduce((total, entry) => total + (count(entry, "tokenCount") ?? 0), 0);
}
