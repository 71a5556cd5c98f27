/**
 * Starts the built executable the way an operator does, with a simulated provider behind it.
 * The tests of this folder contain none of sluice's own code on the tested side: they drive
 * `dist/sluice` over sockets, its command line and its log.
 */

import { afterAll, beforeAll } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { type Mock, startMock } from "../../src/mock/mock.ts";
import { bunRuntime } from "../../src/runtime/bun.ts";
import { systemClock } from "../../src/runtime/clock.ts";

/** The executable under test. `npm test` builds it first. */
export const EXECUTABLE = resolve(import.meta.dir, "../../dist/sluice");

export type LogLine = Record<string, unknown> & { event: string };

/** A running node. */
export interface Node {
  readonly url: string;
  readonly httpsUrl: string | null;
  readonly adminUrl: string;
  readonly dataDir: string;
  readonly pid: number;
  readonly log: LogLine[];
  /** Runs another command of the executable against this node. */
  run(args: readonly string[], stdin?: string): Promise<CommandResult>;
  /** Runs one that must succeed, and returns what it printed. */
  sluice(args: readonly string[], stdin?: string): Promise<string>;
  /** Puts a service tier policy of these rules in force. */
  setRules(...rules: readonly object[]): Promise<void>;
  mint(minutes?: number): Promise<string>;
  /** Waits until the log has a line that matches. */
  logged(matches: (line: LogLine) => boolean): Promise<LogLine>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with the exit code. */
  exited: Promise<number>;
  stop(): Promise<void>;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function startProvider(port = 0): Promise<Mock> {
  return startMock({ runtime: bunRuntime, clock: systemClock, hostname: "127.0.0.1", port });
}

/** An empty folder that `cleanUp` removes. */
export async function temporaryFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "sluice-e2e-"));
}

