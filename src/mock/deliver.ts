/**
 * Turns an answer into bytes on the wire, with the delays and faults that the script asks for.
 *
 *   answer ── pieces ── faults (garbage, drop) ── chunk ── delays ── response body
 *
 * Owns: HTTP delays and faults. Does not own: what is answered.
 * Invariant: a body is made while it is read, piece by piece, so that its size costs no memory;
 * without a script a whole answer is one `Response` and nothing else.
 */

import { type Clock, type Timer, sleep } from "../runtime/clock.ts";
import type { MockExchange } from "./exchange.ts";
import type { Answer, OutputEvent } from "./answer.ts";
import { NO_SCRIPT, type Script } from "./script.ts";

const WRITE_BYTES = 64 * 1024;
const GARBAGE = "}{ this is no JSON \u0000\n\n";
const PADDING_HEAD = '{"padding":"';
const PADDING_TAIL = '",';

const encoder = new TextEncoder();

/** A write to the body. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly delayMs: number;
  /** Written out on its own, not together with what follows. */
  readonly flush: boolean;
}

/** The response. Resolves after the script's first delay; never, where the script hangs. */
export async function deliver(answer: Answer, exchange: MockExchange): Promise<Response> {
  const { script, recording, world, request } = exchange;
  if (script.hang || script.firstDelayMs > 0) {
    request.signal.addEventListener("abort", () => recording.ended("aborted"));
  }
  if (script.hang) return await new Promise<never>(() => {});
  if (script.firstDelayMs > 0) await sleep(world.clock, script.firstDelayMs);
  const headers = headersOf(answer, exchange);
  const { body, status } = answer;
  if (isWhole(body) && (script === NO_SCRIPT || !touchesBody(script))) {
    recording.ended("answered");
    return new Response(body, { status, headers });
  }
  const pieces = isWhole(body) ? wholePieces(body, answer, script) : eventPieces(body, script);
  const stream = streamOf(pieces, exchange, world.clock);
  return new Response(stream, { status, headers });
}

function isWhole(body: Answer["body"]): body is string | Uint8Array<ArrayBuffer> {
  return typeof body === "string" || body instanceof Uint8Array;
}

function touchesBody(script: Script): boolean {
  const { chunkBytes, bodyBytes, drop, garbage, eachDelayMs, fixture } = script;
  const paced = eachDelayMs > 0 && fixture !== null;
  return chunkBytes !== null || bodyBytes !== null || drop || garbage !== null || paced;
}

function headersOf(answer: Answer, exchange: MockExchange): Headers {
  if (answer.exact) return new Headers(answer.headers);
  const headers = exchange.provider.commonHeaders(exchange);
  for (const name in answer.headers) headers.set(name, answer.headers[name] ?? "");
  return headers;
}

/** Events with the script's delays; `after` counts them. */
function* eventPieces(events: Iterable<OutputEvent>, script: Script): Generator<Piece> {
  const after = script.after ?? 1;
  let count = 0;
  for (const event of events) {
    if (count === after) {
      if (script.drop) throw new Cut();
      if (script.garbage !== null) yield* split(encoder.encode(`data: ${GARBAGE}`), 0, script);
    }
    const delayMs = event.delta ? script.eachDelayMs : 0;
    yield* split(encoder.encode(event.text), delayMs, script);
    count += 1;
  }
  if (script.drop) throw new Cut();
}

/** A body that is known beforehand. `drop` cuts it in the middle. */
function* wholePieces(body: string | Uint8Array, answer: Answer, script: Script): Generator<Piece> {
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  if (script.garbage !== null) {
    yield* split(encoder.encode(GARBAGE), 0, script);
  } else if (script.drop) {
    yield* split(bytes.subarray(0, Math.floor(bytes.length / 2)), 0, script);
    throw new Cut();
  } else if (script.bodyBytes !== null) {
    yield* padded(bytes, script.bodyBytes, script);
  } else if (answer.headers["content-type"]?.startsWith("text/event-stream") === true) {
    for (const event of eventsIn(bytes)) yield* split(event, script.eachDelayMs, script);
  } else {
    yield* split(bytes, script.eachDelayMs, script);
  }
}

/**
 * A JSON object of exactly `bytesMax` bytes where there is room: the padding is its first field.
 */
function* padded(bytes: Uint8Array, size: number, script: Script): Generator<Piece> {
  const room = size - bytes.length - PADDING_HEAD.length - PADDING_TAIL.length + 1;
  if (room < 0 || bytes[0] !== PADDING_HEAD.charCodeAt(0)) {
    yield* split(bytes, 0, script);
    return;
  }
  yield* split(encoder.encode(PADDING_HEAD), 0, script);
  const block = new Uint8Array(WRITE_BYTES).fill("x".charCodeAt(0));
  for (let left = room; left > 0; left -= WRITE_BYTES) {
    yield* split(left >= WRITE_BYTES ? block : block.subarray(0, left), 0, script);
  }
  yield* split(encoder.encode(PADDING_TAIL), 0, script);
  yield* split(bytes.subarray(1), 0, script);
}

/** The events of a recorded stream, each with the empty line that ends it. */
function* eventsIn(bytes: Uint8Array): Generator<Uint8Array> {
  let start = 0;
  for (let at = 1; at < bytes.length; at += 1) {
    if (bytes[at] !== 10 || bytes[at - 1] !== 10) continue;
    yield bytes.subarray(start, at + 1);
    start = at + 1;
  }
  if (start < bytes.length) yield bytes.subarray(start);
}

/** Writes of `chunk` bytes, each on its own, where the script asks for them. */
function* split(bytes: Uint8Array, delayMs: number, script: Script): Generator<Piece> {
  const size = script.chunkBytes ?? bytes.length;
  const flush = script.chunkBytes !== null || script.drop;
  for (let at = 0; at < bytes.length; at += size) {
    yield { bytes: bytes.subarray(at, at + size), delayMs: at === 0 ? delayMs : 0, flush };
  }
}

/** Ends a body in the middle: the runtime resets the connection. */
class Cut extends Error {}

function streamOf(
  pieces: Iterator<Piece>,
  exchange: MockExchange,
  clock: Clock,
): ReadableStream<Uint8Array> {
  let waiting: Timer | null = null;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = next(pieces, controller);
        if (piece === null) {
          exchange.recording.ended("answered");
          return;
        }
        if (piece.delayMs > 0) {
          await new Promise<void>((resolve) => {
            waiting = clock.after(piece.delayMs, resolve);
          });
          waiting = null;
        }
        controller.enqueue(piece.bytes);
        if (piece.flush) await new Promise<void>((resolve) => clock.soon(resolve));
      },
      cancel() {
        waiting?.cancel();
        exchange.recording.ended("aborted");
      },
    },
    { highWaterMark: 0 },
  );
}

function next(
  pieces: Iterator<Piece>,
  controller: ReadableStreamDefaultController<Uint8Array>,
): Piece | null {
  try {
    const step = pieces.next();
    if (!step.done) return step.value;
    controller.close();
  } catch (thrown) {
    controller.error(thrown);
  }
  return null;
}
