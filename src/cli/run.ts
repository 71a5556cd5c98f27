/**
 * Chooses a command, runs it, and turns whatever it throws into words and an exit code.
 *
 * Owns: `help`, `version` and the exit codes. Does not own: what commands do.
 * Invariant: never rejects; what goes wrong is said on standard error, with what to do.
 */

import { closest } from "../config/suggest.ts";
import { asksForHelp, type Command, CommandFailure, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { VERSION } from "./version.ts";

const EXIT_DONE = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Runs the command that `args` begins with. Returns the exit code. */
export async function runCommand(
  commands: readonly Command[],
  args: readonly string[],
  io: Io,
): Promise<number> {
  const [word, ...rest] = args;
  if (word === undefined) return fail(io, overview(commands), EXIT_USAGE);
  if (word === "version" || word === "--version" || word === "-v") return print(io, `${VERSION}\n`);
  if (word === "help" || word === "--help" || word === "-h") return help(commands, rest, io);
  const command = named(commands, word);
  if (command === undefined) return fail(io, unknownCommand(commands, word), EXIT_USAGE);
  if (asksForHelp(rest)) return print(io, describe(command));
  try {
    return await command.run(rest, io);
  } catch (thrown) {
    return explain(thrown, command, io);
  }
}

function help(commands: readonly Command[], args: readonly string[], io: Io): number {
  const [word] = args;
  if (word === undefined) return print(io, overview(commands));
  const command = named(commands, word);
  if (command === undefined) return fail(io, unknownCommand(commands, word), EXIT_USAGE);
  return print(io, describe(command));
}

function explain(thrown: unknown, command: Command, io: Io): number {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof UsageError) {
    return fail(io, `${message}\nSee: sluice help ${command.name}\n`, EXIT_USAGE);
  }
  const advice =
    thrown instanceof CommandFailure && thrown.advice !== "" ? `${thrown.advice}\n` : "";
  return fail(io, `error: ${message}\n${advice}`, EXIT_FAILED);
}

function overview(commands: readonly Command[]): string {
  const entries = [
    ...commands.map((command) => [spelling(command), command.summary] as const),
    ["version", "print the version"] as const,
    ["help [COMMAND]", "say what a command does and takes"] as const,
  ];
  const width = Math.max(...entries.map(([name]) => name.length));
  const lines = entries.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}\n`);
  const title = `sluice ${VERSION}, a WebSocket-first LLM gateway`;
  return `${title}\n\nUsage: sluice COMMAND\n\n${lines.join("")}`;
}

function spelling(command: Command): string {
  return [command.name, ...(command.aliases ?? [])].join(", ");
}

function describe(command: Command): string {
  return `${command.name}: ${command.summary}\n\n${command.usage.trimEnd()}\n`;
}

function named(commands: readonly Command[], word: string): Command | undefined {
  return commands.find((one) => one.name === word || one.aliases?.includes(word));
}

function unknownCommand(commands: readonly Command[], word: string): string {
  const names = commands.flatMap((one) => [one.name, ...(one.aliases ?? [])]);
  const meant = closest(word, [...names, "help", "version"]);
  const hint = meant === null ? "" : ` Did you mean "${meant}"?`;
  return `Unknown command ${JSON.stringify(word)}.${hint}\nSee: sluice help\n`;
}

function print(io: Io, text: string): number {
  io.stdout.write(text);
  return EXIT_DONE;
}

function fail(io: Io, text: string, code: number): number {
  io.stderr.write(text);
  return code;
}
