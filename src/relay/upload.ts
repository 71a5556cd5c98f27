/**
 * Request bodies that stream by.
 *
 * Owns: the way of the bytes from the client to the upstream, and the limits on it.
 * Does not own: what the body says; a watcher may.
 * Invariant: a body is pulled only as fast as the upstream takes it, so that it never piles up, and
 * one that is broken off has no clean end for the upstream.
 */

import { GatewayError } from "../errors.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import {
  type BodySource,
  brokenOff,
  declaredLength,
  exceeds,
  Patience,
  tooLarge,
  tooSlow,
} from "./request_body.ts";

interface UploadOptions {
  /** `limits.body`; 0: no limit. */
  readonly bytesMax: number;
  readonly clock: Clock;
  /** How long the upstream may leave bytes untaken (`timeouts.write`); 0: for ever. */
  readonly writeTimeoutMs: number;
  /**
   * Sees each chunk on its way upstream, and null before the upstream learns that there are no
   * more. What it throws breaks the upload off. Null: nobody watches.
   */
  readonly observe: ((chunk: Uint8Array | null) => void) | null;
}

/**
 * A body on its way through, with back-pressure: a chunk is read from the client when the upstream
 * asks for one.
 */
export class Upload {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #options: UploadOptions;
  readonly #patience: Patience;
  readonly #stall: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #upstream: Timer | null = null;
  #bytes = 0;
  #failure: GatewayError | null = null;
  #ended = false;
  #onEnd: (() => void) | null = null;

  /**
   * @param source has a body
   * @throws GatewayError `body_too_large` when its declared length is beyond the limit
   */
  constructor(source: BodySource, options: UploadOptions) {
    const { body } = source;
    const length = declaredLength(source.headers);
    if (exceeds(length ?? 0, options.bytesMax)) throw tooLarge(options.bytesMax);
    if (body === null) throw new TypeError("The request has no body");
    this.#options = options;
    this.#reader = body.getReader();
    this.#patience = new Patience(options.clock);
    this.#stall = () => this.#fail(tooSlow());
    this.stream = new ReadableStream(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.#pull(),
        cancel: () => this.#finish(),
      },
      { highWaterMark: 0 },
    );
  }

  /** Bytes that the upstream has asked for and got. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Why it ended early; null: it did not, or the other side is to blame. */
  get failure(): GatewayError | null {
    return this.#failure;
  }

  /** Calls `run` when nothing more will be sent upstream. At most one is kept. */
  whenEnded(run: () => void): void {
    if (this.#ended) run();
    else this.#onEnd = run;
  }

  async #pull(): Promise<void> {
    this.#upstream?.cancel();
    this.#patience.wait(this.#stall);
    try {
      const { done, value } = await this.#reader.read();
      if (this.#ended) return;
      if (done) {
        this.#options.observe?.(null);
        this.#close();
      } else this.#pass(value);
    } catch (thrown) {
      this.#fail(thrown instanceof GatewayError ? thrown : brokenOff(thrown));
    }
  }

  #pass(chunk: Uint8Array): void {
    const { bytesMax, clock, writeTimeoutMs } = this.#options;
    this.#patience.arrived(chunk.byteLength);
    this.#bytes += chunk.byteLength;
    if (exceeds(this.#bytes, bytesMax)) {
      this.#fail(tooLarge(bytesMax));
      return;
    }
    this.#options.observe?.(chunk);
    this.#controller?.enqueue(chunk);
    if (writeTimeoutMs === 0) return;
    this.#upstream = clock.after(writeTimeoutMs, () => {
      this.#fail(new GatewayError("upstream_timeout", { message: "The upstream stopped reading" }));
    });
  }

  #close(): void {
    this.#finish();
    this.#controller?.close();
  }

  #fail(error: GatewayError): void {
    if (this.#ended) return;
    this.#failure = error;
    this.#finish();
    this.#controller?.error(error);
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#patience.end();
    this.#upstream?.cancel();
    // A body that is complete ignores this; of one that is not, nothing more is read.
    void this.#reader.cancel().catch(() => {});
    this.#onEnd?.();
  }
}
