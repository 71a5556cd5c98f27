/**
 * Undoes the content encoding of an answer for its reader, beside the bytes that are forwarded.
 *
 * Owns: the decompressors of `node:zlib`, and the cap on what they may produce.
 * Does not own: the forwarded body, which stays encoded.
 * Invariant: a reader sees at most `bytesMax` decoded bytes. Beyond that, or when the data is damaged,
 * decoding stops, `failure` says why, and the body goes on.
 */

import type { Transform } from "node:stream";
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from "node:zlib";
import type { ParseFailure } from "./row.ts";

const DECODERS: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ["gzip", createGunzip],
  ["x-gzip", createGunzip],
  ["deflate", createInflate],
  ["br", createBrotliDecompress],
  ["zstd", createZstdDecompress],
]);

export class ContentDecoder {
  readonly #stream: Transform;
  readonly #output: (bytes: Uint8Array) => void;
  readonly #bytesMax: number;
  #bytes = 0;
  #failure: ParseFailure | null = null;
  #thrown: unknown = null;
  #settle: (() => void) | null = null;

  /** Null: no decoder for this encoding. */
  static of(
    encoding: string,
    output: (bytes: Uint8Array) => void,
    bytesMax: number,
  ): ContentDecoder | null {
    const create = DECODERS.get(encoding.trim().toLowerCase());
    return create === undefined ? null : new ContentDecoder(create(), output, bytesMax);
  }

  private constructor(stream: Transform, output: (bytes: Uint8Array) => void, bytesMax: number) {
    this.#stream = stream;
    this.#output = output;
    this.#bytesMax = bytesMax;
    stream.on("data", (bytes: Uint8Array) => this.#decoded(bytes));
    stream.on("error", () => this.#stop("bad_encoding"));
  }

  /** Why decoding stopped early; null: it did not. */
  get failure(): ParseFailure | null {
    return this.#failure;
  }

  /** Resolves when all that these bytes decode to has been put out. @throws what `output` threw */
  push(bytes: Uint8Array): Promise<void> {
    return this.#wait((done) => this.#stream.write(bytes, done));
  }

  /** Resolves when everything has been put out. */
  finish(): Promise<void> {
    return this.#wait((done) => {
      this.#stream.once("end", done);
      this.#stream.end();
    });
  }

  stop(): void {
    this.#stream.destroy();
    this.#settle?.();
  }

  async #wait(start: (done: () => void) => void): Promise<void> {
    if (this.#failure === null) {
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
        start(resolve);
      });
      this.#settle = null;
    }
    if (this.#thrown !== null) throw this.#thrown;
  }

  #decoded(bytes: Uint8Array): void {
    if (this.#failure !== null) return;
    this.#bytes += bytes.length;
    if (this.#bytes > this.#bytesMax) {
      this.#stop("body_too_large");
      return;
    }
    try {
      this.#output(bytes);
    } catch (error) {
      this.#thrown = error;
      this.#stop("bad_encoding");
    }
  }

  #stop(failure: ParseFailure): void {
    this.#failure ??= failure;
    this.stop();
  }
}
