/**
 * JSON in which nothing is overwritten.
 *
 * Owns: parsing that refuses an object with a key twice, where `JSON.parse` keeps the last value
 * and says nothing.
 * Does not own: what the value means.
 */

/** The strings of a text and what can stand behind a key or around it. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]/g;

/** An object of the text has a key twice. */
export class DuplicateKeyError extends SyntaxError {
  override readonly name = "DuplicateKeyError";
  /** As it is written, quotes included. */
  readonly key: string;

  constructor(key: string) {
    super(`${key} stands twice in one object`);
    this.key = key;
  }
}

/** @throws SyntaxError for what is no JSON; DuplicateKeyError */
export function parseStrictly(text: string): unknown {
  const value: unknown = JSON.parse(text);
  const key = keyTwice(text);
  if (key !== null) throw new DuplicateKeyError(key);
  return value;
}

/** @param text that is JSON */
function keyTwice(text: string): string | null {
  /** The keys of every object that is open; of an array there are none. */
  const open: Set<unknown>[] = [];
  let string = "";
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token !== ":") string = token;
    else {
      const keys = open.at(-1);
      const key: unknown = JSON.parse(string);
      if (keys?.has(key)) return string;
      keys?.add(key);
    }
  }
  return null;
}
