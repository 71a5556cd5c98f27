/**
 * What a simulated provider answers, before delays and faults.
 *
 * Owns: the types, and what the providers of one mock share. Does not own: making or sending
 * answers.
 * Invariant: an answer says what, and never how slowly or how brokenly.
 */

import type { Clock } from "../runtime/clock.ts";
import type { Fixtures } from "./fixtures.ts";
import type { Ids, Words } from "./text.ts";

/** What the providers of one mock share. */
export interface World {
  readonly clock: Clock;
  readonly words: Words;
  readonly ids: Ids;
  readonly fixtures: Fixtures;
  /** Credentials that are accepted; null: all but those that say they are invalid. */
  readonly keys: ReadonlySet<string> | null;
}

const INVALID_KEY = "sk-mock-invalid";

export function acceptsKey({ keys }: World, key: string): boolean {
  return key !== INVALID_KEY && (keys === null || keys.has(key));
}

/** A piece of an answer that streams. */
export interface OutputEvent {
  readonly text: string;
  /** Whether it carries output, so that `delay=each:` waits before it. */
  readonly delta: boolean;
}

/** An answer over HTTP. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | Iterable<OutputEvent>;
  /** The headers are all there are; none of the provider's usual ones are added. */
  readonly exact?: true;
}

/** An answer that is one JSON document. */
export function jsonAnswer(value: unknown): Answer {
  const headers = { "content-type": "application/json" };
  return { status: 200, headers, body: JSON.stringify(value) };
}

/** Thrown where an answer is decided before its place. */
export class AnswerNow extends Error {
  override readonly name = "AnswerNow";
  readonly answer: Answer;

  constructor(answer: Answer) {
    super("Answered early");
    this.answer = answer;
  }
}
