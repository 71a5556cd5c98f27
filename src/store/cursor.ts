/**
 * Cursors of pages: where a page ended, as an opaque text for its reader.
 *
 * Owns: their form, and where a page is cut. Does not own: what the position means.
 * Invariant: a text that is no cursor of ours is refused as the caller's mistake.
 */

import { GatewayError } from "../errors.ts";
import { decodeBase64Url, decodeUtf8, encodeBase64Url, encodeUtf8 } from "../lib/encoding.ts";

/** What cursors say: the position of the last entry that was handed out. */
export type Position = readonly (string | number)[];

interface Page<T> {
  readonly entries: T[];
  readonly nextCursor: string | null;
}

/**
 * The page of what was found, whose cursor is null on the last one.
 * @param found one more than `limit` where there is more
 */
export function cutPage<F, T>(
  found: readonly F[],
  limit: number,
  read: (found: F) => T,
  positionOf: (entry: T) => Position,
): Page<T> {
  const entries = found.slice(0, limit).map(read);
  const last = found.length > limit ? entries.at(-1) : undefined;
  return { entries, nextCursor: last === undefined ? null : encodeCursor(positionOf(last)) };
}

export function encodeCursor(position: Position): string {
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
