/**
 * `sluice health`: asks a node whether it takes work, for a container's health check, where there
 * is no other program to ask with. Owns the command. Invariant: exit code 0 means that it does.
 */

import { askReadiness, NODE_OPTIONS, textOf } from "./admin_client.ts";
import { type Command, CommandFailure, parseArguments } from "./command.ts";
import type { Io } from "./io.ts";
import { printJson, say } from "./print.ts";

/** `degraded`: traffic goes on, and the reasons say what does not. */
const TAKES_WORK = ["ok", "degraded"];

/** The admin token is nothing that a health check needs. */
const { "admin-token": _token, ...OPTIONS } = NODE_OPTIONS;

export const health: Command = {
  name: "health",
  summary: "ask a node whether it takes work (exit code 0)",
  usage: `Usage: sluice health

  --json             print the answer of /health/ready as it is
  --admin-url URL    address of the node, of either port, else SLUICE_ADMIN_URL
  --data-dir DIR     where a node on this machine left it (admin.json); ./data by default
  -c, --config FILE  configuration that names data_dir

No token is needed. Exit code 0: ok, or degraded: traffic goes on. 1: anything else.`,
  run: runHealth,
};

async function runHealth(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArguments(args, OPTIONS);
  const answer = await askReadiness(values, io);
  const state = textOf(answer["status"]);
  if (values.json === true) printJson(io, answer);
  if (!TAKES_WORK.includes(state)) throw new CommandFailure(`The node is ${state}`);
  return values.json === true ? 0 : say(io, [state, reasonsOf(answer)].join(""));
}

/** In brackets; "" for none. */
function reasonsOf({ reasons }: Record<string, unknown>): string {
  if (!Array.isArray(reasons) || reasons.length === 0) return "";
  return ` (${reasons.map(textOf).join(", ")})`;
}
