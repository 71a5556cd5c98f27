/**
 * Undoes the content encoding of an answer for its reader, beside the bytes that are forwarded.
 *
 * Owns: the decompressors of `node:zlib`, and the cap on what they may produce.
 * Does not own: the forwarded body, which stays encoded.
 * Invariant: what is decoded goes to the reader piece by piece as it is produced, so that memory
 * does not grow with it. Beyond `bytesMax`, or when the data is damaged, decoding stops, `failure`
 * says why, and the body goes on.
 */

import type { Transform } from "node:stream";
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from "node:zlib";
import type { ParseFailure } from "./row.ts";

/** Makes a decompressor for a body that begins with these two bytes. */
type Start = (head: Uint8Array) => Transform;

const DECODERS: ReadonlyMap<string, Start> = new Map<string, Start>([
  ["gzip", () => createGunzip()],
  ["x-gzip", () => createGunzip()],
  ["deflate", (head) => (isZlib(head) ? createInflate() : createInflateRaw())],
  ["br", () => createBrotliDecompress()],
  ["zstd", () => createZstdDecompress()],
]);

/** No answer is decoded beyond this: it costs seconds, and no model says so much. */
const DECODED_BYTES_MAX = 1 << 30;
const HEAD_BYTES = 2;

export class ContentDecoder {
  readonly #create: Start;
  /** The first bytes, until there are enough to know the format. */
  #head: Uint8Array = new Uint8Array(0);
  #stream: Transform | null = null;
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
    bytesMax: number = DECODED_BYTES_MAX,
  ): ContentDecoder | null {
    const create = DECODERS.get(encoding.trim().toLowerCase());
    return create === undefined ? null : new ContentDecoder(create, output, bytesMax);
  }

  private constructor(create: Start, output: (bytes: Uint8Array) => void, bytesMax: number) {
    this.#create = create;
    this.#output = output;
    this.#bytesMax = bytesMax;
  }

  /** Why decoding stopped early; null: it did not. */
  get failure(): ParseFailure | null {
    return this.#failure;
  }

  /** Resolves when all that these bytes decode to has been put out. @throws what `output` threw */
  push(bytes: Uint8Array): Promise<void> {
    if (this.#stream !== null) return this.#write(this.#stream, bytes);
    const head = new Uint8Array(this.#head.length + bytes.length);
    head.set(this.#head);
    head.set(bytes, this.#head.length);
    this.#head = head;
    if (head.length < HEAD_BYTES) return Promise.resolve();
    return this.#write(this.#start(), head);
  }

  /** Resolves when everything has been put out. */
  async finish(): Promise<void> {
    const stream = this.#stream ?? this.#start();
    if (this.#head.length > 0) await this.#write(stream, this.#head);
    await this.#wait((done) => {
      stream.once("end", done);
      stream.end();
    });
  }

  stop(): void {
    this.#stream?.destroy();
    this.#settle?.();
  }

  #start(): Transform {
    const stream = this.#create(this.#head);
    this.#stream = stream;
    stream.on("data", (bytes: Uint8Array) => this.#decoded(bytes));
    stream.on("error", () => this.#stop("bad_encoding"));
    return stream;
  }

  #write(stream: Transform, bytes: Uint8Array): Promise<void> {
    this.#head = new Uint8Array(0);
    return this.#wait((done) => stream.write(bytes, done));
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

/** Whether a `deflate` body has the header of RFC 9110 8.4.1.2, which many senders leave out. */
function isZlib(head: Uint8Array): boolean {
  const [method = 0, flags = 0] = head;
  return (method & 0x8f) === 8 && (method * 256 + flags) % 31 === 0;
}
