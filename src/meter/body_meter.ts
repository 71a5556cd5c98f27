/**
 * The meter of an HTTP exchange, from the request's first byte to the answer's last.
 *
 * Owns: choosing how an answer is read, by its status, content type and content encoding.
 * Does not own: reading (`body_reader.ts`) and forwarding (`body_tap.ts`, `usage_strip.ts`).
 * Invariant: the row is opened before the request is sent and closed exactly once, whatever happens.
 */

import type { BodyTap, ExchangeContext, UsageEvent } from "../exchange.ts";
import { bodyReaderOf, messageReaderOf } from "../provider/dialect.ts";
import { readResponseBody } from "../provider/openai_responses.ts";
import type { MeterDialect, RequestedTurn } from "../provider/provider.ts";
import { textOf } from "../provider/wire_text.ts";
import type { BodyReader } from "./body_reader.ts";
import { ErrorReader, JsonReader, OpaqueReader, SseReader } from "./body_reader.ts";
import { Feed, LengthTap, LookAheadTap, StreamTap } from "./body_tap.ts";
import type { BodyTurnOptions } from "./body_turn.ts";
import { BodyTurn } from "./body_turn.ts";
import { ContentDecoder } from "./content_decoder.ts";
import { completedRow } from "./row.ts";
import { UsageStripTap } from "./usage_strip.ts";

export interface BodyMeterOptions extends BodyTurnOptions {
  readonly dialect: MeterDialect;
  /** Most of an answer that is kept to be read, of an SSE event, and of what decoding may yield. */
  readonly bodyBytesMax: number;
}

/** The head of the upstream's answer. */
export interface AnswerHead {
  /** Of the candidate that answered, with the upstream's request id. */
  readonly context: ExchangeContext;
  readonly httpStatus: number;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  /** Bytes on the wire; null: not announced. */
  readonly contentLength: number | null;
  /** Whether `injectStreamUsage` changed the request, so that the usage chunk is taken out again. */
  readonly usageInjected: boolean;
}

/** Meters one exchange. Each of `answered`'s tap, `failed` and `aborted` ends it; the first one counts. */
export interface BodyMeter {
  /** What the request asks for, where it shows only while the body streams by. */
  requested(requested: RequestedTurn): void;
  /** Bytes of the request body that went upstream. */
  sent(byteCount: number): void;
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
  const turn = new BodyTurn(options);
  return {
    requested: (requested) => turn.requested(requested),
    sent: (byteCount) => turn.sent(byteCount),
    answered: (head) => tapOf(options, turn, head),
    failed: (errorCode, reachedUpstream) => {
      const usage = { reading: reachedUpstream ? "absent" : "none_billed" } as const;
      turn.end({ status: "error", usage, terminal: "none", errorCode });
      turn.takeClosing()?.catch(() => undefined);
    },
    aborted: () => {
      turn.interrupted();
      turn.takeClosing()?.catch(() => undefined);
    },
  };
}

/**
 * Completes the `pending` row of a response in the background.
 * @param pending the row as it was closed
 * @param body of `GET /v1/responses/{id}`
 * @returns the row with its usage; null: the body is of another response, or has not come to an end
 */
export function completeBackground(pending: UsageEvent, body: Uint8Array): UsageEvent | null {
  const text = textOf(body);
  const ended = text === null ? null : readResponseBody(text);
  if (ended === null || ended.status === "pending" || ended.key !== pending.response_id)
    return null;
  return completedRow(pending, ended);
}

function tapOf(options: BodyMeterOptions, turn: BodyTurn, head: AnswerHead): BodyTap {
  const type = (head.contentType ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const isStream = type === "text/event-stream" && isSuccess(head.httpStatus);
  turn.answered(head.context, head.httpStatus, isStream ? "sse" : "http");
  const messages = isStream ? messageReaderOf(options.dialect) : null;
  const encoding = (head.contentEncoding ?? "identity").trim().toLowerCase();
  if (messages !== null && head.usageInjected && encoding === "identity") {
    return new UsageStripTap(turn, messages, options.bodyBytesMax);
  }
  const reader = readerOf(options, turn, head, type);
  const feed = feedOf(options, turn, reader, encoding);
  if (isStream) return new StreamTap(feed);
  const length = head.contentLength;
  // A length that is no number is not announced.
  return length !== null && Number.isSafeInteger(length)
    ? new LengthTap(feed, length)
    : new LookAheadTap(feed);
}

function feedOf(
  options: BodyMeterOptions,
  turn: BodyTurn,
  reader: BodyReader,
  encoding: string,
): Feed {
  if (encoding === "identity" || encoding === "" || reader instanceof OpaqueReader) {
    return new Feed(turn, reader, null);
  }
  const decoder = ContentDecoder.of(encoding, (bytes) => reader.push(bytes), options.bodyBytesMax);
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
  const { dialect, bodyBytesMax } = options;
  if (!isSuccess(head.httpStatus)) return new ErrorReader(turn, bodyBytesMax);
  if (type === "text/event-stream") {
    const messages = messageReaderOf(dialect);
    return messages === null ? new OpaqueReader(turn) : new SseReader(turn, messages, bodyBytesMax);
  }
  const isJson = type === "application/json" || type.endsWith("+json");
  const read = isJson ? bodyReaderOf(dialect) : null;
  return read === null ? new OpaqueReader(turn) : new JsonReader(turn, read, bodyBytesMax);
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}
