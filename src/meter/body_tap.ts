/**
 * Taps of an HTTP answer: every chunk goes on as the very view that came, once its reader saw it.
 *
 * Owns: when a chunk may go on. An event stream's go at once, and wait only for a record that their
 * terminal event must not overtake. Of a body in one piece the last chunk waits: with a known
 * length that one is known, else each chunk waits for the one after it.
 * Does not own: reading (`body_reader.ts`).
 * Invariant: no byte is changed, and the turn's record is written before its last chunk goes on.
 */

import type { BodyTap } from "../exchange.ts";
import type { BodyReader } from "./body_reader.ts";
import type { BodyTurn } from "./body_turn.ts";
import type { ContentDecoder } from "./content_decoder.ts";

/** A value, now or when a record is on disk. */
export type Soon<T> = T | Promise<T>;

/** Gives the reader its bytes, through a decoder where the body is encoded. */
export class Feed {
  readonly #turn: BodyTurn;
  readonly #reader: BodyReader;
  readonly #decoder: ContentDecoder | null;

  constructor(turn: BodyTurn, reader: BodyReader, decoder: ContentDecoder | null) {
    this.#turn = turn;
    this.#reader = reader;
    this.#decoder = decoder;
  }

  /** Undefined: done, and nothing has to be waited for. */
  push(bytes: Uint8Array): Promise<void> | undefined {
    this.#turn.received(bytes.length);
    if (this.#decoder !== null) {
      return this.#decoder.push(bytes).then(() => this.#turn.takeClosing());
    }
    this.#reader.push(bytes);
    return this.#turn.takeClosing();
  }

  finish(): Promise<void> | undefined {
    if (this.#decoder !== null) return this.#finishDecoded(this.#decoder);
    this.#reader.finish();
    return this.#turn.takeClosing();
  }

  abort(): void {
    this.#decoder?.stop();
    this.#reader.abort();
    // The exchange is over: nothing waits for this record, and the ledger reports its failures.
    this.#turn.takeClosing()?.catch(() => undefined);
  }

  async #finishDecoded(decoder: ContentDecoder): Promise<void> {
    await decoder.finish();
    if (decoder.failure !== null && !this.#turn.isOver) this.#turn.parseFailed(decoder.failure);
    this.#reader.finish();
    await this.#turn.takeClosing();
  }
}

/** The tap of an event stream. */
export class StreamTap implements BodyTap {
  readonly #feed: Feed;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  chunk(bytes: Uint8Array): Soon<Uint8Array | null> {
    return after(this.#feed.push(bytes), bytes);
  }

  end(): Soon<Uint8Array | null> {
    return after(this.#feed.finish(), null);
  }

  abort(): void {
    this.#feed.abort();
  }
}

/** The tap of a body in one piece whose length is known. */
export class LengthTap implements BodyTap {
  readonly #feed: Feed;
  #left: number;
  #finished = false;

  /** @param length `content-length` of the answer */
  constructor(feed: Feed, length: number) {
    this.#feed = feed;
    this.#left = length;
  }

  chunk(bytes: Uint8Array): Soon<Uint8Array | null> {
    this.#left -= bytes.length;
    const pushed = this.#feed.push(bytes);
    if (this.#left > 0 || this.#finished) return after(pushed, bytes);
    this.#finished = true;
    if (pushed === undefined) return after(this.#feed.finish(), bytes);
    return pushed.then(() => this.#feed.finish()).then(() => bytes);
  }

  end(): Soon<Uint8Array | null> {
    if (this.#finished) return null;
    this.#finished = true;
    return after(this.#feed.finish(), null);
  }

  abort(): void {
    this.#feed.abort();
  }
}

/** The tap of a body in one piece whose length is not known: one chunk behind. */
export class LookAheadTap implements BodyTap {
  readonly #feed: Feed;
  #held: Uint8Array | null = null;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  chunk(bytes: Uint8Array): Soon<Uint8Array | null> {
    const due = this.#held;
    this.#held = bytes;
    return after(this.#feed.push(bytes), due);
  }

  end(): Soon<Uint8Array | null> {
    const due = this.#held;
    this.#held = null;
    return after(this.#feed.finish(), due);
  }

  abort(): void {
    this.#held = null;
    this.#feed.abort();
  }
}

/** `value`, once `pending` is over; at once where there is nothing to wait for. */
export function after<T>(pending: Promise<void> | undefined, value: T): Soon<T> {
  return pending === undefined ? value : pending.then(() => value);
}
