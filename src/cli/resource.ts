/**
 * Subcommands that are the same for everything the management API has a list of.
 *
 * Owns: `show`, `delete`, and the options that switch on and off. Does not own: what is shown.
 * Invariant: an id becomes one segment of a path, whatever somebody typed.
 */

import { connect, NODE_OPTIONS, segment } from "./admin_client.ts";
import { parseArguments, type Subcommand, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { say } from "./print.ts";

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
