/**
 * Pages of lists, newest first.
 *
 * Owns: `limit` and `cursor`, and the cutting of lists that are held in memory. Does not own: the
 * lists.
 * Invariant: walking the pages shows each entry that is there from first to last exactly once,
 * whatever else comes and goes meanwhile.
 */

import type { PageQuery } from "../store/store.ts";
import { Problem } from "./problem.ts";

const LIMIT_MAX = 1000;

/** Where an entry stands in the order. */
interface Position {
  readonly timeMs: number;
  readonly id: string;
}

interface Page<T> {
  readonly entries: readonly T[];
  readonly nextCursor: string | null;
}

/**
 * How many entries a page may have: 1 to 1000.
 * @throws Problem 400 for anything else
 */
export function parseLimit(text: string | undefined, limitDefault: number): number {
  if (text === undefined) return limitDefault;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new Problem("bad_request", '"limit" is out of range', "Send a number from 1 to 1000");
}

/** What a store is asked for. */
export function pageQuery(limit: number, cursor: string | undefined): PageQuery {
  return cursor === undefined ? { limit } : { limit, cursor };
}

/** The page behind `cursor`; the first one without. */
export function pageOf<T>(
  entries: readonly T[],
  positionOf: (entry: T) => Position,
  limit: number,
  cursor: string | undefined,
): Page<T> {
  const after = cursor === undefined ? null : parseCursor(cursor);
  const rest = entries
    .filter((entry) => after === null || compare(after, positionOf(entry)) < 0)
    .toSorted((left, right) => compare(positionOf(left), positionOf(right)));
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const more = last !== undefined && rest.length > limit;
  return { entries: page, nextCursor: more ? formatCursor(positionOf(last)) : null };
}

/** Below 0: `left` comes first, being newer. */
function compare(left: Position, right: Position): number {
  if (left.timeMs !== right.timeMs) return right.timeMs - left.timeMs;
  if (left.id === right.id) return 0;
  return left.id < right.id ? -1 : 1;
}

function formatCursor(position: Position): string {
  return `${position.timeMs}.${position.id}`;
}

function parseCursor(cursor: string): Position {
  const match = /^(\d{1,16})\.(.{1,300})$/.exec(cursor);
  if (match?.[1] !== undefined && match[2] !== undefined) {
    return { timeMs: Number(match[1]), id: match[2] };
  }
  throw new Problem("bad_request", '"cursor" is not valid', "Send the cursor of the page before");
}
