/**
 * The body of an answer on its way to the client.
 *
 * Owns: handing chunks through the tap, back-pressure, idle and write timeouts, and how a cut
 * looks.
 * Does not own: what the tap does with a chunk.
 * Invariant: the upstream is read when the client takes, so at most one chunk is in our hands; the
 * tap sees exactly one of `end` and `abort`, as its last call; a body that is not complete ends as
 * a broken connection and never as a clean end.
 *
 * A plain pull source without a queue: measured, it costs per event what the runtime's native
 * pass-through costs, and it can be observed and ended.
 */

import { GatewayError, asGatewayError } from "../errors.ts";
import type { BodyTap } from "../exchange.ts";
import { joinedCopy } from "../lib/bytes.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { ClientGone } from "./ending.ts";
import type { UpstreamAnswer } from "./forward.ts";

/** Between the last bytes and the cut: the runtime drops what it has not written yet. */
const FLUSH_MS = 20;

const UNREAD = "The client did not read in time";

/**
 * Up to here a body with a known length goes out in one piece: three quarters of a stream's cost.
 */
const WHOLE_BYTES = 64 * 1024;

/** How a body ended. `ended`: by a decision of ours. */
type BodyOutcome = "complete" | "client_gone" | "upstream_failed" | "ended";

export interface BodyEnd {
  readonly outcome: BodyOutcome;
  /** Null where the body is complete or the client left. */
  readonly error: GatewayError | null;
  /** Handed to the client. */
  readonly bytes: number;
  readonly chunks: number;
}

export interface RelayBodyOptions {
  readonly answer: Pick<UpstreamAnswer, "body" | "abort" | "failure" | "done">;
  /** Null: nobody watches. */
  readonly tap: BodyTap | null;
  readonly clock: Clock;
  /** Silence of the upstream, and of a client that does not read; 0: for ever. */
  readonly timeouts: { readonly idleMs: number; readonly writeMs: number };
  /**
   * The event that tells a client of a stream why it is cut; null: the answer is no event stream.
   */
  readonly errorEvent: ((error: GatewayError) => string) | null;
  /** Called once, last. */
  onEnd(end: BodyEnd): void;
}

/**
 * Whether `BodyRelay.whole` is the better way: a small answer of known length, which no provider
 * sends piece by piece. Without a content type the runtime would add one.
 */
export function isSmall(headers: Headers): boolean {
  const length = headers.get("content-length");
  if (length === null || length === "0" || Number(length) > WHOLE_BYTES) return false;
  const type = headers.get("content-type");
  return type !== null && !type.startsWith("text/event-stream");
}

/** An answer's body; null when it has none, and then it has ended already. */
export class BodyRelay {
  readonly #options: RelayBodyOptions;
  readonly #tap: BodyTap | null;
  readonly #watch: Watch;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #stream: ReadableStream<Uint8Array> | null = null;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #flush: Timer | null = null;
  /** Where chunks go instead of the stream, for `whole`. */
  #parts: Uint8Array[] | null = null;
  #outcome: BodyOutcome | null = null;
  #bytes = 0;
  #chunks = 0;
  #lastByte = 0x0a;

  constructor(options: RelayBodyOptions) {
    const { tap, clock, timeouts } = options;
    this.#options = options;
    this.#tap = tap;
    this.#watch = new Watch(clock, timeouts, (error) => this.#failed(error));
  }

  /** The body as it comes. */
  get stream(): ReadableStream<Uint8Array> | null {
    this.#reader ??= this.#options.answer.body?.getReader() ?? null;
    return this.#reader === null ? null : this.#open();
  }

  /** For an answer without a body: ends the tap. */
  async endWithoutBody(): Promise<void> {
    await this.#tap?.end();
    this.#finish("complete", null);
  }

  /**
   * The whole body in one piece, instead of the stream: no stream is made on either side, which is
   * most of what a small answer costs. A body that breaks off comes back as a stream that is cut.
   * @param read from the answer
   */
  async whole(
    read: () => Promise<Uint8Array<ArrayBuffer>>,
  ): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
    const parts: Uint8Array[] = [];
    this.#parts = parts;
    this.#watch.upstream();
    await read().then(this.#onWhole, this.#onReadError);
    return this.#outcome === "complete" ? joinedCopy(parts) : this.#open();
  }

  /**
   * Ends the body by a decision of ours, at once: the error event if there is one, then the cut.
   */
  end(error: GatewayError): void {
    this.#fail(error, "ended");
  }

