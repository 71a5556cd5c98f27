/**
 * `sluice check`: says everything that is wrong with a configuration, before a node takes it.
 * Owns the command. Invariant: exit code 0 means that `serve` takes the same file and environment.
 */

import { type Command, parseArguments } from "./command.ts";
import type { Io } from "./io.ts";
import { problemsText, readConfig } from "./serve.ts";

export const check: Command = {
  name: "check",
  summary: "validate a configuration and print every problem",
  usage: `Usage: sluice check [-c FILE]

  -c, --config FILE   the configuration; without it the environment is checked

Exit code 0: it can be used. 1: it cannot.`,
  run: runCheck,
};

async function runCheck(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArguments(args, { config: { type: "string", short: "c" } });
  const file = values.config ?? null;
  const { config, warnings } = await readConfig(file, io);
  if (warnings.length > 0) io.stdout.write(`warning:\n${problemsText(warnings, file)}\n`);
  const names = config.providers.map(({ name }) => name).join(", ");
  io.stdout.write(`The configuration is valid. Providers: ${names}\n`);
  return 0;
}
