/**
 * What a Gemini request asks for: the model in its path, the rest in its body.
 *
 * Owns: where these stand, in both spellings that Google reads.
 * Does not own: whether the request is allowed.
 * Invariant: a field in two spellings is as ambiguous as one that is named twice.
 */

import type { RequestedTurn } from "./provider.ts";
import { storable, WireObject } from "./wire_text.ts";

const TIERS = ["serviceTier", "service_tier"] as const;
const CONFIGS = ["generationConfig", "generation_config"] as const;
const OUTPUT_LIMITS = ["maxOutputTokens", "max_output_tokens"] as const;

const CALL = /\/(?:models|(tunedModels))\/([^/:]+):([A-Za-z]+)$/;

/**
 * @param text the body
 * @param path of the request, as the endpoint was found by it
 * @returns null: the body is no JSON object
 */
export function geminiRequest(text: string, path: string): RequestedTurn | null {
  const request = WireObject.readRequest(text, [...TIERS, ...CONFIGS], CONFIGS);
  if (request === null) return null;
  const [, tuned, name = "", method] = CALL.exec(path) ?? [];
  const model = decodeURIComponent(name);
  const tiers = TIERS.filter((key) => request.has(key));
  return {
    model: name === "" ? null : storable(tuned === undefined ? model : `${tuned}/${model}`),
    serviceTier: request.string(tiers[0] ?? TIERS[0]),
    stream: method === "streamGenerateContent",
    outputTokensMax: outputLimitIn(request),
    speed: null,
    includeUsage: false,
    background: false,
    previousResponseId: null,
    duplicate: request.duplicate ?? (tiers.length > 1 ? TIERS[0] : null),
  };
}

/**
 * The output limit of a request or of a session's setup.
 * @param from read with the keys `generationConfig` and `generation_config`
 * @returns null: none, or not clear which
 */
export function outputLimitIn(from: WireObject): number | null {
  const configs = CONFIGS.filter((key) => from.has(key));
  const isClear = configs.length === 1 && from.duplicate === null;
  const config = isClear ? from.object(configs[0] ?? "", OUTPUT_LIMITS) : null;
  if (config === null || config.duplicate !== null) return null;
  const limits = OUTPUT_LIMITS.filter((key) => config.has(key));
  return limits.length === 1 ? config.integer(limits[0] ?? "") : null;
}
