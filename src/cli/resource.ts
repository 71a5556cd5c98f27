/**
 * Subcommands that are the same for everything the management API has a list of.
 *
 * Owns: a page of a list, `show`, `delete`, and the options that switch on and off. Does not own:
 * what is shown.
 * Invariant: an id becomes one segment of a path, whatever somebody typed.
 */

import { connect, isRecord, NODE_OPTIONS, queryOf, segment } from "./admin_client.ts";
import { parseArguments, type Subcommand, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { type Column, printPage, say } from "./print.ts";

/** Options of `update` for what can be switched off. */
export const ACTIVE_OPTIONS = {
  activate: { type: "boolean" },
  deactivate: { type: "boolean" },
} as const;

interface ActiveValues {
  readonly activate?: boolean | undefined;
  readonly deactivate?: boolean | undefined;
}

/**
 * The field that `--activate` or `--deactivate` set; empty without either.
 * @throws UsageError for both
 */
export function activeField(values: ActiveValues): { is_active?: boolean } {
  if (values.activate === true && values.deactivate === true) {
    throw new UsageError("--activate and --deactivate contradict each other");
  }
  if (values.activate === true) return { is_active: true };
  return values.deactivate === true ? { is_active: false } : {};
}

/** A list that the management API gives page by page. */
interface PagedList {
  /** Below `/manage/`. */
  readonly path: string;
  /** Where the answer holds the entries. */
  readonly field: string;
  readonly columns: readonly Column[];
  /** What the API calls each filter, by its option's name. */
  readonly filters?: Readonly<Record<string, string>>;
  /** What is said of a page on standard error, before its table. */
  about?(answer: Readonly<Record<string, unknown>>): string;
}

/** The `run` of a command that prints one page of a list: GET of its path. */
export function listPage(list: PagedList): Subcommand["run"] {
  const parameters: Record<string, string> = { ...list.filters, limit: "limit", cursor: "cursor" };
  const text = { type: "string" } as const;
  const options = Object.fromEntries(Object.keys(parameters).map((name) => [name, text]));
  return async (args, io) => {
    const { values } = parseArguments(args, { ...NODE_OPTIONS, ...options });
    const given: Record<string, unknown> = values;
    const query: Record<string, string> = {};
    for (const [option, parameter] of Object.entries(parameters)) {
      const value = given[option];
      if (typeof value === "string") query[parameter] = value;
    }
    const client = await connect(values, io);
    const answer = await client.send("GET", list.path + queryOf(query));
    if (list.about !== undefined && values.json !== true && isRecord(answer)) {
      io.stderr.write(`${list.about(answer)}\n`);
    }
    return printPage(io, values.json, answer, list.field, list.columns);
  };
}

/** `show ID` of a list: GET of one. */
export function showOne(
  list: string,
  summary: string,
  print: (io: Io, json: boolean | undefined, answer: unknown) => number,
): Subcommand {
  return {
    name: "show",
    synopsis: "ID",
    summary,
    async run(args, io) {
      const { values, positionals } = parseArguments(args, NODE_OPTIONS, ["ID"]);
      const client = await connect(values, io);
      return print(io, values.json, await client.send("GET", pathOf(list, positionals)));
    },
  };
}

/**
 * `delete ID` of a list: DELETE of one.
 * @param done what is said of it afterwards, before its id
 */
export function deleteOne(list: string, summary: string, done: string): Subcommand {
  return {
    name: "delete",
    synopsis: "ID",
    summary,
    async run(args, io) {
      const { values, positionals } = parseArguments(args, NODE_OPTIONS, ["ID"]);
      const client = await connect(values, io);
      await client.send("DELETE", pathOf(list, positionals));
      return values.json === true ? 0 : say(io, `${done} ${positionals[0]}`);
    },
  };
}

/** The path of the entry of a list that the first positional argument names. */
export function pathOf(list: string, positionals: readonly string[]): string {
  return `${list}/${segment(positionals[0] ?? "")}`;
}
