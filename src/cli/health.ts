/**
 * `sluice health`: asks a node whether it takes work, for a container's health check, where there
 * is no other program to ask with. Owns the command. Invariant: exit code 0 means that it does.
 */

import { connect, isRecord, NODE_OPTIONS, NODE_OPTIONS_HELP, textOf } from "./admin_client.ts";
import { type Command, CommandFailure, parseArguments } from "./command.ts";
import type { Io } from "./io.ts";

/** `degraded`: traffic goes on, while usage waits on disk. */
const TAKES_WORK = ["ok", "degraded"];

export const health: Command = {
  name: "health",
  summary: "ask a node whether it takes work (exit code 0)",
  usage: `Usage: sluice health\n\n${NODE_OPTIONS_HELP}`,
  run: runHealth,
};

async function runHealth(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArguments(args, NODE_OPTIONS);
  const client = await connect(values, io);
  const answer = await client.send("GET", "status");
  const state = isRecord(answer) ? textOf(answer["status"]) : "unknown";
  if (!TAKES_WORK.includes(state)) throw new CommandFailure(`The node is ${state}`);
  io.stdout.write(values.json === true ? `${JSON.stringify({ status: state })}\n` : `${state}\n`);
  return 0;
}
