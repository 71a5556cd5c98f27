/**
 * What a command is, and how its arguments are read.
 *
 * Owns: options, positional arguments, subcommands, and the two ways to fail. Does not own: the
 * list of commands (`commands.ts`).
 * Invariant: exit code 0 is done, 1 refused or failed, 2 wrong usage; an unknown word is never
 * ignored.
 */

import { parseArgs, type ParseArgsConfig } from "node:util";
import { closest } from "../config/suggest.ts";
import type { Io } from "./io.ts";

export interface Command {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `help` prints: the ways to call it and its options. */
  readonly usage: string;
  /**
   * Does it and returns the exit code. May throw `UsageError` (2) or `CommandFailure` (1).
   * @param args what stands behind the command's name
   */
  run(args: readonly string[], io: Io): Promise<number>;
}

/** A part of a command, such as `mint` of `token`. */
export interface Subcommand {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** Arguments and options, such as `NAME [--json]`. */
  readonly synopsis: string;
  readonly summary: string;
  run(args: readonly string[], io: Io): Promise<number>;
}

/** The command was called wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command was right and could not be done. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  /** What to do about it; "" where there is nothing to say. */
  readonly advice: string;

  constructor(message: string, advice = "", options: ErrorOptions = {}) {
    super(message, options);
    this.advice = advice;
  }
}

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true; args: string[] }>
>;

/**
 * Reads arguments. Every positional name that does not end in `?` is needed.
 * @throws UsageError for anything unknown, missing, twice or too much
 */
export function parseArguments<T extends Options>(
  args: readonly string[],
  options: T,
  positionalNames: readonly string[] = [],
): Parsed<T> {
  const parsed = parse(args, options);
  const needed = positionalNames.filter((name) => !name.endsWith("?"));
  const missing = needed[parsed.positionals.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const extra = parsed.positionals[positionalNames.length];
  if (extra !== undefined) throw new UsageError(`Unexpected argument "${extra}"`);
  return parsed;
}

function parse<T extends Options>(args: readonly string[], options: T): Parsed<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (thrown) {
    throw new UsageError(complaint(thrown, Object.keys(options)), { cause: thrown });
  }
}

/** Our words for what `parseArgs` complains of. */
function complaint(thrown: unknown, known: readonly string[]): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const unknown = /^Unknown option '(-{1,2}([^']*))'/.exec(message);
  if (unknown === null) return message.split("\n")[0] ?? message;
  const [, flag = "", name = ""] = unknown;
  if (name === "api-key") {
    return "A key on the command line can be read by others on this machine: use --api-key-stdin";
  }
  const meant = flag.startsWith("--") ? closest(name, known) : null;
  return `Unknown option ${flag}${meant === null ? "" : `. Did you mean --${meant}?`}`;
}

/**
 * The value of an option that takes a whole number.
 * @throws UsageError that names the option
 */
export function wholeNumber(option: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new UsageError(`--${option} must be a whole number`);
}

/** Whether help is asked for. Options behind `--` are none. */
export function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  const options = end === -1 ? args : args.slice(0, end);
  return options.includes("--help") || options.includes("-h");
}

/** A command that is made of subcommands. */
export function group(
  name: string,
  summary: string,
  subcommands: readonly Subcommand[],
  notes: string,
): Command {
  const calls = subcommands.map((one) => [
    `sluice ${name} ${one.name} ${one.synopsis}`.trimEnd(),
    one.summary,
  ]);
  const lines = calls.map(([call, text]) => `  ${call}\n      ${text}`);
  return {
    name,
    summary,
    usage: `Usage:\n${lines.join("\n")}\n\n${notes}\n`,
    run(args, io) {
      const [word, ...rest] = args;
      const subcommand = subcommands.find(
        (one) => one.name === word || (word !== undefined && one.aliases?.includes(word)),
      );
      if (subcommand === undefined) throw unknownSubcommand(name, word, subcommands);
      return subcommand.run(rest, io);
    },
  };
}

function unknownSubcommand(
  name: string,
  word: string | undefined,
  subcommands: readonly Subcommand[],
): UsageError {
  const names = subcommands.map((one) => one.name);
  const choice = `One of ${names.join(", ")}`;
  if (word === undefined) return new UsageError(`"${name}" needs a subcommand. ${choice}`);
  if (word.startsWith("-")) {
    return new UsageError(`Options stand behind the subcommand of "${name}". ${choice}`);
  }
  const meant = closest(word, names);
  const hint = meant === null ? choice : `Did you mean "${meant}"?`;
  return new UsageError(`"${name}" has no subcommand "${word}". ${hint}`);
}