export async function cleanUp(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Runs one command to its end. */
export async function runCommand(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; stdin?: string } = {},
): Promise<CommandResult> {
  const child = Bun.spawn([EXECUTABLE, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir(), ...options.env },
    stdin: new Blob([options.stdin ?? ""]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

export interface NodeOptions {
  /** YAML put behind the ports, `data_dir` and log keys that the harness sets. */
  readonly config: string;
  readonly dataDir?: string;
  readonly env?: Record<string, string>;
}

/** Starts a node on free ports and waits until it is ready. */
export async function startNode(options: NodeOptions): Promise<Node> {
  const dataDir = options.dataDir ?? (await temporaryFolder());
  const file = join(dataDir, "sluice.yml");
  const common = [
    "http_port: 0",
    "http_bind_address: 127.0.0.1",
    "admin_port: 0",
    `data_dir: ${dataDir}`,
    "log: { level: trace, format: json }",
  ];
  await writeFile(file, `${common.join("\n")}\n${options.config}\n`);
  return await launch(["serve", "-c", file], dataDir, options.env);
}

/** Starts a node on a file as it is. What it says is replaced by variables where a test must. */
export async function startNodeOn(
  file: string,
  options: { args?: readonly string[]; dataDir: string; env?: Record<string, string> },
): Promise<Node> {
  const env = {
    SLUICE_ADMIN_PORT: "0",
    SLUICE_DATA_DIR: options.dataDir,
    SLUICE_LOG_LEVEL: "trace",
    ...options.env,
  };
  return await launch(["start", "-c", file, ...(options.args ?? [])], options.dataDir, env);
}

/** @throws Error with what the node said, where it did not start */
async function launch(
  args: readonly string[],
  dataDir: string,
  env: Record<string, string> = {},
): Promise<Node> {
  const child = Bun.spawn([EXECUTABLE, ...args], {
    cwd: dataDir,
    env: { PATH: process.env["PATH"] ?? "", HOME: dataDir, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const log = new LogFollower(child.stderr);
  const ready = await Promise.race([
    log.wait((line) => line.event === "ready"),
    child.exited.then(() => null),
  ]);
  if (ready === null) throw new Error(`The node did not start:\n${log.text}`);
  return node(child, log, dataDir);
}

function node(
  child: Bun.Subprocess<"ignore", "pipe", "pipe">,
  log: LogFollower,
  dataDir: string,
): Node {
  const address = (listener: string): string | null => {
    const line = log.lines.find((one) => one.event === "listening" && one["listener"] === listener);
    return line === undefined ? null : String(line["url"]);
  };
  const run = (args: readonly string[], stdin?: string) =>
    runCommand([...args, "--data-dir", dataDir], stdin === undefined ? {} : { stdin });
  const sluice = async (args: readonly string[], stdin?: string) => {
    const { code, stdout, stderr } = await run(args, stdin);
    if (code !== 0) throw new Error(`sluice ${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  };
  return {
    url: address("http") ?? "",
    httpsUrl: address("https"),
    adminUrl: address("admin") ?? "",
    dataDir,
    pid: child.pid,
    log: log.lines,
    run,
    sluice,
    async setRules(...rules) {
      await sluice(["policy", "set", "-"], JSON.stringify({ rules }));
    },
    mint: (minutes = 60) => sluice(["token", "mint", "--minutes", String(minutes)]),
    logged: (matches) => log.wait(matches),
    kill: (signal) => child.kill(signal),
    exited: child.exited,
    async stop() {
      child.kill("SIGKILL");
      await child.exited;
      await cleanUp(dataDir);
    },
  };
}

/** Reads a process's log line by line, and lets a test wait for one. */
class LogFollower {
  readonly lines: LogLine[] = [];
  text = "";
  #waiting: { matches: (line: LogLine) => boolean; resolve: (line: LogLine) => void }[] = [];

  constructor(stream: ReadableStream<Uint8Array>) {
    void this.#follow(stream);
  }

  wait(matches: (line: LogLine) => boolean): Promise<LogLine> {
    const seen = this.lines.find(matches);
    if (seen !== undefined) return Promise.resolve(seen);
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }));
  }

  async #follow(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      rest += decoder.decode(chunk, { stream: true });
      const complete = rest.split("\n");
      rest = complete.pop() ?? "";
      for (const text of complete) this.#take(text);
    }
  }

  #take(text: string): void {
    this.text += `${text}\n`;
    if (!text.startsWith("{")) return;
    const line = JSON.parse(text) as LogLine;
    this.lines.push(line);
    const still = this.#waiting.filter((one) => !one.matches(line));
    for (const one of this.#waiting) if (!still.includes(one)) one.resolve(line);
    this.#waiting = still;
  }
}

/** The configuration of a node with one OpenAI provider. */
export function openaiConfig(upstreamUrl: string, more = ""): string {
  return `providers:
  - name: openai
    type: openai
    endpoint: ${upstreamUrl}
    api_key: sk-upstream-secret-0001
${more}`;
}

/** The configuration of a node with a provider of every dialect behind one upstream. */
export function dialectsConfig(upstreamUrl: string): string {
  const others = ["anthropic", "gemini"].map(
    (type) => `  - {type: ${type}, endpoint: "${upstreamUrl}", api_key: sk-upstream-secret-0002}`,
  );
  return openaiConfig(upstreamUrl, others.join("\n"));
}

/**
 * Starts a provider and a node in front of it before the tests of a file, hands them to `take`, and
 * stops both after the last.
 * @param config the node's, by the provider's URL
 */
export function nodeForFile(
  config: (upstreamUrl: string) => string,
  take: (started: { readonly provider: Mock; readonly node: Node }) => unknown,
): void {
  let provider: Mock;
  let node: Node;
  beforeAll(async () => {
    provider = await startProvider();
    node = await startNode({ config: config(provider.url) });
    await take({ provider, node });
  });
  afterAll(async () => {
    await node.stop();
    await provider.stop();
  });
}

/** Usage events of the node that pass `filter`, oldest first, once there are `count` of them. */
export async function usageEvents(
  node: Node,
  count: number,
  filter: readonly string[] = [],
): Promise<Record<string, unknown>[]> {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const { stdout } = await node.run(["usage", "--json", "--limit", "1000", ...filter]);
    const { events } = JSON.parse(stdout || '{"events":[]}');
    if (events.length >= count || Date.now() > deadline) return events.reverse();
    await Bun.sleep(50);
  }
}

/** @throws Error that names `what`, where the condition does not hold in time */
export async function until(
  what: string,
  condition: () => boolean,
  withinMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await Bun.sleep(20);
  }
}

/** The node's counters and gauges, as Prometheus reads them. */
export async function metricsText(node: Node): Promise<string> {
  return await (await fetch(`${node.adminUrl}/metrics`)).text();
}

/** The id by which a token is revoked. */
export function tokenId(token: string): string {
  const claims = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(claims)).jti;
}
