/**
 * `sluice check`: says everything that is wrong with a configuration, before a node takes it, and
 * which provider a request would take.
 *
 * Owns: the command. Does not own: the words (`explain.ts`).
 * Invariant: exit code 0 means that `serve` takes the same file and environment.
 */

import { type Command, parseArguments, UsageError } from "./command.ts";
import { explain } from "./explain.ts";
import type { Io } from "./io.ts";
import { problemsText, readConfig, weaknesses } from "./serve.ts";

export const check: Command = {
  name: "check",
  summary: "validate a configuration and print every problem",
  usage: `Usage: sluice check [-c FILE] [--explain 'METHOD URL' [--model M]]

  -c, --config FILE        the configuration; without it the environment is checked
  --explain 'METHOD URL'   which provider would take such a request, and why the others not;
                           wss://… for a WebSocket, a path alone for any host
  --model M                the model that its body names

Exit code 0: it can be used. 1: it cannot, or no provider would take the request.`,
  run: runCheck,
};

async function runCheck(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArguments(args, {
    config: { type: "string", short: "c" },
    explain: { type: "string" },
    model: { type: "string" },
  });
  if (values.model !== undefined && values.explain === undefined) {
    throw new UsageError("--model goes with --explain");
  }
  const file = values.config ?? null;
  const { config, warnings } = await readConfig(file, io);
  if (warnings.length > 0) io.stdout.write(`warning:\n${problemsText(warnings, file)}\n`);
  for (const weakness of weaknesses(config)) io.stdout.write(`warning: ${weakness}\n`);
  const names = config.providers.map(({ name }) => name).join(", ");
  io.stdout.write(`The configuration is valid. Providers: ${names}\n`);
  if (values.explain === undefined) return 0;
  const { text, isTaken } = explain(config, values.explain, values.model ?? null);
  io.stdout.write(text);
  return isTaken ? 0 : 1;
}
