/**
 * Whether a JSON text can name a key at all, told without a scan.
 *
 * Owns: the look at every string of the text, and at what stands between them, that spares the
 * scanner the texts that name nothing.
 * Does not own: whether the text is JSON.
 * Invariant: never "none" of a text in which any parser, a lenient one included, could find one of
 * the keys, however it is written, in capitals too: between the strings there is nothing but JSON's
 * own characters, so that there are no comments, no other quotes and no keys without quotes. "Some"
 * says nothing.
 * The searching is native, so that a long string costs next to nothing.
 */

import { isAscii } from "node:buffer";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** A text of more strings than this is one for the scanner, which gets on faster with those. */
const STRINGS_MAX = 32;

/** The most that may stand between two strings. */
const GAP_MAX = 64;

/** A character of a key at its longest: `\U00000061`, as some lenient parsers have it. */
const ESCAPE_CHARS = 10;

const LETTER_A = 0x61;
/** What makes an ASCII capital small, and leaves the characters of keys apart. */
const SMALL = 0x20;

/** By character code: JSON's structure, white space, numbers, and the letters of its literals. */
const BETWEEN_STRINGS = new Uint8Array(128);
for (const char of "{}[]:, \t\r\n0123456789+-.eEtrufalsn") {
  BETWEEN_STRINGS[char.charCodeAt(0)] = 1;
}

