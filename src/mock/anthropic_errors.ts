/**
 * Refusals in Anthropic's words.
 *
 * Owns: bodies, and which recorded error a script means. Does not own: when to refuse.
 * Invariant: every body is `{"type": "error", "error": {type, message}, "request_id"}`.
 */

import { type Answer, AnswerNow } from "./answer.ts";
import type { Fixtures } from "./fixtures.ts";
import { type JsonObject, objectIn } from "./json.ts";
import type { Script } from "./script.ts";

interface AnthropicError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly error: JsonObject;
}

const TYPES: ReadonlyMap<number, string> = new Map([
  [400, "invalid_request_error"],
  [401, "authentication_error"],
  [402, "billing_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [413, "request_too_large"],
  [429, "rate_limit_error"],
  [504, "timeout_error"],
  [529, "overloaded_error"],
]);

/** An error of our own wording. */
export function anthropicError(
  status: number,
  message: string,
  type: string | null = null,
): AnthropicError {
  const usual = TYPES.get(status) ?? (status >= 500 ? "api_error" : "invalid_request_error");
  return { status, headers: {}, error: { type: type ?? usual, message } };
}

export function errorAnswer(refused: AnthropicError): Answer {
  const { status, headers, error } = refused;
  const request_id = "req_mock";
  return {
    status,
    headers: { ...headers, "content-type": "application/json", "request-id": request_id },
    body: JSON.stringify({ type: "error", error, request_id }),
  };
}

/** The error to throw for a body that is no JSON object. */
export function notJson(): AnswerNow {
  return new AnswerNow(errorAnswer(anthropicError(400, "The request body is not valid JSON")));
}

/** The error to throw for a field that is missing or wrong. */
export function badField(name: string, problem: string): AnswerNow {
  return new AnswerNow(errorAnswer(anthropicError(400, `${name}: ${problem}`)));
}

/**
 * The error that a script asks for: the recorded one with that type (or code of a spend limit) and
 * status, else one made up from what the script says.
 */
export function scriptedError(fixtures: Fixtures, { status, error }: Script): AnthropicError {
  const recorded = fixtures.errors.anthropic.find(
    (one) =>
      (error === null ||
        one.error["type"] === error ||
        objectIn(one.error, "details")["error_code"] === error) &&
      (status === null || one.status === status),
  );
  if (recorded === undefined) {
    return anthropicError(status ?? 400, `Simulated error ${error ?? status ?? ""}`, error);
  }
  const { "request-id": _, ...headers } = recorded.headers;
  return { status: recorded.status, headers, error: recorded.error };
}
