/**
 * The last step of a management command. Owns how an answer is printed and nothing else; the
 * invariant is that each function returns the exit code of a command that is done.
 */

import { isRecord, records, textOf } from "./admin_client.ts";
import type { Io } from "./io.ts";
import { type Cell, cellOf, renderFields, renderTable } from "./table.ts";

/** A column of a table: its title, and the field it shows. */
export type Column = readonly [title: string, field: string];

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

/** An entry of the management API, field by field; as it is for machines (`json`). */
export function printEntry(
  io: Io,
  json: boolean | undefined,
  answer: unknown,
  fields: readonly string[],
): number {
  if (json === true || !isRecord(answer)) return printJson(io, answer);
  io.stdout.write(renderFields(fields.map((name) => [name, cellOf(answer[name])] as const)));
  return 0;
}

/** A list that is complete, as a table; as it is for machines (`json`). */
export function printEntries(
  io: Io,
  json: boolean | undefined,
  entries: readonly Record<string, unknown>[],
  columns: readonly Column[],
): number {
  if (json === true) return printJson(io, entries);
  io.stdout.write(tableOf(entries, columns));
  return 0;
}

/**
 * One page of a list, as a table and how to get the next one; as it is for machines (`json`).
 * @param name of the list in the answer
 */
export function printPage(
  io: Io,
  json: boolean | undefined,
  answer: unknown,
  name: string,
  columns: readonly Column[],
): number {
  if (json === true || !isRecord(answer)) return printJson(io, answer);
  io.stdout.write(tableOf(records(answer[name]), columns));
  const more = textOf(answer["next_cursor"]);
  if (more !== "") io.stderr.write(`There is more: --cursor ${more}\n`);
  return 0;
}

function tableOf(entries: readonly Record<string, unknown>[], columns: readonly Column[]): string {
  const rows = entries.map((entry): Cell[] => columns.map(([, field]) => cellOf(entry[field])));
  const titles = columns.map(([title]) => title);
  return renderTable(titles, rows);
}
