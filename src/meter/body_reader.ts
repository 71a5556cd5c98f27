/**
 * What reads the bytes of an answer for its turn: SSE events, a JSON body, an error body, or nothing.
 *
 * Owns: turning bytes into signals for the turn.
 * Does not own: forwarding; a reader never sees what goes downstream.
 * Invariant: memory is bounded by `bytesMax`; what is larger is not read, which is reported, and the
 * usage is then unknown.
 */

import type { JsonBodyReader, MessageReader } from "../provider/provider.ts";
import { SseSplitter } from "../provider/sse.ts";
import { errorCodeOfBody, textOf } from "../provider/wire_text.ts";
import type { BodyTurn } from "./body_turn.ts";

/** Gets the body as it was before any content encoding. */
export interface BodyReader {
  push(bytes: Uint8Array): void;
  /** The body is complete. Ends the turn. */
  finish(): void;
}

/** Reads SSE events; the turn ends with its terminal event. */
export class SseReader implements BodyReader {
  readonly #turn: BodyTurn;
  readonly #splitter: SseSplitter;

  constructor(turn: BodyTurn, messages: MessageReader, bytesMax: number) {
    this.#turn = turn;
    this.#splitter = new SseSplitter((source, start, end) => {
      turn.eventReceived();
      if (turn.isOver) return;
      const signal = messages.upstreamSignal(source.subarray(start, end));
      if (signal !== null) turn.signal(signal);
    }, bytesMax);
  }

  push(bytes: Uint8Array): void {
    this.#splitter.push(bytes);
  }

  finish(): void {
    this.#splitter.end();
    if (this.#turn.isOver) return;
    if (this.#splitter.oversizedEvents > 0) this.#turn.parseFailed("event_too_large");
    this.#turn.interrupted();
  }
}

/** Keeps a body until it is complete. */
class Collector {
  readonly #bytesMax: number;
  #chunks: Uint8Array[] = [];
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get isTooLarge(): boolean {
    return this.#length > this.#bytesMax;
  }

  push(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (this.isTooLarge) this.#chunks = [];
    else this.#chunks.push(bytes);
  }

  /** The body as text; null: it is too large, or not UTF-8. */
  text(): string | null {
    if (this.isTooLarge) return null;
    const [only] = this.#chunks;
    if (only !== undefined && this.#chunks.length === 1) return textOf(only);
    const whole = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return textOf(whole);
  }
}

/** Reads an answer that is one JSON text. */
export class JsonReader implements BodyReader {
  readonly #turn: BodyTurn;
  readonly #read: JsonBodyReader;
  readonly #body: Collector;

  constructor(turn: BodyTurn, read: JsonBodyReader, bytesMax: number) {
    this.#turn = turn;
    this.#read = read;
    this.#body = new Collector(bytesMax);
  }

  push(bytes: Uint8Array): void {
    this.#body.push(bytes);
  }

  finish(): void {
    const text = this.#body.text();
    const signal = text === null ? null : this.#read(text);
    if (signal !== null) {
      this.#turn.signal(signal);
      return;
    }
    this.#turn.parseFailed(this.#body.isTooLarge ? "body_too_large" : "malformed_body");
    completeUnread(this.#turn);
  }
}

/** Reads the body of a refusal, which the upstream does not bill. */
export class ErrorReader implements BodyReader {
  readonly #turn: BodyTurn;
  readonly #body: Collector;

  constructor(turn: BodyTurn, bytesMax: number) {
    this.#turn = turn;
    this.#body = new Collector(bytesMax);
  }

  push(bytes: Uint8Array): void {
    this.#body.push(bytes);
  }

  finish(): void {
    const text = this.#body.text();
    this.#turn.end({
      status: "error",
      usage: { reading: "none_billed" },
      terminal: "body",
      errorCode: text === null ? null : errorCodeOfBody(text),
    });
  }
}

/** Reads nothing: the body says nothing of usage, or nobody understands it. */
export class OpaqueReader implements BodyReader {
  readonly #turn: BodyTurn;

  constructor(turn: BodyTurn) {
    this.#turn = turn;
  }

  push(): void {}

  finish(): void {
    completeUnread(this.#turn);
  }
}

function completeUnread(turn: BodyTurn): void {
  const usage = { reading: "absent" } as const;
  turn.end({ status: "completed", usage, terminal: "body", errorCode: null });
}
