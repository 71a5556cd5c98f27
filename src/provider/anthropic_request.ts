/**
 * What a request to Anthropic asks for.
 *
 * Owns: where in the body it stands.
 * Does not own: whether the request is allowed, and fast mode that is asked for by header alone.
 * Invariant: a field that decides model, tier or speed and is named twice is told, for whoever asks
 * to refuse.
 */

import type { RequestedTurn } from "./provider.ts";
import { WireObject } from "./wire_text.ts";

const LIMIT = "max_tokens";
const KEYS = ["model", "service_tier", "speed", "stream", LIMIT];

/**
 * @param text the body
 * @returns null: the body is no JSON object
 */
export function anthropicRequest(text: string): RequestedTurn | null {
  const request = WireObject.readRequest(text, KEYS, [LIMIT]);
  if (request === null) return null;
  return {
    model: request.string("model"),
    serviceTier: request.string("service_tier"),
    stream: request.isTrue("stream"),
    outputTokensMax: request.integer(LIMIT),
    speed: request.string("speed"),
    includeUsage: false,
    background: false,
    previousResponseId: null,
    duplicate: request.duplicate,
  };
}
