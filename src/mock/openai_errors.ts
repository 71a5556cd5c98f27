/**
 * Refusals in OpenAI's words.
 *
 * Owns: bodies, and which recorded error a script means. Does not own: when to refuse.
 * Invariant: every body is `{"error": {message, type, param, code}}`.
 */

import type { Fixtures } from "./fixtures.ts";
import type { JsonObject } from "./json.ts";
import { type Answer, AnswerNow } from "./answer.ts";
import type { Script } from "./script.ts";

export interface OpenaiError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly error: JsonObject;
}

/** An error of our own wording. */
export function openaiError(
  status: number,
  code: string | null,
  message: string,
  param: string | null = null,
): OpenaiError {
  const type = status >= 500 ? "server_error" : "invalid_request_error";
  return { status, headers: {}, error: { message, type, param, code } };
}

export function errorAnswer({ status, headers, error }: OpenaiError): Answer {
  return {
    status,
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ error }),
  };
}

/** The error to throw for a body that is no JSON object. */
export function notJson(): AnswerNow {
  const message =
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using " +
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was " +
    "not valid JSON.)";
  return new AnswerNow(errorAnswer(openaiError(400, null, message)));
}

/** The error to throw for a field that is missing or wrong. */
export function badField(param: string, message: string, code = "invalid_value"): AnswerNow {
  return new AnswerNow(errorAnswer(openaiError(400, code, message, param)));
}

/** The answer to a path that is none. */
export function notFound(method: string, path: string): Answer {
  return errorAnswer(openaiError(404, null, `Invalid URL (${method} ${path})`));
}

/**
 * The error that a script asks for: the recorded one with that code (or name) and status, else one
 * made up from what the script says.
 */
export function scriptedError(fixtures: Fixtures, { status, error }: Script): OpenaiError {
  const recorded = fixtures.errors.openai.find(
    (one) =>
      (error === null || one.error["code"] === error || one.name === error) &&
      (status === null || one.status === status),
  );
  if (recorded === undefined) {
    return openaiError(status ?? 400, error, `Simulated error ${error ?? status ?? ""}`);
  }
  const { "x-request-id": _, ...headers } = recorded.headers;
  return { status: recorded.status, headers, error: recorded.error };
}
