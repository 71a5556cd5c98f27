/**
 * The character sets that a `content-type` names.
 *
 * Owns: which of them leave JSON and form fields as they are read here. Does not own: refusing.
 * Invariant: in a set that is taken, the bytes of ASCII are ASCII's own, so that a text has the
 * same keys in it as in UTF-8.
 */

const LIKE_ASCII: ReadonlySet<string> = new Set([
  "",
  "utf-8",
  "utf8",
  "us-ascii",
  "ascii",
  "iso-8859-1",
  "latin1",
  "windows-1252",
]);

/**
 * A character set in which the text may say something else than in UTF-8; null: none is named.
 * UTF-7 is one: a key in it has none of its letters.
 */
export function otherCharset(contentType: string | null): string | null {
  for (const [, value = ""] of (contentType ?? "").matchAll(/charset([^;]*)/gi)) {
    const name = value.replaceAll(/[="\s]/g, "").toLowerCase();
    if (!LIKE_ASCII.has(name)) return name;
  }
  return null;
}
