/**
 * What a request with a JSON body asks for, whatever its format.
 *
 * Owns: which format reads it, and what is said of a body that is no JSON object.
 * Does not own: the formats (`openai_request.ts`, `openai_client_secret.ts`,
 * `anthropic_request.ts`, `gemini_request.ts`).
 * Invariant: a body that the upstream could read otherwise than we do is refused.
 */

import { GatewayError } from "../errors.ts";
import { anthropicRequest } from "./anthropic_request.ts";
import { geminiRequest } from "./gemini_request.ts";
import { realtimeSessionRequest } from "./openai_client_secret.ts";
import { openaiRequest } from "./openai_request.ts";
import type { MeterDialect, RequestedTurn } from "./provider.ts";
import { textOf } from "./wire_text.ts";

/**
 * @param dialect of the endpoint
 * @param body the whole request body
 * @param path of the request, without prefix and query; Gemini's names the model
 * @throws GatewayError `invalid_json`: not one JSON object in UTF-8
 */
export function readRequestedTurn(
  dialect: MeterDialect,
  body: Uint8Array,
  path: string,
): RequestedTurn {
  const text = textOf(body);
  if (text === null) throw notJson("The body is not valid UTF-8");
  const requested = requestedIn(dialect, text, path);
  if (requested === null) throw notJson(reasonNotObject(text));
  return requested;
}

function requestedIn(dialect: MeterDialect, text: string, path: string): RequestedTurn | null {
  if (dialect === "gemini_generate") return geminiRequest(text, path);
  if (dialect === "anthropic_messages") return anthropicRequest(text);
  if (dialect === "openai_realtime") return realtimeSessionRequest(text, path);
  return openaiRequest(dialect, text);
}

function notJson(message: string): GatewayError {
  return new GatewayError("invalid_json", { message });
}

function reasonNotObject(text: string): string {
  if (text.trim() === "") return "The body is empty. Send a JSON object";
  if (text.startsWith("\ufeff")) {
    return "The body begins with a byte order mark. Send JSON without one";
  }
  try {
    JSON.parse(text);
  } catch {
    return "The body is not valid JSON, or is cut off";
  }
  return "The body is not a JSON object";
}
