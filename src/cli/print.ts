/**
 * The last step of a management command. Owns how an answer is printed and nothing else; the
 * invariant is that each function returns the exit code of a command that is done.
 */

import { textOf } from "./admin_client.ts";
import type { Io } from "./io.ts";
import { type Cell, renderTable } from "./table.ts";

/** For machines: the management API's answer, indented. */
export function printJson(io: Io, value: unknown): number {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  return 0;
}

/** For people: one line. */
export function say(io: Io, text: string): number {
  io.stdout.write(`${text}\n`);
  return 0;
}

/** For people: one page of a list as a table, and how to get the next one. */
export function printPage(
  io: Io,
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  nextCursor: unknown,
): number {
  io.stdout.write(renderTable(header, rows));
  const more = textOf(nextCursor);
  if (more !== "") io.stderr.write(`There is more: --cursor ${more}\n`);
  return 0;
}
