/**
 * The wanted fields of a JSON object that streams by, whatever its size.
 *
 * Owns: a scanner that can stop at any byte, checks all of them against RFC 8259 and UTF-8, and
 * keeps the top-level fields that were asked for.
 * Does not own: what a field means; the text that it gives is read like any other
 * (`json_scan.ts`).
 * Invariant: it accepts what `scanObject` accepts, nesting beyond `DEPTH_MAX` aside, and keeps the
 * value that `scanObject` would find. Memory is bounded by the keys, `valueBytesMax` and the depth:
 * of a string inside a kept value only the beginning is kept, and what is not wanted is not kept.
 */

import { Buffer } from "node:buffer";
import { Utf8Check } from "./utf8_check.ts";

/** What is kept of a string inside a value. An escape has six bytes: at least 341 characters. */
const STRING_BYTES_MAX = 2048;
const ESCAPE_BYTES_MAX = 6;
/** Longest key, as it is written, that can be a wanted one. */
const KEY_CHARS_MAX = 1024;
/** Deepest nesting that is followed; what goes deeper is taken as no JSON. */
export const DEPTH_MAX = 1 << 20;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Characters of a string that are looked at one by one. */
const NEAR = 24;
const CONTROL = /[\u0000-\u001f]/g;
const HEX = /[0-9a-fA-F]/;
const ESCAPED = '"\\/bfnrt';

/** What may come next, between tokens or inside of one. */
type State =
  | "value"
  | "value_or_end"
  | "key"
  | "key_or_end"
  | "colon"
  | "comma_or_end"
  | "string"
  | "escape"
  | "hex"
  | "number"
  | "literal"
  | "over"
  | "failed";

/** How far a number has come. A number may end where it is a whole one already. */
type NumberState = "sign" | "zero" | "whole" | "point" | "fraction" | "e" | "e_sign" | "exponent";
const NUMBER_ENDS: ReadonlySet<NumberState> = new Set(["zero", "whole", "fraction", "exponent"]);

export class JsonFieldStream {
  readonly #keys: readonly string[];
  readonly #valueBytesMax: number;
  readonly #values: (string | null)[];
  readonly #utf8 = new Utf8Check();
  #state: State = "value";
  #isTooLarge = false;
  /** The closing brackets that are due, innermost last. */
  #closers = new Uint8Array(64);
  #depth = 0;
  #number: NumberState = "sign";
  /** What is still to come of a literal, or how many digits of an escape. */
  #literal = "";
  #hexLeft = 0;

  /** The bytes that are looked at, and the same with one character a byte. */
  #chunk: Uint8Array = new Uint8Array(0);
  #text = "";
  /** The first of each in the chunk not before the last place that was asked for. */
  #quoteAt = -1;
  #backslashAt = -1;
  #controlAt = -1;

  #inKey = false;
  /** The top-level key so far; the rest of it begins at `#keyFrom`. */
  #key = "";
  #keyFrom = -1;
  /** The key whose value is kept; -1: none. */
  #wanted = -1;
  #kept = new Uint8Array(0);
  #keptBytes = 0;
  /** Where in the chunk begins what is not kept yet; -1: it is not to be kept. */
  #keepFrom = -1;
  #stringBytes = 0;

  /** @param valueBytesMax a longer value is not kept, which `isTooLarge` tells */
  constructor(keys: readonly string[], valueBytesMax: number) {
    this.#keys = keys;
    this.#valueBytesMax = valueBytesMax;
    this.#values = keys.map(() => null);
  }

  /** Whether a wanted value was too large to be kept. */
  get isTooLarge(): boolean {
    return this.#isTooLarge;
  }

  push(bytes: Uint8Array): void {
    if (this.#state === "failed" || bytes.length === 0) return;
    if (!this.#utf8.push(bytes)) this.#state = "failed";
    this.#chunk = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    this.#quoteAt = this.#backslashAt = this.#controlAt = -1;
    const { length } = this.#text;
    for (let at = 0; at < length && at !== -1;) at = this.#step(at);
    if (this.#keepFrom !== -1) {
      this.#keep(length);
      this.#keepFrom = this.#wanted === -1 ? -1 : 0;
    }
    if (this.#keyFrom !== -1) {
      this.#keepKey(length);
      this.#keyFrom = 0;
    }
    this.#chunk = EMPTY;
    this.#text = "";
  }

  /**
   * The object so far with only the wanted fields, long strings cut; null: the bytes are not one
   * whole JSON object.
   */
  object(): string | null {
    if (this.#state !== "over" || !this.#utf8.isWhole) return null;
    const fields = this.#keys.flatMap((key, index) => {
      const value = this.#values[index] ?? null;
      return value === null ? [] : [`${JSON.stringify(key)}:${value}`];
    });
    return `{${fields.join(",")}}`;
  }

  /** Goes on at `at`, and returns where it got to; -1: this is no JSON object. */
  #step(at: number): number {
    const state = this.#state;
    if (state === "string") return this.#string(at);
    if (state === "number") return this.#numberPart(at);
    if (state === "escape") return this.#escape(at);
    if (state === "hex") return this.#hex(at);
    if (state === "literal") return this.#literalPart(at);
    return state === "failed" ? -1 : this.#token(at);
  }

