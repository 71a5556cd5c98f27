/**
 * Tables for people. Owns alignment and nothing else; the invariant is that a value from outside
 * can neither break a line nor steer the terminal.
 */

export type Cell = string | number | boolean | null | undefined;

/** Rows under a header, columns padded to their widest cell, numbers to the right. */
export function renderTable(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map(cellText));
  const widths = header.map((title, column) =>
    Math.max(title.length, ...texts.map((row) => row[column]?.length ?? 0)),
  );
  const right = header.map((_, column) => rows.some((row) => typeof row[column] === "number"));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return right[column] === true ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return `${[header, ...texts].map(line).join("\n")}\n`;
}

/** `name  value` lines. */
export function renderFields(fields: readonly (readonly [string, Cell])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${cellText(value)}\n`).join("");
}

/** A JSON value as a cell: lists with commas, objects as `name=value`. */
export function cellOf(value: unknown): Cell {
  if (typeof value === "number" || typeof value === "boolean") return value;
  return textsOf("", value).join(", ");
}

function textsOf(path: string, value: unknown): string[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.flatMap((one) => textsOf(path, one));
  if (typeof value !== "object") return [path === "" ? String(value) : `${path}=${value}`];
  const below = path === "" ? "" : `${path}.`;
  return Object.entries(value).flatMap(([name, one]) => textsOf(`${below}${name}`, one));
}

function cellText(cell: Cell): string {
  if (cell === null || cell === undefined || cell === "") return "-";
  if (cell === true) return "yes";
  if (cell === false) return "no";
  // Control and format characters: escape sequences, line breaks, reversed text.
  return String(cell).replace(/[\p{Cc}\p{Cf}]/gu, "?");
}
