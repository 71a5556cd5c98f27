/**
 * `sluice mock`: the simulated provider, to stage programs against.
 *
 * Owns: its options and what it prints. Does not own: what it answers (`src/mock/`).
 * Invariant: the address is the only thing on standard output, so that a script can read it.
 */

import { resolve } from "node:path";

import { type Mock, startMock } from "../mock/mock.ts";
import { bunRuntime } from "../runtime/bun.ts";
import { systemClock } from "../runtime/clock.ts";
import { type Command, CommandFailure, parseArguments, UsageError } from "./command.ts";
import type { Io } from "./io.ts";

const PORT_DEFAULT = 4010;
const HOSTNAME_DEFAULT = "127.0.0.1";

const USAGE = `Usage:
  sluice mock [--port N] [--hostname H] [--fixtures DIR] [--keys K,K] [--seed N]

  --port N        port to listen on; 0 takes any free one (default ${PORT_DEFAULT})
  --hostname H    address to listen on (default ${HOSTNAME_DEFAULT})
  --fixtures DIR  folder of recorded .json, .sse and .jsonl exchanges, which win over built-in ones
  --keys K,K      accept only these API keys (default: any but sk-mock-invalid)
  --seed N        of the words it answers with (default 1)

It speaks OpenAI: HTTP, SSE, and WebSocket on /v1/responses and /v1/realtime. Use it by base URL,
for example OPENAI_BASE_URL=http://127.0.0.1:${PORT_DEFAULT}/v1 with any API key.

The header "x-mock" (on a WebSocket also ?mock=, for one turn metadata.mock) asks for more:
  delay=250ms     before the first byte and before each output delta; first:250ms,each:10ms sets one
  tokens=20       output deltas
  status=429      an HTTP error; on a WebSocket the handshake is refused
  error=CODE      OpenAI's error of that code; on a WebSocket an error event for each turn
  close=1011      close the WebSocket with that code
  drop            cut the connection without a close frame, or in the middle of the body
  garbage         send what is no JSON; garbage=binary a binary frame
  after=3         events before close, drop, garbage or error happens (default 1)
  hang            never answer
  fixture=NAME    replay a recorded exchange
  chunk=7         write the body in pieces of so many bytes
  bytes=10MiB     pad a JSON body to that size
  frames=1000,size=16KiB  so many output events of that size

GET /__mock/requests shows what came, DELETE forgets it.
`;

const OPTIONS = {
  port: { type: "string" },
  hostname: { type: "string" },
  fixtures: { type: "string" },
  keys: { type: "string" },
  seed: { type: "string" },
} as const;

/** Runs the simulated provider until `stopped` resolves. */
export async function runMock(
  args: readonly string[],
  io: Io,
  stopped: Promise<void>,
): Promise<number> {
  const { values } = parseArguments(args, OPTIONS);
  const keys = values.keys?.split(",").map((key) => key.trim());
  const mock = await start({
    runtime: bunRuntime,
    clock: systemClock,
    hostname: values.hostname ?? HOSTNAME_DEFAULT,
    port: integer("port", values.port, PORT_DEFAULT, 65_535),
    seed: integer("seed", values.seed, 1, 2 ** 32 - 1),
    ...(values.fixtures === undefined ? {} : { fixturesDir: resolve(io.cwd, values.fixtures) }),
    ...(keys === undefined ? {} : { keys }),
  });
  io.stdout.write(`${mock.url}\n`);
  io.stderr.write(`OPENAI_BASE_URL=${mock.url}/v1 reaches the simulated provider\n`);
  await stopped;
  await mock.stop();
  return 0;
}

export const mock: Command = {
  name: "mock",
  summary: "run a simulated provider to stage programs against",
  usage: USAGE,
  run: (args, io) => runMock(args, io, interrupted()),
};

async function start(options: Parameters<typeof startMock>[0]): Promise<Mock> {
  try {
    return await startMock(options);
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const advice = "Another --port, --hostname or --fixtures may help";
    throw new CommandFailure(`Cannot start the simulated provider: ${message}`, advice, {
      cause: thrown,
    });
  }
}

function integer(name: string, text: string | undefined, fallback: number, max: number): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value <= max) return value;
  throw new UsageError(`--${name} takes a whole number from 0 to ${max}, not "${text}"`);
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
}