  #fail(): -1 {
    this.#state = "failed";
    this.#wanted = this.#keepFrom = this.#keyFrom = -1;
    this.#kept = EMPTY;
    return -1;
  }

  #token(from: number): number {
    const text = this.#text;
    let at = from;
    let code = text.charCodeAt(at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      code = text.charCodeAt(++at);
    }
    if (at === text.length) return at;
    const state = this.#state;
    if (state === "comma_or_end") return this.#afterValue(at, code);
    if (state === "value") return this.#value(at, code);
    if (state === "over") return this.#fail();
    if (state === "colon") {
      this.#state = "value";
      return code === COLON ? at + 1 : this.#fail();
    }
    if (state === "value_or_end") {
      return code === CLOSE_BRACKET ? this.#valueEnds(at + 1, 1) : this.#value(at, code);
    }
    if (state === "key_or_end" && code === CLOSE_BRACE) return this.#valueEnds(at + 1, 1);
    return code === QUOTE ? this.#keyBegins(at) : this.#fail();
  }

  #afterValue(at: number, code: number): number {
    const closer = this.#closers[this.#depth - 1];
    if (code === COMMA) {
      this.#state = closer === CLOSE_BRACE ? "key" : "value";
      return at + 1;
    }
    return code === closer ? this.#valueEnds(at + 1, 1) : this.#fail();
  }

  #value(at: number, code: number): number {
    if (this.#depth === 0 && code !== OPEN_BRACE) return this.#fail();
    if (this.#depth === 1 && this.#wanted !== -1) this.#keepFrom = at;
    if (code === QUOTE) {
      this.#stringBytes = 0;
      this.#state = "string";
      return at + 1;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) return this.#open(at, code);
    if (code === MINUS || (code >= 0x30 && code <= 0x39)) {
      this.#number = "sign";
      this.#state = "number";
      return code === MINUS ? at + 1 : at;
    }
    this.#literal = code === 0x74 ? "true" : code === 0x66 ? "false" : code === 0x6e ? "null" : "";
    if (this.#literal === "") return this.#fail();
    this.#state = "literal";
    return at;
  }

  #open(at: number, code: number): number {
    if (this.#depth === DEPTH_MAX) return this.#fail();
    if (this.#depth === this.#closers.length) {
      const deeper = new Uint8Array(this.#depth * 2);
      deeper.set(this.#closers);
      this.#closers = deeper;
    }
    const isObject = code === OPEN_BRACE;
    this.#closers[this.#depth++] = isObject ? CLOSE_BRACE : CLOSE_BRACKET;
    this.#state = isObject ? "key_or_end" : "value_or_end";
    return at + 1;
  }

  /** @param closed brackets that end here */
  #valueEnds(end: number, closed = 0): number {
    this.#depth -= closed;
    this.#state = this.#depth === 0 ? "over" : "comma_or_end";
    if (this.#depth !== 1 || this.#wanted === -1) return end;
    this.#keep(end);
    if (this.#wanted !== -1) {
      const { buffer, byteOffset } = this.#kept;
      this.#values[this.#wanted] = Buffer.from(buffer, byteOffset, this.#keptBytes).toString();
    }
    this.#wanted = this.#keepFrom = -1;
    return end;
  }

  #keyBegins(at: number): number {
    this.#inKey = true;
    if (this.#depth === 1) {
      this.#key = "";
      this.#keyFrom = at + 1;
    }
    this.#stringBytes = 0;
    this.#state = "string";
    return at + 1;
  }

  #string(from: number): number {
    const text = this.#text;
    // Most strings are short, and a native search costs more to call than they take to read.
    const near = Math.min(from + NEAR, text.length);
    for (let at = from; at < near; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) return this.#stringEnds(from, at);
      if (code === BACKSLASH) return this.#escapeBegins(from, at);
      if (code < 0x20) return this.#fail();
    }
    return near === text.length ? this.#run(from, near) : this.#longString(from);
  }

  #longString(from: number): number {
    const text = this.#text;
    if (this.#quoteAt < from) this.#quoteAt = orEnd(text.indexOf('"', from), text);
    if (this.#backslashAt < from) this.#backslashAt = orEnd(text.indexOf("\\", from), text);
    if (this.#controlAt < from) {
      CONTROL.lastIndex = from;
      this.#controlAt = CONTROL.test(text) ? CONTROL.lastIndex - 1 : text.length;
    }
    const end = Math.min(this.#quoteAt, this.#backslashAt);
    if (this.#controlAt < end) return this.#fail();
    if (end === text.length) return this.#run(from, end);
    return end === this.#quoteAt ? this.#stringEnds(from, end) : this.#escapeBegins(from, end);
  }

  /** Characters of a string without escapes, of which the first are kept. */
  #run(from: number, end: number): number {
    if (this.#keepFrom === -1) return end;
    const left = STRING_BYTES_MAX - this.#stringBytes;
    this.#stringBytes += end - from;
    // What is cut may be half a character; it stands behind all that is ever read of a string.
    if (end - from > left) this.#keep(from + Math.max(left, 0));
    return end;
  }

  #stringEnds(from: number, at: number): number {
    this.#run(from, at);
    if (this.#wanted !== -1 && this.#keepFrom === -1) this.#keepFrom = at;
    if (!this.#inKey) return this.#valueEnds(at + 1);
    this.#inKey = false;
    this.#state = "colon";
    if (this.#depth === 1) {
      this.#keepKey(at);
      this.#keyFrom = -1;
      this.#wanted = this.#indexOfKey();
      this.#keptBytes = 0;
      // The last one counts where a key repeats.
      if (this.#wanted !== -1) this.#values[this.#wanted] = null;
    }
    return at + 1;
  }

  #escapeBegins(from: number, at: number): number {
    this.#run(from, at);
    if (this.#keepFrom !== -1) {
      if (this.#stringBytes + ESCAPE_BYTES_MAX > STRING_BYTES_MAX) this.#keep(at);
      this.#stringBytes += ESCAPE_BYTES_MAX;
    }
    this.#state = "escape";
    return at + 1;
  }

  #escape(at: number): number {
    const char = this.#text.charAt(at);
    if (char === "u") {
      this.#hexLeft = 4;
      this.#state = "hex";
      return at + 1;
    }
    if (!ESCAPED.includes(char)) return this.#fail();
    this.#state = "string";
    return at + 1;
  }

  #hex(at: number): number {
    if (!HEX.test(this.#text.charAt(at))) return this.#fail();
    if (--this.#hexLeft === 0) this.#state = "string";
    return at + 1;
  }

  #literalPart(from: number): number {
    const text = this.#text;
    let at = from;
    let done = 0;
    while (at < text.length && done < this.#literal.length) {
      if (text.charCodeAt(at++) !== this.#literal.charCodeAt(done++)) return this.#fail();
    }
    this.#literal = this.#literal.slice(done);
    return this.#literal === "" ? this.#valueEnds(at) : at;
  }

  #numberPart(from: number): number {
    const text = this.#text;
    let state = this.#number;
    let at = from;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code >= 0x30 && code <= 0x39) {
        if (state === "whole" || state === "fraction" || state === "exponent") continue;
        if (state === "zero") return this.#fail();
        if (state === "sign") state = code === 0x30 ? "zero" : "whole";
        else state = state === "point" ? "fraction" : "exponent";
      } else if (code === 0x2e && (state === "zero" || state === "whole")) state = "point";
      else if ((code === 0x65 || code === 0x45) && NUMBER_ENDS.has(state) && state !== "exponent") {
        state = "e";
      } else if ((code === 0x2b || code === MINUS) && state === "e") state = "e_sign";
      else return NUMBER_ENDS.has(state) ? this.#valueEnds(at) : this.#fail();
    }
    this.#number = state;
    return at;
  }

  #keepKey(end: number): void {
    if (this.#key.length <= KEY_CHARS_MAX) this.#key += this.#text.slice(this.#keyFrom, end);
  }

  /** Which of the wanted keys was read; -1: none. */
  #indexOfKey(): number {
    if (this.#key.length > KEY_CHARS_MAX) return -1;
    const key: unknown = this.#key.includes("\\") ? JSON.parse(`"${this.#key}"`) : this.#key;
    return typeof key === "string" ? this.#keys.indexOf(key) : -1;
  }

  /** Keeps what is due up to `end`, and nothing after it until `#keepFrom` is set again. */
  #keep(end: number): void {
    const from = this.#keepFrom;
    this.#keepFrom = -1;
    if (from === -1) return;
    const length = this.#keptBytes + end - from;
    if (length > this.#valueBytesMax) {
      this.#isTooLarge = true;
      this.#wanted = -1;
      this.#kept = EMPTY;
      return;
    }
    if (length > this.#kept.length) {
      const grown = new Uint8Array(Math.max(length, this.#kept.length * 2, 256));
      grown.set(this.#kept.subarray(0, this.#keptBytes));
      this.#kept = grown;
    }
    this.#kept.set(this.#chunk.subarray(from, end), this.#keptBytes);
    this.#keptBytes = length;
  }
}

const EMPTY = new Uint8Array(0);

function orEnd(index: number, text: string): number {
  return index === -1 ? text.length : index;
}
