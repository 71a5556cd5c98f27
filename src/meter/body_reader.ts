/**
 * What reads an answer's bytes for its turn: SSE events, a JSON array of them, a JSON body, an
 * error body, or nothing.
 *
 * Owns: turning bytes into signals for the turn.
 * Does not own: forwarding; a reader never sees what goes downstream.
 * Invariant: what is kept is bounded: one SSE event of at most `eventBytesMax`, or the wanted
 * fields of a JSON body of any size. What is larger is not read, which is reported, and usage is
 * unknown.
 */

import { JsonFieldStream } from "../lib/json_stream.ts";
import { JsonArraySplitter } from "../provider/json_array.ts";
import type { JsonBodyReader, MessageReader } from "../provider/provider.ts";
import { SseSplitter } from "../provider/sse.ts";
import { errorCodeOfBody, isDeltaAt, textOf } from "../provider/wire_text.ts";
import type { BodyTurn } from "./body_turn.ts";

/** Longest field of a JSON body that is read; only a list of output items comes near it. */
const VALUE_BYTES_MAX = 256 * 1024;

/** Up to here a body that comes in one chunk is read like a message. */
const WHOLE_BYTES_MAX = 64 * 1024;

/** The turn of whoever reads; `BodyTurn` is one. */
export type ReadTurn = Pick<
  BodyTurn,
  "isOver" | "awaitsOutput" | "eventReceived" | "parseFailed" | "signal" | "interrupted" | "end"
>;

/** Gets the body as it was before any content encoding. */
export interface BodyReader {
  push(bytes: Uint8Array): void;
  /** The body is complete. Ends the turn. */
  finish(): void;
  /** No more of the body will be seen. Ends the turn with what was read so far. */
  abort(): void;
}

/** Reads SSE events; the turn ends with its terminal event. */
export class SseReader implements BodyReader {
  readonly #turn: ReadTurn;
  readonly #messages: MessageReader;
  readonly #splitter: SseSplitter;

