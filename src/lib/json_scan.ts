/**
 * Where the fields of a JSON text are, without building its values.
 *
 * Owns: a scanner that checks the whole text against RFC 8259 and gives the spans of the fields
 * that were asked for, and edits that change one field and leave every other character as it was.
 * Does not own: what a field means.
 * Invariant: `scanObject` accepts exactly the texts that `JSON.parse` turns into an object, and
 * finds under a key the very value that `JSON.parse` would leave there (the last one, where a key
 * repeats), however the key is escaped. The skipping is native search, so a long string costs next
 * to nothing.
 */

import { Buffer, isUtf8 } from "node:buffer";

/** Half open, in the units of the scanned text. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The span of a value, and where its key begins (at the quote). */
interface Field extends Span {
  readonly keyStart: number;
}

export interface ObjectScan {
  /** The object itself, braces included. */
  readonly span: Span;
  /** In the order of the keys asked for; null: the object has no such key. */
  readonly fields: readonly (Field | null)[];
  /**
   * The first of those keys that the object names twice, or in other letter case, which some
   * parsers take for the same; null: none.
   */
  readonly duplicate: string | null;
}

/** Replaces `[start, end)` by `insert`. */
export interface Edit extends Span {
  readonly insert: string;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const ASCII_MAX = 0x7f;
/** What makes an ASCII capital small. */
const SMALL = 0x20;

/** Characters of a string that are looked at one by one. */
const NEAR = 24;

const CONTROL = /[\u0000-\u001f]/g;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/**
 * Scans a text that must be one JSON object.
 * @returns null when it is not: no JSON, truncated, followed by more, a byte order mark, no object
 */
export function scanObject(text: string, keys: readonly string[]): ObjectScan | null {
  const scanner = new Scanner(text);
  const scan = scanner.object(scanner.space(0), keys);
  return scan !== null && scanner.space(scan.span.end) === text.length ? scan : null;
}

/**
 * Scans a value inside a text that `scanObject` has accepted.
 * @returns null when the value is no object
 */
export function scanWithin(text: string, span: Span, keys: readonly string[]): ObjectScan | null {
  // Of the value alone: what a scanner looks for ahead, it looks for up to the end of its text.
  const scan = new Scanner(text.slice(span.start, span.end)).object(0, keys);
  return scan && shifted(scan, span.start);
}

function shifted({ span, fields, duplicate }: ObjectScan, by: number): ObjectScan {
  return {
    span: { start: span.start + by, end: span.end + by },
    fields: fields.map(
      (field) =>
        field && {
          keyStart: field.keyStart + by,
          start: field.start + by,
          end: field.end + by,
        },
    ),
    duplicate,
  };
}

/**
 * The elements of an array inside a text that `scanObject` has accepted.
 * @returns null when the value is no array
 */
export function scanElements(text: string, span: Span): Span[] | null {
  if (text.charCodeAt(span.start) !== OPEN_BRACKET) return null;
  const scanner = new Scanner(text);
  const elements: Span[] = [];
  let at = scanner.space(span.start + 1);
  while (text.charCodeAt(at) !== CLOSE_BRACKET) {
    const end = scanner.value(at);
    elements.push({ start: at, end });
    at = scanner.space(end);
    if (text.charCodeAt(at) === COMMA) at = scanner.space(at + 1);
  }
  return elements;
}

/** The string that a value is, decoded; null: it is none. */
export function stringAt(text: string, span: Span | null | undefined): string | null {
  if (!span || text.charCodeAt(span.start) !== QUOTE) return null;
  const raw = text.slice(span.start + 1, span.end - 1);
  if (!raw.includes("\\")) return raw;
  const decoded: unknown = JSON.parse(text.slice(span.start, span.end));
  return typeof decoded === "string" ? decoded : null;
}

/** Whether a value is exactly this literal, such as `true`. */
export function literalAt(text: string, span: Span | null | undefined, literal: string): boolean {
  if (!span || span.end - span.start !== literal.length) return false;
  return text.startsWith(literal, span.start);
}

/**
 * UTF-8 bytes as a text with one character a byte, so that spans are byte offsets. Only ASCII reads
 * right in it. Null: the bytes are not UTF-8.
 */
export function byteText(bytes: Uint8Array): string | null {
  if (!isUtf8(bytes)) return null;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** Puts another value in a field's place. */
export function replaceValue(field: Span, json: string): Edit {
  return { start: field.start, end: field.end, insert: json };
}

/** Adds a field in front of the others. `object` is the span of the object, braces included. */
export function insertField(text: string, object: Span, key: string, json: string): Edit {
  const at = object.start + 1;
  const empty = text.charCodeAt(skipSpace(text, at)) === CLOSE_BRACE;
  return { start: at, end: at, insert: `${JSON.stringify(key)}:${json}${empty ? "" : ","}` };
}

/** Takes a field out, with the one comma that goes with it. */
export function removeField(text: string, field: Field): Edit {
  const after = skipSpace(text, field.end);
  if (text.charCodeAt(after) === COMMA) {
    return { start: field.keyStart, end: skipSpace(text, after + 1), insert: "" };
  }
  let before = field.keyStart - 1;
  while (isSpace(text.charCodeAt(before))) before--;
  const isFirst = text.charCodeAt(before) === OPEN_BRACE;
  return { start: isFirst ? field.keyStart : before, end: field.end, insert: "" };
}

/** The text after an edit. */
export function editText(text: string, edit: Edit): string {
  return text.slice(0, edit.start) + edit.insert + text.slice(edit.end);
}

/** The bytes after an edit whose span was found in their `byteText`. */
export function editBytes(bytes: Uint8Array, edit: Edit): Uint8Array {
  const insert = Buffer.from(edit.insert, "utf8");
  const edited = new Uint8Array(bytes.length - (edit.end - edit.start) + insert.length);
  edited.set(bytes.subarray(0, edit.start));
  edited.set(insert, edit.start);
  edited.set(bytes.subarray(edit.end), edit.start + insert.length);
  return edited;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** The key that a name is to whoever takes capitals for small letters; null: of none. */
export function sameButForCase(keys: readonly string[], name: string): string | null {
  const folded = foldCase(name);
  return keys.find((key) => foldCase(key) === folded) ?? null;
}

/** Over the capitals, since some letters share one: `ſ` and `s`. */
function foldCase(name: string): string {
  return name.toUpperCase().toLowerCase();
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** Every method takes the position of a token and returns the one behind it, or -1. */
class Scanner {
  readonly #text: string;
  /** The first backslash, and the first control character, not before the last string looked at. */
  #backslash = -1;
  #control = -1;
  /** Whether the last string has escapes in it. */
  #escaped = false;

  constructor(text: string) {
    this.#text = text;
  }

  space(at: number): number {
    return skipSpace(this.#text, at);
  }

  object(start: number, keys: readonly string[]): ObjectScan | null {
    const text = this.#text;
    if (text.charCodeAt(start) !== OPEN_BRACE) return null;
    const fields: (Field | null)[] = keys.map(() => null);
    let duplicate: string | null = null;
    let at = this.space(start + 1);
    if (text.charCodeAt(at) === CLOSE_BRACE) {
      return { span: { start, end: at + 1 }, fields, duplicate };
    }
    for (;;) {
      const keyStart = at;
      const keyEnd = text.charCodeAt(at) === QUOTE ? this.#string(at) : -1;
      if (keyEnd === -1) return null;
      const index = this.#indexOfKey(keys, keyStart, keyEnd);
      if (index === -1) duplicate ??= this.#variantOf(keys, keyStart, keyEnd);
      const value = this.#colon(keyEnd);
      if (value === -1) return null;
      const end = this.value(value);
      if (end === -1) return null;
      if (index !== -1) {
        if (fields[index] !== null) duplicate ??= keys[index] ?? null;
        fields[index] = { keyStart, start: value, end };
      }
      at = this.space(end);
      const separator = text.charCodeAt(at);
      if (separator === CLOSE_BRACE) return { span: { start, end: at + 1 }, fields, duplicate };
      if (separator !== COMMA) return null;
      at = this.space(at + 1);
    }
  }

  /** Which of the keys the string is that was passed last. */
  #indexOfKey(keys: readonly string[], start: number, end: number): number {
    const text = this.#text;
    if (this.#escaped) {
      const decoded: unknown = JSON.parse(text.slice(start, end));
      return typeof decoded === "string" ? keys.indexOf(decoded) : -1;
    }
    const length = end - start - 2;
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index];
      if (key?.length === length && text.startsWith(key, start + 1)) return index;
    }
    return -1;
  }

  /** Which of the keys that string, which is none of them, is in other letter case; null: none. */
  #variantOf(keys: readonly string[], start: number, end: number): string | null {
    const text = this.#text;
    if (this.#escaped) {
      const decoded: unknown = JSON.parse(text.slice(start, end));
      return typeof decoded === "string" ? sameButForCase(keys, decoded) : null;
    }
    const length = end - start - 2;
    const first = text.charCodeAt(start + 1);
    for (const key of keys) {
      const isNear = (first | SMALL) === (key.charCodeAt(0) | SMALL) || first > ASCII_MAX;
      if (key.length !== length || !isNear) continue;
      return sameButForCase(keys, text.slice(start + 1, end - 1));
    }
    return null;
  }

  #colon(at: number): number {
    const colon = this.space(at);
    return this.#text.charCodeAt(colon) === COLON ? this.space(colon + 1) : -1;
  }

