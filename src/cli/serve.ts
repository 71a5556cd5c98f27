/**
 * `sluice serve`: a node as a process.
 *
 * Owns: configuration from disk, the log's output, signals, the pid file and exit codes.
 * Does not own: the node (`node.ts`).
 * Invariant: SIGTERM and SIGINT drain, a second one stops at once; a bad configuration never starts.
 */

import { createWriteStream, rmSync, writeFileSync } from "node:fs";

import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { ConfigError, type ConfigProblem, formatProblems } from "../config/problem.ts";
import { LineWriter } from "../emit/line_writer.ts";
import { createLog, type Log } from "../emit/log.ts";
import { systemClock } from "../runtime/clock.ts";
import { exitNow, onSignals } from "../runtime/process.ts";
import { restartWithLimits } from "../runtime/restart.ts";
import { type Command, CommandFailure, parseArguments } from "./command.ts";
import type { Io } from "./io.ts";
import { type RunningNode, startNode } from "./node.ts";
import { VERSION } from "./version.ts";

const OPTIONS = {
  config: { type: "string", short: "c" },
  "pid-file": { type: "string", short: "p" },
} as const;

export const serve: Command = {
  name: "serve",
  aliases: ["start"],
  summary: "run a node",
  usage: `Usage: sluice serve [-c FILE] [-p FILE]

  -c, --config FILE     configuration (YAML); without it the environment decides: OPENAI_API_KEY,
                        ANTHROPIC_API_KEY, GEMINI_API_KEY
  -p, --pid-file FILE   write the process id there

SIGTERM and SIGINT let running turns finish; a second one stops at once.`,
  run: runServe,
};

async function runServe(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArguments(args, OPTIONS);
  const file = values.config ?? null;
  const { config, warnings, secrets } = await readConfig(file, io);
  restartWithLimits(config.headerBytesMax);
  const known = new Set(secrets);
  const log = openLog(config, known);
  log("starting", { version: VERSION, config_file: file, data_dir: config.dataDir });
  for (const { path, message } of warnings) log("configuration_warning", { path, reason: message });
  const pidFile = values["pid-file"];
  if (pidFile !== undefined) writeFileSync(pidFile, `${process.pid}\n`);
  const options = { config, clock: systemClock, log };
  const node = await startNode({ ...options, addSecret: (secret) => known.add(secret) });
  log("ready", { urls: node.urls.join(" "), admin_url: node.adminUrl });
  if (file === null) io.stderr.write(firstSteps(node));
  await stopped(node, config, log);
  if (pidFile !== undefined) rmSync(pidFile, { force: true });
  return 0;
}

/** Resolves when the node has been taken down. */
async function stopped(node: RunningNode, config: Config, log: Log): Promise<void> {
  const signal = await onSignals(["SIGTERM", "SIGINT"]);
  log("draining", { signal: signal.name, deadline_ms: config.gracefulShutdownTimeoutMs });
  void signal.again.then(() => exitNow(1));
  await node.stop(config.gracefulShutdownTimeoutMs);
  log("stopped", { signal: signal.name });
}

/** @throws CommandFailure with every problem */
export async function readConfig(
  file: string | null,
  io: Io,
): Promise<Awaited<ReturnType<typeof loadConfig>>> {
  try {
    return await loadConfig({ file, env: io.env, terminal: io.isErrorTerminal });
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const text = problemsText(thrown.problems, file);
    throw new CommandFailure(`The configuration cannot be used:\n${text}`, "", { cause: thrown });
  }
}

/** Problems as `file:line: path: message`. */
export function problemsText(problems: readonly ConfigProblem[], file: string | null): string {
  return file === null ? formatProblems(problems) : formatProblems(problems, `${file}:`);
}

/** The log, on standard error or appended to a file. */
function openLog(config: Config, secrets: ReadonlySet<string>): Log {
  const { file, format, level } = config.log;
  const stream =
    file === "-" ? process.stderr : createWriteStream(file, { flags: "a", mode: 0o640 });
  // A reader that went away is no reason to stop serving.
  stream.on("error", () => {});
  const writer = new LineWriter(stream, systemClock, (count) =>
    log("log_lines_dropped", { count }),
  );
  const log = createLog({
    level,
    format,
    clock: systemClock,
    secrets: () => [...secrets],
    write: (line) => writer.write(line),
  });
  return log;
}

/** What somebody does next who just typed `sluice serve`. */
function firstSteps(node: RunningNode): string {
  const [url = ""] = node.urls;
  return `
sluice is ready on ${url}

  Mint a token, and use it as the API key with sluice as the base URL:

    export OPENAI_API_KEY=$(sluice token mint --minutes 60)
    export OPENAI_BASE_URL=${url}/v1

  What was used:  sluice usage        Stop:  Ctrl-C

`;
}
