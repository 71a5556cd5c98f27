/**
 * One statement for many rows, made of the statement for one: an INSERT, or what joins its VALUES.
 *
 * Owns: the rewriting of a `VALUES ($1, …)`. Does not own: running it (`postgres.ts`).
 * Invariant: a statement is rewritten only where that cannot change what it means: its parameters
 * all stand in its one VALUES list, in order.
 */

import type { SqlValue } from "../runtime/runtime.ts";

/** The protocol counts parameters in 16 bits. */
const PARAMETERS_MAX = 65_000;
/** More rows in one statement gain nothing. */
const ROWS_MAX = 1_000;

const VALUES = /\bVALUES\s*\(\s*(\$\d+(?:\s*,\s*\$\d+)*)\s*\)/gi;

interface Statement {
  readonly text: string;
  readonly parameters: SqlValue[];
}

/** Statements that together do what `sql` does for each of `lists`. Null: it has no such form. */
export function insertMany(
  sql: string,
  lists: readonly (readonly SqlValue[])[],
): Statement[] | null {
  const found = [...sql.matchAll(VALUES)];
  const [match] = found;
  if (match?.[1] === undefined || found.length > 1) return null;
  const width = match[1].split(",").length;
  const [before, after] = [
    sql.slice(0, match.index),
    sql.slice(match.index + match[0].length),
  ] as const;
  const isInOrder = match[1].replace(/\s/g, "") === placeholders(0, width);
  if (!isInOrder || `${before}${after}`.includes("$")) return null;
  if (lists.some((list) => list.length !== width)) return null;
  const rowsMax = Math.min(ROWS_MAX, Math.floor(PARAMETERS_MAX / width));
  const statements: Statement[] = [];
  for (let at = 0; at < lists.length; at += rowsMax) {
    const rows = lists.slice(at, at + rowsMax);
    const groups = rows.map((_, index) => `(${placeholders(index * width, width)})`);
    statements.push({
      text: `${before}VALUES ${groups.join(", ")}${after}`,
      parameters: rows.flat(),
    });
  }
  return statements;
}

/** `$<from + 1>,…` */
function placeholders(from: number, count: number): string {
  return Array.from({ length: count }, (_, index) => `$${from + index + 1}`).join(",");
}
