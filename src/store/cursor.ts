/**
 * Cursors of pages: where a page ended, as an opaque text for its reader.
 *
 * Owns: their form. Does not own: what the position means.
 * Invariant: a text that is no cursor of ours is refused as the caller's mistake.
 */

import { GatewayError } from "../errors.ts";
import { decodeBase64Url, decodeUtf8, encodeBase64Url, encodeUtf8 } from "../lib/encoding.ts";

export function encodeCursor(position: readonly (string | number)[]): string {
  return encodeBase64Url(encodeUtf8(JSON.stringify(position)));
}

/**
 * The position that `read` takes from what was encoded.
 * @param read null: it is not one of these
 * @throws GatewayError `bad_request`
 */
export function decodeCursor<T>(cursor: string, read: (position: unknown[]) => T | null): T {
  try {
    const position: unknown = JSON.parse(decodeUtf8(decodeBase64Url(cursor)));
    const found = Array.isArray(position) ? read(position) : null;
    if (found !== null) return found;
  } catch {
    // Not ours: refused below like every other text that is not.
  }
  const message = "The cursor is not valid. Send next_cursor of the page before, or none";
  throw new GatewayError("bad_request", { message, param: "cursor" });
}
