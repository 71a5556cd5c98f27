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

/**
 * @param json text, or bytes in UTF-8
 * @param keys that must not occur, neither as a key nor as a value
 * @param once a key that may occur, but not twice
 * @returns true: `json` is no JSON, or none of its objects has one of the keys, and one at most has
 *   `once`, and has it once. False: it may be otherwise
 */
export function namesNone(
  json: string | Uint8Array,
  keys: readonly string[],
  once: string,
): boolean {
  // Without escapes every quote begins or ends a string, and every string is what it looks like.
  if (typeof json === "string" ? json.includes("\\") : json.includes(BACKSLASH)) return false;
  let isSeen = false;
  let open = quoteFrom(json, 0);
  for (let strings = 0; open !== -1; strings++) {
    const start = open + 1;
    const close = quoteFrom(json, start);
    if (close === -1 || strings === STRINGS_MAX) return false;
    const length = close - start;
    if (isAt(json, start, length, once)) {
      if (isSeen) return false;
      isSeen = true;
    }
    for (const key of keys) if (isAt(json, start, length, key)) return false;
    open = quoteFrom(json, close + 1);
  }
  return true;
}

function quoteFrom(json: string | Uint8Array, at: number): number {
  return typeof json === "string" ? json.indexOf('"', at) : json.indexOf(QUOTE, at);
}

/** Whether the string of `length` at `start` is the key. No byte of a longer character is ASCII. */
function isAt(json: string | Uint8Array, start: number, length: number, key: string): boolean {
  if (key.length !== length) return false;
  if (typeof json === "string") return json.startsWith(key, start);
  for (let index = 0; index < length; index++) {
    if (json[start + index] !== key.charCodeAt(index)) return false;
  }
  return true;
}
