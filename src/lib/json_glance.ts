/**
 * Whether a JSON text can name a key at all, told without a scan.
 *
 * Owns: the look at every string of the text that spares the scanner the texts that name nothing.
 * Does not own: whether the text is JSON. Whoever trusts the answer has to have that checked.
 * Invariant: never true of a JSON text that names one of the keys, however it is written. A false
 * answer says nothing. All the searching is native, so that a long string costs next to nothing.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A text of more strings than this is one for the scanner, which gets on faster with those. */
const STRINGS_MAX = 32;

/** A character of a key at its longest, as in `\u0061`. */
const ESCAPE_CHARS = 6;

/** What to look for, prepared. */
export interface Names {
  readonly keys: readonly string[];
  readonly once: string;
  /** Bit n is set where a key has n characters. */
  readonly lengths: number;
  /** A string with more characters than this is none of the keys, whatever escapes it has. */
  readonly charsMax: number;
}

/**
 * @param keys of plain ASCII and at most 31 characters
 * @param once the one of them that may occur, but not twice
 */
export function namesOf(keys: readonly string[], once: string): Names {
  const lengths = keys.reduce((bits, key) => bits | (1 << key.length), 0);
  const charsMax = ESCAPE_CHARS * Math.max(...keys.map((key) => key.length));
  return { keys, once, lengths, charsMax };
}

/**
 * @param json text, or bytes in UTF-8
 * @returns true: `json` is no JSON, or none of its strings is one of the keys, but for a single
 *   `once`. False: it may be otherwise
 */
export function namesNone(json: string | Uint8Array, names: Names): boolean {
  const { keys, once, lengths, charsMax } = names;
  let isSeen = false;
  /** Where the stretch begins that must have no escape in it: behind the last long string. */
  let from = 0;
  let open = quoteFrom(json, 0);
  for (let strings = 0; open !== -1; strings++) {
    const start = open + 1;
    const close = quoteFrom(json, start);
    if (close === -1 || strings === STRINGS_MAX) return false;
    const length = close - start;
    if (length > charsMax) {
      // A quote with no backslash before it is the end of the string. Of its text nothing matters.
      if (hasEscape(json, close - 1, close) || hasEscape(json, from, start)) return false;
      from = close;
    } else if (length < 32 && (lengths >> length) & 1 && isOneOf(json, start, length, keys)) {
      if (isSeen || !isAt(json, start, once)) return false;
      isSeen = true;
    }
    open = quoteFrom(json, close + 1);
  }
  return !hasEscape(json, from, json.length);
}

function quoteFrom(json: string | Uint8Array, at: number): number {
  return typeof json === "string" ? json.indexOf('"', at) : json.indexOf(QUOTE, at);
}

/** Without escapes every quote begins or ends a string, and every string is what it looks like. */
function hasEscape(json: string | Uint8Array, start: number, end: number): boolean {
  if (typeof json === "string") return json.slice(start, end).includes("\\");
  for (let at = start; at < end; at++) if (json[at] === BACKSLASH) return true;
  return false;
}

function isOneOf(
  json: string | Uint8Array,
  start: number,
  length: number,
  keys: readonly string[],
): boolean {
  for (const key of keys) if (key.length === length && isAt(json, start, key)) return true;
  return false;
}

/** No byte of a character that takes several is ASCII, so that bytes compare as characters do. */
function isAt(json: string | Uint8Array, start: number, key: string): boolean {
  if (typeof json === "string") return json.startsWith(key, start);
  for (let index = 0; index < key.length; index++) {
    if (json[start + index] !== key.charCodeAt(index)) return false;
  }
  return true;
}
