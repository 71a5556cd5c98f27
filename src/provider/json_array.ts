/**
 * Cuts the objects out of a JSON array as its bytes pass.
 *
 *   [{…},
 *   {…}]
 *
 * Owns: where an object begins and ends, wherever the chunks do.
 * Does not own: whether an object is valid JSON, which its reader finds out, and the forwarding.
 * Invariant: the same objects come out however the bytes are split. One that lies in one chunk is
 * given as a range of that chunk, without a copy; what is kept is one object of at most
 * `objectBytesMax`.
 */

import { ByteBuffer } from "./sse.ts";

/** @param source holds the object in `[start, end)`; valid during the call only */
type ObjectHandler = (source: Uint8Array, start: number, end: number) => void;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export class JsonArraySplitter {
  readonly #handle: ObjectHandler;
  readonly #objectBytesMax: number;
  #state: "before" | "array" | "over" | "no_array" = "before";
  /** Brackets that are open, the array's own included. */
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  /** The beginning of an object that goes on in the next chunk. */
  readonly #kept = new ByteBuffer();
  /** Where the object begins in the current chunk; -1: outside of one. */
  #from = -1;
  /** Behind the object that is being handed out. */
  #end = 0;
  #isOversized = false;
  #oversizedObjects = 0;

  constructor(handle: ObjectHandler, objectBytesMax: number) {
    this.#handle = handle;
    this.#objectBytesMax = objectBytesMax;
  }

  /** Whether the array's closing bracket has passed. */
  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Whether it began as one. */
  get isArray(): boolean {
    return this.#state === "array" || this.#state === "over";
  }

  /** Objects that were dropped because they were too large. */
  get oversizedObjects(): number {
    return this.#oversizedObjects;
  }

  /** In the handler: the offset in the current chunk behind the object. */
  get objectEnd(): number {
    return this.#end;
  }

  /** Bytes so far of an object that is not over and is being kept. */
  get openBytes(): number {
    return this.#kept.length;
  }

  push(chunk: Uint8Array): void {
    let at = this.#state === "before" ? this.#begin(chunk) : 0;
    if (this.#state !== "array") return;
    while (at < chunk.length && this.#state === "array") {
      at = this.#inString ? this.#string(chunk, at) : this.#token(chunk, at);
    }
    if (this.#from === -1) return;
    this.#keep(chunk, chunk.length);
    this.#from = 0;
  }

  /** Looks for the opening bracket, and returns the position behind it. */
  #begin(chunk: Uint8Array): number {
    const at = chunk.findIndex((code) => code > 0x20);
    if (at === -1) return chunk.length;
    this.#state = chunk[at] === OPEN_BRACKET ? "array" : "no_array";
    this.#depth = 1;
    return at + 1;
  }

  #token(chunk: Uint8Array, at: number): number {
    const code = chunk[at];
    if (code === QUOTE) this.#inString = true;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (this.#depth === 1) this.#from = at;
      this.#depth++;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      this.#depth--;
      if (this.#depth === 1) this.#objectEnds(chunk, at + 1);
      else if (this.#depth === 0) this.#state = "over";
    }
    return at + 1;
  }

  #string(chunk: Uint8Array, at: number): number {
    if (this.#isEscaped) {
      this.#isEscaped = false;
      return at + 1;
    }
    let end = at;
    while (end < chunk.length && chunk[end] !== QUOTE && chunk[end] !== BACKSLASH) end++;
    if (chunk[end] === QUOTE) this.#inString = false;
    else if (chunk[end] === BACKSLASH) this.#isEscaped = true;
    return end + 1;
  }

  #objectEnds(chunk: Uint8Array, end: number): void {
    this.#end = end;
    const from = this.#from;
    const isWhole = this.#kept.length === 0 && !this.#isOversized;
    if (!isWhole || end - from > this.#objectBytesMax) this.#keep(chunk, end);
    const { bytes, length } = this.#kept;
    const isOversized = this.#isOversized;
    this.#from = -1;
    this.#isOversized = false;
    this.#kept.clear();
    if (isOversized) this.#oversizedObjects++;
    else if (length > 0) this.#handle(bytes, 0, length);
    else this.#handle(chunk, from, end);
  }

  #keep(chunk: Uint8Array, end: number): void {
    if (this.#kept.length + end - this.#from > this.#objectBytesMax) this.#isOversized = true;
    if (this.#isOversized) this.#kept.clear();
    else this.#kept.append(chunk, this.#from, end);
  }
}