  /** A key and its colon: the position of the value. */
  #key(at: number): number {
    const end = this.#text.charCodeAt(at) === QUOTE ? this.#string(at) : -1;
    return end === -1 ? -1 : this.#colon(end);
  }

  value(at: number): number {
    const code = this.#text.charCodeAt(at);
    if (code === OPEN_BRACE || code === OPEN_BRACKET) return this.#container(at);
    return this.#scalar(at);
  }

  #scalar(at: number): number {
    const text = this.#text;
    const code = text.charCodeAt(at);
    if (code === QUOTE) return this.#string(at);
    if (code === 0x74) return text.startsWith("true", at) ? at + 4 : -1;
    if (code === 0x66) return text.startsWith("false", at) ? at + 5 : -1;
    if (code === 0x6e) return text.startsWith("null", at) ? at + 4 : -1;
    NUMBER.lastIndex = at;
    return NUMBER.test(text) ? NUMBER.lastIndex : -1;
  }

  /** An array or object with all it holds; a loop, because the depth is the sender's choice. */
  #container(start: number): number {
    const text = this.#text;
    const closers: number[] = [];
    let at = start;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === OPEN_BRACE || code === OPEN_BRACKET) {
        const closer = code === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET;
        at = this.space(at + 1);
        if (text.charCodeAt(at) === closer) {
          at++;
        } else {
          closers.push(closer);
          if (closer === CLOSE_BRACE) at = this.#key(at);
          if (at === -1) return -1;
          continue;
        }
      } else {
        at = this.#scalar(at);
        if (at === -1) return -1;
      }
      at = this.#afterValue(at, closers);
      if (at === -1 || closers.length === 0) return at;
    }
  }

  /** Closes what ends here, and goes on to the next value of what does not. */
  #afterValue(from: number, closers: number[]): number {
    const text = this.#text;
    let at = from;
    while (closers.length > 0) {
      at = this.space(at);
      const code = text.charCodeAt(at);
      const closer = closers[closers.length - 1];
      if (code === COMMA) {
        at = this.space(at + 1);
        return closer === CLOSE_BRACE ? this.#key(at) : at;
      }
      if (code !== closer) return -1;
      closers.pop();
      at++;
    }
    return at;
  }

  #string(start: number): number {
    const text = this.#text;
    this.#escaped = false;
    // Most strings are short, and a native search costs more to call than they take to read.
    const near = start + 1 + NEAR;
    for (let at = start + 1; at < near; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) return at + 1;
      if (code === BACKSLASH) break;
      // Also when the text ends here: NaN is not at least a space.
      if (!(code >= 0x20)) return -1;
    }
    return this.#longString(start);
  }

  #longString(start: number): number {
    const text = this.#text;
    let close = text.indexOf('"', start + 1);
    if (close === -1) return -1;
    if (this.#backslash <= start) this.#findBackslash(start + 1);
    while (this.#backslash < close) {
      this.#escaped = true;
      ESCAPE.lastIndex = this.#backslash;
      if (!ESCAPE.test(text)) return -1;
      const next = ESCAPE.lastIndex;
      if (next > close) close = text.indexOf('"', next);
      if (close === -1) return -1;
      this.#findBackslash(next);
    }
    if (this.#control <= start) this.#findControl(start + 1);
    return this.#control < close ? -1 : close + 1;
  }

  #findBackslash(from: number): void {
    const found = this.#text.indexOf("\\", from);
    this.#backslash = found === -1 ? this.#text.length : found;
  }

  #findControl(from: number): void {
    CONTROL.lastIndex = from;
    this.#control = CONTROL.test(this.#text) ? CONTROL.lastIndex - 1 : this.#text.length;
  }
}
