/**
 * Reads the body of an answer that refuses an upgrade, as far as it is worth passing on.
 *
 * Owns: the three ways in which HTTP/1.1 delimits a body (RFC 9112 section 6). Does not own: the
 * head.
 * Invariant: never holds more than 64 KiB of body.
 */

import { Buffer } from "node:buffer";

import { type HeaderPairs, headerValues, type ResponseHead } from "./handshake.ts";

const BODY_BYTES_MAX = 64 * 1024;
/** A size line of a chunk with its extensions, or a line of the trailer. */
const LINE_BYTES_MAX = 4096;

export class RefusalReader {
  readonly status: number;
  readonly headers: HeaderPairs;
  readonly #chunked: boolean;
  readonly #length: number;
  #parts: Uint8Array[] = [];
  #size = 0;
  /** Chunked only: not parsed yet, and what is left of the current chunk (-1: its size line). */
  #rest: Buffer = Buffer.alloc(0);
  #chunkLeft = -1;
  #done: boolean;

  constructor(head: ResponseHead) {
    this.status = head.status;
    this.headers = head.headers;
    const coding = headerValues(head.headers, "transfer-encoding").join().toLowerCase();
    this.#chunked = coding.split(",").at(-1)?.trim() === "chunked";
    const length = headerValues(head.headers, "content-length")[0] ?? "";
    this.#length = /^[0-9]{1,15}$/.test(length) ? Number(length) : BODY_BYTES_MAX;
    const bodiless = head.status === 204 || head.status === 304;
    this.#done = bodiless || (!this.#chunked && this.#length === 0);
  }

  /** The body is complete, or as long as we keep one. */
  get done(): boolean {
    return this.#done;
  }

  /** What was read of it so far. */
  get body(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  push(bytes: Uint8Array): void {
    if (this.#done) return;
    if (this.#chunked) this.#unchunk(Buffer.concat([this.#rest, bytes]));
    else this.#take(bytes, Math.min(this.#length, BODY_BYTES_MAX));
  }

  #take(bytes: Uint8Array, sizeMax: number): void {
    const part = new Uint8Array(bytes.subarray(0, sizeMax - this.#size));
    this.#parts.push(part);
    this.#size += part.length;
    if (this.#size >= sizeMax) this.#done = true;
  }

  #unchunk(bytes: Buffer): void {
    let at = 0;
    while (!this.#done && at < bytes.length) {
      if (this.#chunkLeft > 0) {
        const count = Math.min(this.#chunkLeft, bytes.length - at);
        this.#take(bytes.subarray(at, at + count), BODY_BYTES_MAX);
        this.#chunkLeft -= count;
        at += count;
        continue;
      }
      const end = bytes.indexOf("\r\n", at);
      if (end === -1) {
        if (bytes.length - at > LINE_BYTES_MAX) this.#done = true;
        break;
      }
      this.#line(bytes.toString("latin1", at, end));
      at = end + 2;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  /** A size line, or the empty one behind a chunk. Trailers are of no use to a refusal. */
  #line(line: string): void {
    if (this.#chunkLeft === 0) {
      this.#chunkLeft = -1;
      if (line !== "") this.#done = true;
      return;
    }
    const size = /^([0-9A-Fa-f]{1,8})[\t ]*(?:;.*)?$/.exec(line)?.[1];
    const length = size === undefined ? 0 : Number.parseInt(size, 16);
    if (length === 0) this.#done = true;
    else this.#chunkLeft = length;
  }
}
