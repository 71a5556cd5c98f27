/**
 * The meter of an HTTP exchange, from the request's first byte to the answer's last.
 *
 * Owns: choosing how an answer is read, by its status, content type and content encoding.
 * Does not own: reading (`body_reader.ts`) and forwarding (`body_tap.ts`, `usage_strip.ts`).
 * Invariant: the row is opened before the request is sent, and closed once, whatever happens.
 */

import type { BodyTap, ExchangeContext } from "../exchange.ts";
import { contentCodingOf } from "../lib/content_coding.ts";
import { bodyReaderOf, messageReaderOf, streamsAsArray } from "../provider/dialect.ts";
import type { MeterDialect, RequestedTurn } from "../provider/provider.ts";
import type { BodyReader } from "./body_reader.ts";
import { ArrayReader, ErrorReader, JsonReader, OpaqueReader, SseReader } from "./body_reader.ts";
import { Feed, LengthTap, LookAheadTap, StreamTap } from "./body_tap.ts";
import type { BodyTurnOptions, SentTurn } from "./body_turn.ts";
import { BodyTurn } from "./body_turn.ts";
import { ContentDecoder } from "./content_decoder.ts";
import { UsageStripTap } from "./usage_strip.ts";

export interface BodyMeterOptions extends BodyTurnOptions {
  readonly dialect: MeterDialect;
  /** Longest SSE event that is read; 0: no limit. JSON bodies are read whatever their size. */
  readonly bodyBytesMax: number;
}

/** The head of the upstream's answer. */
export interface AnswerHead {
  /** Of the candidate that answered, with the upstream's request id. */
  readonly context: ExchangeContext;
  readonly httpStatus: number;
  /** The service tier that was served, where a header says it; null: none does. */
  readonly serviceTier: string | null;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  /** Bytes on the wire; null: not announced. */
  readonly contentLength: number | null;
  /** Whether `injectStreamUsage` changed the request: the usage chunk is taken out again. */
  readonly usageInjected: boolean;
}

/** Meters one exchange. `answered`'s tap, `failed` or `aborted` ends it; the first one counts. */
export interface BodyMeter {
  /** What the request asks for, where it shows only while the body streams by. */
  requested(requested: RequestedTurn): void;
  /** Bytes of the request body that went upstream. */
  sent(byteCount: number): void;
  /** The one that was asked failed; another one is asked. */
  sentTo(context: ExchangeContext, sent: SentTurn): void;
  /** The upstream answers. Every byte of its body goes through the tap. */
  answered(head: AnswerHead): BodyTap;
  /**
   * There will be no answer.
   * @param reachedUpstream whether the upstream may have begun; if not, nothing was billed
   */
  failed(errorCode: string, reachedUpstream: boolean): void;
  /** The client left, or the exchange was cut, before the answer. */
  aborted(): void;
}

/** Opens the row. @throws what the ledger throws; the request must then not be sent */
export function createBodyMeter(options: BodyMeterOptions): BodyMeter {
  return new TurnMeter(options);
}

class TurnMeter implements BodyMeter {
  readonly #options: BodyMeterOptions;
  readonly #turn: BodyTurn;

  constructor(options: BodyMeterOptions) {
    this.#options = options;
    this.#turn = new BodyTurn(options);
  }

  requested(requested: RequestedTurn): void {
    this.#turn.requested(requested);
  }

  sent(byteCount: number): void {
    this.#turn.sent(byteCount);
  }

  sentTo(context: ExchangeContext, sent: SentTurn): void {
    this.#turn.sentTo(context, sent);
  }

  answered(head: AnswerHead): BodyTap {
    return tapOf(this.#options, this.#turn, head);
  }

  failed(errorCode: string, reachedUpstream: boolean): void {
    if (!reachedUpstream) this.#options.reservation.release();
    const usage = { reading: reachedUpstream ? "absent" : "none_billed" } as const;
    this.#turn.end({ status: "error", usage, terminal: "none", errorCode });
    this.#turn.takeClosing()?.catch(() => undefined);
  }

  aborted(): void {
    this.#turn.interrupted();
    this.#turn.takeClosing()?.catch(() => undefined);
  }
}

function tapOf(options: BodyMeterOptions, turn: BodyTurn, head: AnswerHead): BodyTap {
  const type = mediaTypeOf(head.contentType);
  const isStream = type === "text/event-stream" && isSuccess(head.httpStatus);
  turn.answered(head, isStream ? "sse" : "http");
  const messages = isStream ? messageReaderOf(options.dialect) : null;
  const coding = contentCodingOf(head.contentEncoding);
  if (messages !== null && head.usageInjected && coding === null) {
    return new UsageStripTap(turn, messages, limitOf(options.bodyBytesMax));
  }
  const reader = readerOf(options, turn, head, type);
  const feed = feedOf(turn, reader, coding);
  // What ends while the body goes on must not be held back for its last chunk.
  if (isStream || reader instanceof ArrayReader) return new StreamTap(feed);
  const length = head.contentLength;
  // A length that is no number is not announced.
  return length !== null && Number.isSafeInteger(length)
    ? new LengthTap(feed, length)
    : new LookAheadTap(feed);
}

function feedOf(turn: BodyTurn, reader: BodyReader, coding: string | null): Feed {
  if (coding === null || reader instanceof OpaqueReader) {
    return new Feed(turn, reader, null);
  }
  const decoder = ContentDecoder.of(coding, (bytes) => reader.push(bytes));
  if (decoder !== null) return new Feed(turn, reader, decoder);
  turn.parseFailed("bad_encoding");
  const unread = reader instanceof ErrorReader ? reader : new OpaqueReader(turn);
  return new Feed(turn, unread, null);
}

function readerOf(
  options: BodyMeterOptions,
  turn: BodyTurn,
  head: AnswerHead,
  type: string,
): BodyReader {
  const { dialect } = options;
  const bodyBytesMax = limitOf(options.bodyBytesMax);
  if (!isSuccess(head.httpStatus)) return new ErrorReader(turn);
  if (type === "text/event-stream") {
    const messages = messageReaderOf(dialect);
    return messages === null ? new OpaqueReader(turn) : new SseReader(turn, messages, bodyBytesMax);
  }
  if (isJson(type) && turn.asksForStream && streamsAsArray(dialect)) {
    const messages = messageReaderOf(dialect);
    if (messages !== null) return new ArrayReader(turn, messages, bodyBytesMax);
  }
  const read = isJson(type) ? bodyReaderOf(dialect) : null;
  return read === null ? new OpaqueReader(turn) : new JsonReader(turn, read);
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** The media type of a `content-type` header, without its parameters; "": none. */
export function mediaTypeOf(contentType: string | null): string {
  return (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

export function isJson(mediaType: string): boolean {
  return mediaType === "application/json" || mediaType.endsWith("+json");
}

/** A limit of a configuration, where 0 is none. */
export function limitOf(bytesMax: number): number {
  return bytesMax === 0 ? Number.MAX_SAFE_INTEGER : bytesMax;
}