/** An escape that may stand for a character of a key: as its number, or as lenient parsers do. */
const SPELLING = /\\[^"\\/bfnrt]/;
/** By character code: what stands behind the backslash of every other. */
const PLAIN_ESCAPES = new Uint8Array(256);
for (const char of '"\\/bfnrt') PLAIN_ESCAPES[char.charCodeAt(0)] = 1;

/** The answer of `glance` where a text names one of the keys, or may. */
export const NAMES_SOME = -1;
/** Its answer where a text names none of them, and not `once` either. */
export const NAMES_NONE = 0;

/** What to look for, prepared. */
export interface Names {
  readonly keys: readonly string[];
  readonly once: string;
  /** Bit n is set where a key begins with the nth letter. */
  readonly initials: number;
  /** A string with more characters than this is none of the keys, whatever escapes it has. */
  readonly charsMax: number;
}

/**
 * @param keys of ASCII letters and `_`, with a letter first
 * @param once the one of them that may occur, but not twice
 */
export function namesOf(keys: readonly string[], once: string): Names {
  const initials = keys.reduce((bits, key) => bits | letterBit(key.charCodeAt(0)), 0);
  const charsMax = ESCAPE_CHARS * Math.max(...keys.map((key) => key.length));
  return { keys, once, initials, charsMax };
}

/**
 * @param json text, or bytes
 * @returns true: none of its strings is one of the keys, but for a single `once`. False: it may be
 *   otherwise
 */
export function namesNone(json: string | Uint8Array, names: Names): boolean {
  return glance(json, names) !== NAMES_SOME;
}

/**
 * The same, and where `once` stands.
 * @returns `NAMES_SOME`, `NAMES_NONE`, or the position behind a single `once`, quotes included
 */
export function glance(
  json: string | Uint8Array,
  { keys, once, initials, charsMax }: Names,
): number {
  const end = json.length;
  if (codeAt(json, 0) !== OPEN_BRACE || codeAt(json, end - 1) !== CLOSE_BRACE) return NAMES_SOME;
  // What is no ASCII may be left out by whoever cannot read it as UTF-8.
  if (typeof json !== "string" && !isAscii(json)) return NAMES_SOME;
  let seen = NAMES_NONE;
  /** Where the stretch begins in which a string may be a key: behind the last long one. */
  let from = 0;
  let open = openFrom(json, 0);
  for (let strings = 0; open !== end; strings++) {
    const start = open + 1;
    const close = open === -1 || strings === STRINGS_MAX ? -1 : closeOf(json, start);
    if (close === -1) return NAMES_SOME;
    const length = close - start;
    if (length > charsMax) {
      if (spellsOut(json, from, start)) return NAMES_SOME;
      from = close;
    } else if (length > 0 && mayBegin(codeAt(json, start), initials)) {
      if (!isPlain(json, start, close)) return NAMES_SOME;
      if (isLikeOneOf(json, start, length, keys)) {
        if (seen !== NAMES_NONE || !isAt(json, start, once)) return NAMES_SOME;
        seen = close + 1;
      }
    }
    open = openFrom(json, close + 1);
  }
  return spellsOut(json, from, end) ? NAMES_SOME : seen;
}

/**
 * Whether the value of a key is a string other than `text`, however that is written.
 * @param key where the key ends, quotes included, in a text that `glance` has told of
 * @param text of letters and dots
 */
export function isOtherString(json: string | Uint8Array, key: number, text: string): boolean {
  const colon = skipSpace(json, key);
  if (codeAt(json, colon) !== COLON) return false;
  const open = skipSpace(json, colon + 1);
  if (codeAt(json, open) !== QUOTE) return false;
  for (let index = 0; index < text.length; index++) {
    const code = codeAt(json, open + 1 + index);
    // An escape may be any character.
    if (code !== text.charCodeAt(index)) return code !== BACKSLASH;
  }
  const next = codeAt(json, open + 1 + text.length);
  return next !== QUOTE && next !== BACKSLASH;
}

function skipSpace(json: string | Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const code = codeAt(json, at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    at++;
  }
}

function codeAt(json: string | Uint8Array, at: number): number {
  return typeof json === "string" ? json.charCodeAt(at) : (json[at] ?? 0);
}

/** The quote that begins the next string, or the end of the text; -1: other things come before. */
function openFrom(json: string | Uint8Array, from: number): number {
  const end = json.length;
  const far = Math.min(end, from + GAP_MAX);
  for (let at = from; at < far; at++) {
    const code = codeAt(json, at);
    if (code === QUOTE) return at;
    if (BETWEEN_STRINGS[code] !== 1) return -1;
  }
  return far === end ? end : -1;
}

/** The quote that ends a string: the first that is not escaped. */
function closeOf(json: string | Uint8Array, start: number): number {
  let close = quoteFrom(json, start);
  while (close !== -1 && isEscaped(json, close, start)) close = quoteFrom(json, close + 1);
  return close;
}

function quoteFrom(json: string | Uint8Array, at: number): number {
  return typeof json === "string" ? json.indexOf('"', at) : json.indexOf(QUOTE, at);
}

/** Whether an odd number of backslashes stands before a character of a string. */
function isEscaped(json: string | Uint8Array, at: number, start: number): boolean {
  let before = at;
  while (before > start && codeAt(json, before - 1) === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}

/** Whether a string may have characters of a key in escapes. */
function spellsOut(json: string | Uint8Array, start: number, end: number): boolean {
  if (typeof json === "string") {
    const stretch = json.slice(start, end);
    return stretch.includes("\\") && SPELLING.test(stretch);
  }
  for (let at = start; at < end; at++) {
    if (json[at] === BACKSLASH && PLAIN_ESCAPES[json[at + 1] ?? 0] !== 1) return true;
  }
  return false;
}

function letterBit(code: number): number {
  return 1 << ((code | SMALL) - LETTER_A);
}

/** Whether a key may begin so. Of what is no plain character, nobody knows who leaves it out. */
function mayBegin(code: number, initials: number): boolean {
  return (letterBit(code) & initials) !== 0 || !isPlainChar(code);
}

function isPlainChar(code: number): boolean {
  return code >= 0x20 && code < 0x7f;
}

/**
 * Whether a string has none of the characters that somebody might leave out, or take for others:
 * control characters, and what is no ASCII, such as the Kelvin sign.
 */
function isPlain(json: string | Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (!isPlainChar(codeAt(json, at))) return false;
  return true;
}

/** Whether a string is one of the keys, or may be to whoever takes capitals for small letters. */
function isLikeOneOf(
  json: string | Uint8Array,
  start: number,
  length: number,
  keys: readonly string[],
): boolean {
  for (const key of keys) if (key.length === length && isLike(json, start, key)) return true;
  return false;
}

function isLike(json: string | Uint8Array, start: number, key: string): boolean {
  for (let index = 0; index < key.length; index++) {
    const code = codeAt(json, start + index);
    if ((code | SMALL) !== (key.charCodeAt(index) | SMALL)) return false;
  }
  return true;
}

/** No byte of a character that takes several is ASCII, so that bytes compare as characters do. */
function isAt(json: string | Uint8Array, start: number, key: string): boolean {
  if (typeof json === "string") return json.startsWith(key, start);
  for (let index = 0; index < key.length; index++) {
    if (json[start + index] !== key.charCodeAt(index)) return false;
  }
  return true;
}
