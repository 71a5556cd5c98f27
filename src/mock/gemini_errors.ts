/**
 * Refusals in Gemini's words.
 *
 * Owns: bodies, and which recorded error a script means. Does not own: when to refuse.
 * Invariant: every body is `{"error": {code, message, status}}`, in an array where the answer would
 * have been one.
 */

import { type Answer, AnswerNow } from "./answer.ts";
import type { Fixtures } from "./fixtures.ts";
import type { JsonObject } from "./json.ts";
import type { Script } from "./script.ts";

interface GeminiError {
  readonly code: number;
  readonly error: JsonObject;
}

const STATUSES: ReadonlyMap<number, string> = new Map([
  [400, "INVALID_ARGUMENT"],
  [401, "UNAUTHENTICATED"],
  [403, "PERMISSION_DENIED"],
  [404, "NOT_FOUND"],
  [429, "RESOURCE_EXHAUSTED"],
  [503, "UNAVAILABLE"],
  [504, "DEADLINE_EXCEEDED"],
]);

/** An error of our own wording. */
export function geminiError(
  code: number,
  message: string,
  status: string | null = null,
): GeminiError {
  const usual = STATUSES.get(code) ?? (code >= 500 ? "INTERNAL" : "FAILED_PRECONDITION");
  return { code, error: { code, message, status: status ?? usual } };
}

/** @param inArray whether the answer would have been a JSON array */
export function errorAnswer({ code, error }: GeminiError, inArray = false): Answer {
  return {
    status: code,
    headers: { "content-type": "application/json; charset=UTF-8" },
    body: JSON.stringify(inArray ? [{ error }] : { error }),
  };
}

/** The error to throw for a body that is no JSON object. */
export function notJson(): AnswerNow {
  return new AnswerNow(errorAnswer(geminiError(400, "Invalid JSON payload received.")));
}

/** The refusal of a key. */
export function badKey(fixtures: Fixtures): GeminiError {
  const recorded = fixtures.errors.gemini.find((one) => one.name === "bad_key");
  return recorded === undefined
    ? geminiError(400, "API key not valid. Please pass a valid API key.")
    : { code: recorded.status, error: recorded.error };
}

/**
 * The error that a script asks for: the recorded one with that name or status, else one made up
 * from what the script says.
 */
export function scriptedError(fixtures: Fixtures, { status, error }: Script): GeminiError {
  const named = error?.toUpperCase() ?? null;
  const recorded = fixtures.errors.gemini.find(
    (one) =>
      (error === null || one.name === error || one.error["status"] === named) &&
      (status === null || one.status === status),
  );
  if (recorded !== undefined) return { code: recorded.status, error: recorded.error };
  return geminiError(status ?? 400, `Simulated error ${error ?? status ?? ""}`, named);
}