  #open(): ReadableStream<Uint8Array> {
    this.#stream ??= new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.#pull(),
        cancel: () => this.#clientLeft(),
      },
      { highWaterMark: 0 },
    );
    return this.#stream;
  }

  #pull(): Promise<void> | undefined {
    // After the end nothing is handed out; the stream waits for its cut.
    if (this.#outcome !== null) return undefined;
    this.#watch.upstream();
    return this.#read();
  }

  #read(): Promise<void> | undefined {
    return this.#reader?.read().then(this.#onRead, this.#onReadError);
  }

  // Fields, so that a chunk allocates no closures.
  readonly #onRead = (result: {
    done: boolean;
    value?: Uint8Array | undefined;
  }): Promise<void> | undefined => {
    if (this.#outcome !== null) return undefined;
    if (result.done || result.value === undefined) return this.#onDone();
    const tap = this.#tap;
    if (tap === null) return this.#deliver(result.value);
    try {
      const out = tap.chunk(result.value);
      return out instanceof Promise
        ? out.then(this.#deliver, this.#onTapError)
        : this.#deliver(out);
    } catch (thrown) {
      return this.#onTapError(thrown);
    }
  };

  readonly #onWhole = async (value: Uint8Array): Promise<void> => {
    await this.#onRead({ done: false, value });
    await this.#onRead({ done: true });
  };

  readonly #deliver = (out: Uint8Array | null): Promise<void> | undefined => {
    if (this.#outcome !== null) return undefined;
    // Nothing to hand out yet. A pull that hands out nothing is not repeated, so go on reading
    // here.
    if (out === null || out.byteLength === 0) return this.#read();
    this.#enqueue(out);
    this.#watch.client();
    return undefined;
  };

  readonly #onReadError = (thrown: unknown): undefined => {
    const failure = this.#options.answer.failure(thrown);
    if (failure instanceof ClientGone) this.#clientLeft();
    else this.#failed(failure);
  };

  readonly #onTapError = (thrown: unknown): undefined => {
    this.#fail(asGatewayError(thrown), "ended");
  };

  #onDone(): Promise<void> | undefined {
    if (this.#tap === null) return this.#complete(null);
    try {
      const out = this.#tap.end();
      return out instanceof Promise
        ? out.then((rest) => this.#complete(rest), this.#onTapError)
        : this.#complete(out);
    } catch (thrown) {
      return this.#onTapError(thrown);
    }
  }

  #complete(rest: Uint8Array | null): undefined {
    if (this.#outcome !== null) return;
    if (rest !== null && rest.byteLength > 0) this.#enqueue(rest);
    this.#controller?.close();
    this.#finish("complete", null);
  }

  #enqueue(bytes: Uint8Array): void {
    this.#bytes += bytes.byteLength;
    this.#chunks += 1;
    this.#lastByte = bytes[bytes.byteLength - 1] ?? 0;
    if (this.#parts === null) this.#controller?.enqueue(bytes);
    else this.#parts.push(bytes);
  }

  #clientLeft(): void {
    this.#flush?.cancel();
    if (this.#outcome !== null) return;
    this.#tap?.abort();
    this.#options.answer.abort();
    this.#cut(new ClientGone());
    this.#finish("client_gone", null);
  }

  #failed(error: GatewayError): void {
    this.#fail(error, error.code.startsWith("upstream_") ? "upstream_failed" : "ended");
  }

  #fail(error: GatewayError, outcome: BodyOutcome): void {
    if (this.#outcome !== null) return;
    this.#tap?.abort();
    this.#options.answer.abort();
    const event = this.#options.errorEvent?.(error);
    if (event !== undefined) {
      // An event that was cut in the middle must not swallow ours.
      const separator = this.#lastByte === 0x0a ? "" : "\n\n";
      this.#enqueue(new TextEncoder().encode(separator + event));
    }
    this.#cut(error);
    this.#finish(outcome, error);
  }

  #cut(error: Error): void {
    // For `whole`, which may wait for something else at this moment.
    this.#open();
    this.#flush = this.#options.clock.after(FLUSH_MS, () => this.#controller?.error(error));
  }

  #finish(outcome: BodyOutcome, error: GatewayError | null): void {
    this.#outcome = outcome;
    this.#watch.end();
    this.#options.answer.done();
    this.#options.onEnd({ outcome, error, bytes: this.#bytes, chunks: this.#chunks });
  }
}

/**
 * Notices that one side has been waited for too long. One timer, which is not restarted per chunk.
 */
class Watch {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #writeMs: number;
  readonly #expire: (error: GatewayError) => void;
  #waitingForClient = true;
  #sinceMs: number;
  #timer: Timer | null = null;

  constructor(
    clock: Clock,
    timeouts: { readonly idleMs: number; readonly writeMs: number },
    expire: (error: GatewayError) => void,
  ) {
    this.#clock = clock;
    this.#idleMs = timeouts.idleMs || Number.POSITIVE_INFINITY;
    this.#writeMs = timeouts.writeMs || Number.POSITIVE_INFINITY;
    this.#expire = expire;
    this.#sinceMs = clock.monotonicMs();
    this.#arm(Number.POSITIVE_INFINITY);
  }

  upstream(): void {
    this.#waitingForClient = false;
    this.#sinceMs = this.#clock.monotonicMs();
  }

  client(): void {
    this.#waitingForClient = true;
    this.#sinceMs = this.#clock.monotonicMs();
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /**
   * Looks again after `delayMs`, and no later than the shorter limit, for the sides may have
   * changed.
   */
  #arm(delayMs: number): void {
    const waitMs = Math.min(delayMs, this.#idleMs, this.#writeMs);
    if (Number.isFinite(waitMs)) this.#timer = this.#clock.after(waitMs, () => this.#look());
  }

  #look(): void {
    const limitMs = this.#waitingForClient ? this.#writeMs : this.#idleMs;
    const leftMs = limitMs - (this.#clock.monotonicMs() - this.#sinceMs);
    if (leftMs > 0) this.#arm(leftMs);
    else if (this.#waitingForClient)
      this.#expire(new GatewayError("write_timeout", { message: UNREAD }));
    else this.#expire(silent(limitMs));
  }
}

function silent(idleMs: number): GatewayError {
  const message = `The upstream sent nothing for ${idleMs} ms`;
  return new GatewayError("upstream_timeout", { message });
}