  constructor(turn: ReadTurn, messages: MessageReader, eventBytesMax: number) {
    this.#turn = turn;
    this.#messages = messages;
    this.#splitter = new SseSplitter((source, start, end) => {
      turn.eventReceived();
      if (turn.isOver) return;
      // Every format reads it as output. The first one's time is noted, the others say nothing.
      if (!turn.awaitsOutput && isDeltaAt(source, start, end)) return;
      const signal = messages.upstreamSignal(source.subarray(start, end));
      if (signal !== null) turn.signal(signal);
    }, eventBytesMax);
  }

  push(bytes: Uint8Array): void {
    this.#splitter.push(bytes);
  }

  finish(): void {
    this.#splitter.end();
    if (this.#turn.isOver) return;
    if (this.#splitter.oversizedEvents > 0) this.#turn.parseFailed("event_too_large");
    streamEnded(this.#turn, this.#messages);
  }

  /** A client that reads by lines has the last one, though its blank line did not come. */
  abort(): void {
    this.finish();
  }
}

/** Reads the events of a stream that is one JSON array; the turn ends with its closing bracket. */
export class ArrayReader implements BodyReader {
  readonly #turn: ReadTurn;
  readonly #messages: MessageReader;
  readonly #splitter: JsonArraySplitter;

  constructor(turn: ReadTurn, messages: MessageReader, eventBytesMax: number) {
    this.#turn = turn;
    this.#messages = messages;
    this.#splitter = new JsonArraySplitter((source, start, end) => {
      turn.eventReceived();
      const signal = messages.upstreamSignal(source.subarray(start, end));
      if (signal !== null) turn.signal(signal);
    }, eventBytesMax);
  }

  push(bytes: Uint8Array): void {
    this.#splitter.push(bytes);
    if (this.#splitter.isOver) this.abort();
  }

  finish(): void {
    if (this.#turn.isOver || this.#splitter.isArray) return this.abort();
    this.#turn.parseFailed("malformed_body");
    completeUnread(this.#turn);
  }

  /** A client that reads by lines has every object that came. */
  abort(): void {
    if (this.#turn.isOver) return;
    if (this.#splitter.oversizedObjects > 0) this.#turn.parseFailed("event_too_large");
    streamEnded(this.#turn, this.#messages);
  }
}

/** No more events will come. Most formats have one that says so. */
function streamEnded(turn: ReadTurn, messages: MessageReader): void {
  const ended = messages.streamEnded?.() ?? null;
  if (ended === null) turn.interrupted();
  else turn.signal(ended);
}

/**
 * Reads an answer that is one JSON object, while it passes by. Most come in one chunk, which is
 * read like any message, at a fraction of the cost of a scanner that can stop anywhere.
 */
export class JsonReader implements BodyReader {
  readonly #turn: ReadTurn;
  readonly #read: JsonBodyReader;
  /** The only chunk so far; null: none came, or it is among `#fields`. */
  #chunk: Uint8Array | null = null;
  #fields: JsonFieldStream | null = null;

  constructor(turn: ReadTurn, read: JsonBodyReader) {
    this.#turn = turn;
    this.#read = read;
  }

  push(bytes: Uint8Array): void {
    if (this.#fields === null) {
      if (this.#chunk === null && bytes.length <= WHOLE_BYTES_MAX) {
        this.#chunk = bytes;
        return;
      }
      this.#fields = new JsonFieldStream(this.#read.keys, VALUE_BYTES_MAX);
      if (this.#chunk !== null) this.#fields.push(this.#chunk);
      this.#chunk = null;
    }
    this.#fields.push(bytes);
  }

  finish(): void {
    if (this.#ended()) return;
    this.#turn.parseFailed("malformed_body");
    completeUnread(this.#turn);
  }

  /** A whole answer was billed, though the client did not wait for its end. */
  abort(): void {
    if (!this.#turn.isOver && !this.#ended()) this.#turn.interrupted();
  }

  #ended(): boolean {
    const whole = this.#chunk === null ? null : textOf(this.#chunk);
    const text = this.#fields?.object() ?? whole;
    const signal = text === null ? null : this.#read.read(text);
    if (signal === null) return false;
    if (this.#fields?.isTooLarge === true) this.#turn.parseFailed("body_too_large");
    this.#turn.signal(signal);
    return true;
  }
}

/** Reads the body of a refusal, an object or an array of one, which the upstream does not bill. */
export class ErrorReader implements BodyReader {
  readonly #turn: ReadTurn;
  readonly #fields = new JsonFieldStream(["error"], VALUE_BYTES_MAX);
  readonly #array: JsonArraySplitter;
  #codeInArray: string | null = null;

  constructor(turn: ReadTurn) {
    this.#turn = turn;
    this.#array = new JsonArraySplitter((source, start, end) => {
      const text = textOf(source.subarray(start, end));
      this.#codeInArray ??= text === null ? null : errorCodeOfBody(text);
    }, VALUE_BYTES_MAX);
  }

  /** It is one of the two; the other reads nothing. */
  push(bytes: Uint8Array): void {
    this.#fields.push(bytes);
    this.#array.push(bytes);
  }

  finish(): void {
    const text = this.#fields.object();
    this.#turn.end({
      status: "error",
      usage: { reading: "none_billed" },
      terminal: "body",
      errorCode: text === null ? this.#codeInArray : errorCodeOfBody(text),
    });
  }

  abort(): void {
    this.#turn.interrupted();
  }
}

/** Reads nothing: the body says nothing of usage, or nobody understands it. */
export class OpaqueReader implements BodyReader {
  readonly #turn: ReadTurn;

  constructor(turn: ReadTurn) {
    this.#turn = turn;
  }

  push(): void {}

  finish(): void {
    completeUnread(this.#turn);
  }

  abort(): void {
    this.#turn.interrupted();
  }
}

function completeUnread(turn: ReadTurn): void {
  const usage = { reading: "absent" } as const;
  turn.end({ status: "completed", usage, terminal: "body", errorCode: null });
}
