/**
 * Watches for the end of a turn that runs in the background: it shows in the answer to
 * `GET /v1/responses/{id}` (OpenAI, "Background mode"), as one JSON body or, with `stream=true`, as
 * the replay of its events. That may come long after the turn's row was written as `pending`.
 *
 * Owns: reading that answer beside the client. Does not own: finding rows and keeping them.
 * Invariant: the answer is not changed, no chunk waits for a record, and a row is completed at most
 * once an answer.
 */

import type { BodyTap, UsageEvent } from "../exchange.ts";
import { contentCodingOf } from "../lib/content_coding.ts";
import { responseBody, responsesReader } from "../provider/openai_responses.ts";
import type { EndedSignal, TurnSignal } from "../provider/provider.ts";
import { isJson, limitOf, mediaTypeOf } from "./body_meter.ts";
import type { BodyReader, ReadTurn } from "./body_reader.ts";
import { JsonReader, SseReader } from "./body_reader.ts";
import type { Soon } from "./body_tap.ts";
import { ContentDecoder } from "./content_decoder.ts";
import { completedRow } from "./row.ts";

/** Where rows wait for their usage. */
export interface PendingTurns {
  /** Null: none waits for this response. */
  find(provider: string, responseId: string): Promise<UsageEvent | null>;
  complete(event: UsageEvent): void;
}

export interface BackgroundTapOptions {
  readonly pending: PendingTurns;
  /** Name of the configured provider. */
  readonly provider: string;
  /** The `{id}` of the path. */
  readonly responseId: string;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  /** Bytes on the wire; null: not announced. */
  readonly contentLength: number | null;
  /** Longest SSE event that is read; 0: no limit. */
  readonly bodyBytesMax: number;
}

/**
 * The tap of an answer that may show the end of a turn: a `GET /v1/responses/{id}` with status 200.
 * @returns null: the answer is in a format or an encoding that nobody can read
 */
export function createBackgroundTap(options: BackgroundTapOptions): BodyTap | null {
  const turn = new WatchedTurn(options);
  const reader = readerOf(options, turn);
  const coding = contentCodingOf(options.contentEncoding);
  if (reader === null) return null;
  if (coding === null) return new BackgroundTap(options, reader, null);
  const decoder = ContentDecoder.of(coding, (bytes) => reader.push(bytes));
  return decoder === null ? null : new BackgroundTap(options, reader, decoder);
}

function readerOf(options: BackgroundTapOptions, turn: ReadTurn): BodyReader | null {
  const type = mediaTypeOf(options.contentType);
  if (type === "text/event-stream") {
    return new SseReader(turn, responsesReader, limitOf(options.bodyBytesMax));
  }
  return isJson(type) ? new JsonReader(turn, responseBody) : null;
}

class BackgroundTap implements BodyTap {
  readonly #reader: BodyReader;
  readonly #decoder: ContentDecoder | null;
  #left: number;
  #isFinished = false;

  constructor(
    { contentLength }: BackgroundTapOptions,
    reader: BodyReader,
    decoder: ContentDecoder | null,
  ) {
    this.#reader = reader;
    this.#decoder = decoder;
    this.#left = contentLength ?? Number.NaN;
  }

  chunk(bytes: Uint8Array): Soon<Uint8Array> {
    this.#left -= bytes.length;
    if (this.#decoder !== null) return this.#decoded(this.#decoder, bytes);
    this.#reader.push(bytes);
    if (this.#left <= 0) this.#finish();
    return bytes;
  }

  end(): Soon<null> {
    if (this.#decoder === null) this.#finish();
    else if (!this.#isFinished) return this.#finishDecoded(this.#decoder).then(() => null);
    return null;
  }

  abort(): void {
    this.#decoder?.stop();
    if (!this.#isFinished) this.#reader.abort();
    this.#isFinished = true;
  }

  async #decoded(decoder: ContentDecoder, bytes: Uint8Array): Promise<Uint8Array> {
    await decoder.push(bytes);
    if (this.#left <= 0 && !this.#isFinished) await this.#finishDecoded(decoder);
    return bytes;
  }

  async #finishDecoded(decoder: ContentDecoder): Promise<void> {
    await decoder.finish();
    this.#finish();
  }

  /** The last byte was seen; a client that knows the length may leave right after it. */
  #finish(): void {
    if (!this.#isFinished) this.#reader.finish();
    this.#isFinished = true;
  }
}

/** The turn as this answer tells of it. Only its end matters. */
class WatchedTurn implements ReadTurn {
  readonly #options: BackgroundTapOptions;
  #isOver = false;

  constructor(options: BackgroundTapOptions) {
    this.#options = options;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get awaitsOutput(): boolean {
    return false;
  }

  signal(signal: TurnSignal): void {
    if (this.#isOver || signal.signal !== "ended") return;
    if (signal.key !== this.#options.responseId || signal.status === "pending") return;
    this.#isOver = true;
    // Beside the answer: nobody waits for this, and a failure leaves the row for the next look.
    this.#complete(signal).catch(() => undefined);
  }

  eventReceived(): void {}

  parseFailed(): void {}

  interrupted(): void {}

  end(): void {}

  async #complete(ended: EndedSignal): Promise<void> {
    const { pending, provider, responseId } = this.#options;
    const row = await pending.find(provider, responseId);
    if (row !== null) pending.complete(completedRow(row, ended));
  }
}
