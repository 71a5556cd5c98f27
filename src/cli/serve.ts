/**
 * `sluice serve`: a node as a process.
 *
 * Owns: configuration from disk, the log's output, signals, the pid file and exit codes.
 * Does not own: the node (`node.ts`).
 * Invariant: SIGTERM and SIGINT drain, a second one stops at once; no node starts with a bad
 * configuration.
 */

import { createWriteStream, openSync, rmSync, writeFileSync } from "node:fs";

import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { ConfigError, type ConfigProblem, formatProblems } from "../config/problem.ts";
import { LineWriter } from "../emit/line_writer.ts";
import { createLog, type Log, type LogOptions } from "../emit/log.ts";
import { providerOf } from "../provider/dialect.ts";
import { serviceTierPolicyProblems } from "../policy/service_tier_policy.ts";
import { systemClock } from "../runtime/clock.ts";
import { exitNow, onSignals } from "../runtime/process.ts";
import { restartWithLimits } from "../runtime/restart.ts";
import { type Command, CommandFailure, parseArguments } from "./command.ts";
import type { Io } from "./io.ts";
import { type RunningNode, startNode } from "./node.ts";
import { VERSION } from "./version.ts";

/** Below this a secret is a password that somebody made up. */
const SECRET_LENGTH_MIN = 16;

const OPTIONS = {
  config: { type: "string", short: "c" },
  "pid-file": { type: "string", short: "p" },
  // OpenProxy's, which its image still passes.
  "enable-health-check": { type: "boolean" },
} as const;

const DEPRECATED_FLAG =
  "--enable-health-check is deprecated: write health_check: {enabled: true} into the file";

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
  const asksForChecks = values["enable-health-check"] === true;
  const env = asksForChecks ? { ...io.env, SLUICE_HEALTH_CHECK_ENABLED: "true" } : io.env;
  const { config, warnings, secrets } = await readConfig(file, {
    env,
    isErrorTerminal: io.isErrorTerminal,
  });
  restartWithLimits(config.headerBytesMax);
  const sources: (() => readonly string[])[] = [() => secrets];
  const log = openLog(config, () => sources.map((read) => read()));
  log("starting", { version: VERSION, config_file: file, data_dir: config.dataDir });
  for (const { path, message } of warnings) log("configuration_warning", { path, reason: message });
  if (asksForChecks) log("configuration_warning", { reason: DEPRECATED_FLAG });
  for (const reason of weaknesses(config)) log("configuration_warning", { reason });
  const pidFile = values["pid-file"];
  if (pidFile !== undefined) writeFileSync(pidFile, `${process.pid}\n`);
  const node = await startNode({
    config,
    clock: systemClock,
    log,
    addSecrets: (read) => sources.push(read),
  });
  log("ready", { urls: node.urls.join(" "), admin_url: node.adminUrl });
  if (file === null) io.stderr.write(firstSteps(node));
  await stopped(node, config, log);
  if (pidFile !== undefined) rmSync(pidFile, { force: true });
  return 0;
}

/** What is allowed, and what somebody who means it should know. */
export function weaknesses(config: Config): string[] {
  const { admin, admins, authKeys, providers } = config;
  const keys = [...authKeys, ...providers.flatMap((provider) => provider.authKeys)];
  const found: string[] = [];
  if (admin.token !== null && admin.token.length < SECRET_LENGTH_MIN) {
    found.push(`admin_token is shorter than ${SECRET_LENGTH_MIN} characters and can be guessed`);
  }
  for (const { name } of admins.filter(({ token }) => token.length < SECRET_LENGTH_MIN)) {
    const why = `is shorter than ${SECRET_LENGTH_MIN} characters and can be guessed`;
    found.push(`admin_tokens: the one of ${name} ${why}`);
  }
  if (keys.some((key) => key.length < SECRET_LENGTH_MIN)) {
    found.push(`an auth_keys entry is shorter than ${SECRET_LENGTH_MIN} characters`);
  }
  for (const { name, type, allowedEndpoints } of providers) {
    const unknown = (allowedEndpoints ?? []).filter((entry) => !providerOf(type).reaches(entry));
    if (unknown.length === 0) continue;
    const paths = unknown.join(", ");
    found.push(`provider ${name}: allowed_endpoints has what ${type} has not here: ${paths}`);
  }
  if (providers.every(({ apiKeys, authValue }) => apiKeys.length === 0 && authValue === null)) {
    found.push(
      "no provider has an api_key: only projects with a credential of their own are served",
    );
  }
  return found;
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
  io: Pick<Io, "env" | "isErrorTerminal">,
): Promise<Awaited<ReturnType<typeof loadConfig>>> {
  try {
    return await loadConfig({
      file,
      env: io.env,
      terminal: io.isErrorTerminal,
      checkServiceTierPolicy: serviceTierPolicyProblems,
    });
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const text = problemsText(thrown.problems, file);
    throw new CommandFailure(`The configuration cannot be used:\n${text}`, "", { cause: thrown });
  }
}

/** Problems as `file:line: path: message`. */
export function problemsText(problems: readonly ConfigProblem[], file: string | null): string {
  return file === null ? formatProblems(problems) : formatProblems(problems, file);
}

/** Opened at once: a log that cannot be written is noticed before the node starts. */
function openLogFile(file: string): number {
  try {
    return openSync(file, "a", 0o640);
  } catch (cause) {
    const advice = `Check log.file: ${String(cause)}`;
    throw new CommandFailure(`Cannot open the log file ${file}`, advice, { cause });
  }
}

/** The log, on standard error or appended to a file. */
function openLog(config: Config, secrets: LogOptions["secrets"]): Log {
  const { file, format, level } = config.log;
  const stream = file === "-" ? process.stderr : createWriteStream(file, { fd: openLogFile(file) });
  // A reader that went away is no reason to stop serving.
  stream.on("error", () => {});
  const writer = new LineWriter(stream, systemClock, (count) =>
    log("log_lines_dropped", { count }),
  );
  const log = createLog({
    level,
    format,
    clock: systemClock,
    secrets,
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
