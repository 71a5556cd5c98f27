/**
 * `sluice demo`: the main job in one go, without a provider's key.
 *
 * Owns: the tour and its report. Does not own: the simulated provider or the node; both are the
 * real ones.
 * Invariant: nothing of the user's is touched. Data goes to a temporary folder that is removed at
 * the end, ports are free ones, and the environment's keys and database are not read.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { loadConfig } from "../config/load.ts";
import { createLog } from "../emit/log.ts";
import { startMock } from "../mock/mock.ts";
import { bunRuntime } from "../runtime/bun.ts";
import { openClientSocket } from "../runtime/client_socket.ts";
import { sleep, systemClock } from "../runtime/clock.ts";
import { onSignals } from "../runtime/process.ts";
import { isRecord, records, textOf } from "./admin_client.ts";
import { type Command, CommandFailure, parseArguments } from "./command.ts";
import type { Io } from "./io.ts";
import { type RunningNode, startNode } from "./node.ts";
import { renderTable } from "./table.ts";

/** Turns of the tour: one over HTTP, one over SSE, two over WebSocket. */
const TURNS = 4;

/** The events API shows a turn within a second; a slow machine gets more. */
const USAGE_WAIT_MS = 10_000;
const USAGE_POLL_MS = 50;

const MODEL = "gpt-5.5";

export const demo: Command = {
  name: "demo",
  summary: "show a simulated provider and a node at work",
  usage: `Usage: sluice demo [--exit]

  --exit   end after the tour instead of staying up

Needs no key and no configuration, and leaves nothing behind.`,
  run: runDemo,
};

async function runDemo(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArguments(args, { exit: { type: "boolean" } });
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-demo-"));
  const mock = await startMock({
    runtime: bunRuntime,
    clock: systemClock,
    hostname: "127.0.0.1",
    port: 0,
  });
  const node = await startDemoNode(dataDir, mock.url);
  try {
    await tour(node, mock.url, io);
    if (values.exit === true) return 0;
    io.stdout.write(nextCommands(node, dataDir, await mint(node, io)));
    await onSignals(["SIGTERM", "SIGINT"]);
    return 0;
  } finally {
    await node.stop(0);
    await mock.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** A node as the executable runs it, with everything that is logged below a warning left out. */
async function startDemoNode(dataDir: string, upstreamUrl: string): Promise<RunningNode> {
  const text = `
http_port: 0
http_bind_address: 127.0.0.1
admin_port: 0
data_dir: ${JSON.stringify(dataDir)}
providers:
  - { name: openai, type: openai, endpoint: ${JSON.stringify(upstreamUrl)}, api_key: sk-demo-key }
`;
  const { config } = await loadConfig({ file: null, text, env: {} });
  const log = createLog({
    level: "warn",
    format: "pretty",
    clock: systemClock,
    secrets: () => [],
    write: () => {},
  });
  return await startNode({ config, clock: systemClock, log, addSecrets: () => {} });
}

async function tour(node: RunningNode, upstreamUrl: string, io: Io): Promise<void> {
  const [url = ""] = node.urls;
  io.stdout.write(`
sluice demo: a simulated provider on ${upstreamUrl}
             a node on              ${url}
`);
  const token = await mint(node, io);
  io.stdout.write(`
A token was minted for the project "default". Your program uses it as its API key:
  ${token.slice(0, 40)}…
The provider only ever sees its own key, which the node holds encrypted.

`);
  await overHttp(url, token, io);
  await overSse(url, token, io);
  await overWebSocket(url, token, io);
  io.stdout.write(`
What was metered, read from the wire:

${usageTable(await usage(node, io))}
`);
}

async function overHttp(url: string, token: string, io: Io): Promise<void> {
  const response = await post(url, token, { model: MODEL, input: "What is a sluice?" }, io);
  const answer: unknown = await response.json();
  const text = isRecord(answer) ? outputText(answer) : "";
  io.stdout.write(
    `1. HTTP       POST /v1/responses            ${response.status}  "${excerpt(text)}"\n`,
  );
}

async function overSse(url: string, token: string, io: Io): Promise<void> {
  const request = { model: MODEL, input: "And a lock?", stream: true };
  const response = await post(url, token, request, io);
  const events = (await response.text()).split("\n\n").filter((event) => event !== "").length;
  io.stdout.write(
    `2. SSE        POST /v1/responses (stream)   ${response.status}  ${events} events\n`,
  );
}

/** Two turns on one connection, the second building on the first. */
async function overWebSocket(url: string, token: string, io: Io): Promise<void> {
  const authorization = `Bearer ${token}`;
  const socket = openClientSocket(`${url.replace("http", "ws")}/v1/responses`, { authorization });
  const messages = new Messages(socket);
  await messages.opened;
  const first = await turn(socket, messages, { input: "Open the gate." });
  const second = await turn(socket, messages, {
    input: "Close it again.",
    previous_response_id: first.id,
  });
  socket.close(1000);
  io.stdout.write(`3. WebSocket  GET  /v1/responses (upgrade)  101  two turns on one connection
              turn 1: ${first.events} events  "${excerpt(first.text)}"
              turn 2: ${second.events} events  "${excerpt(second.text)}"
`);
}

interface TurnSeen {
  readonly id: string;
  readonly text: string;
  readonly events: number;
}

async function turn(socket: WebSocket, messages: Messages, create: object): Promise<TurnSeen> {
  socket.send(JSON.stringify({ type: "response.create", model: MODEL, ...create }));
  for (let events = 1; ; events += 1) {
    const event: unknown = JSON.parse(await messages.next());
    if (!isRecord(event)) continue;
    if (event["type"] === "error") throw new CommandFailure("The session answered with an error");
    const response = event["response"];
    if (event["type"] !== "response.completed" || !isRecord(response)) continue;
    return { id: textOf(response["id"]), text: outputText(response), events };
  }
}

/** The messages of a socket, one after the other. */
class Messages {
  readonly opened: Promise<void>;
  readonly #arrived: string[] = [];
  #wake: ((text: string) => void) | null = null;
  #fail: ((error: Error) => void) | null = null;

  constructor(socket: WebSocket) {
    this.opened = new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("close", ({ code, reason }) => {
        const error = new CommandFailure(`The session closed with ${code} ${reason}`);
        reject(error);
        this.#fail?.(error);
      });
    });
    socket.addEventListener("message", ({ data }) => this.#take(String(data)));
  }

  next(): Promise<string> {
    const text = this.#arrived.shift();
    if (text !== undefined) return Promise.resolve(text);
    return new Promise((resolve, reject) => {
      this.#wake = resolve;
      this.#fail = reject;
    });
  }

  #take(text: string): void {
    if (this.#wake === null) this.#arrived.push(text);
    else this.#wake(text);
    this.#wake = null;
  }
}

async function post(url: string, token: string, body: object, io: Io): Promise<Response> {
  const response = await io.fetch(
    new Request(`${url}/v1/responses`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    }),
  );
  if (response.ok) return response;
  throw new CommandFailure(`The node answered ${response.status}: ${await response.text()}`);
}

async function manage(node: RunningNode, path: string, io: Io, body?: object): Promise<unknown> {
  const response = await io.fetch(
    new Request(`${node.adminUrl}/manage/${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${node.adminToken}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );
  return await response.json();
}

async function mint(node: RunningNode, io: Io): Promise<string> {
  const body = { project_id: "default", duration_minutes: 60, label: "demo" };
  const minted = await manage(node, "tokens", io, body);
  return isRecord(minted) ? textOf(minted["token"]) : "";
}

/** The tour's turns, oldest first, as soon as they are in the ledger. */
async function usage(node: RunningNode, io: Io): Promise<Record<string, unknown>[]> {
  const deadlineMs = systemClock.monotonicMs() + USAGE_WAIT_MS;
  for (;;) {
    const page = await manage(node, "usage/events", io);
    const events = isRecord(page) ? records(page["events"]) : [];
    if (events.length >= TURNS) return events.reverse();
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new CommandFailure(`Only ${events.length} of ${TURNS} turns reached the ledger`);
    }
    await sleep(systemClock, USAGE_POLL_MS);
  }
}

function usageTable(events: readonly Record<string, unknown>[]): string {
  const header = [
    "transport",
    "turn",
    "model",
    "status",
    "input",
    "output",
    "first token ms",
    "ms",
  ];
  const rows = events.map((event) => [
    textOf(event["transport"]),
    Number(event["turn"]),
    textOf(event["model"]),
    textOf(event["status"]),
    Number(event["input_tokens"]),
    Number(event["output_tokens"]),
    milliseconds(event["first_token_ms"]),
    milliseconds(event["duration_ms"]),
  ]);
  return renderTable(header, rows);
}

function milliseconds(value: unknown): string | null {
  return typeof value === "number" ? value.toFixed(1) : null;
}

/** The text of a response object of the Responses API. */
function outputText(response: Record<string, unknown>): string {
  return records(response["output"])
    .flatMap((item) => records(item["content"]))
    .map((part) => textOf(part["text"]))
    .join("");
}

function excerpt(text: string): string {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

function nextCommands(node: RunningNode, dataDir: string, token: string): string {
  const [url = ""] = node.urls;
  return `Both stay up until Ctrl-C. Try, in another terminal:

  export OPENAI_BASE_URL=${url}/v1
  export OPENAI_API_KEY=${token}

  curl $OPENAI_BASE_URL/responses -H "Authorization: Bearer $OPENAI_API_KEY" \\
       -H "Content-Type: application/json" -d '{"model":"${MODEL}","input":"Hello"}'

  sluice usage        --data-dir ${dataDir}
  sluice session list --data-dir ${dataDir}
  sluice token mint   --data-dir ${dataDir}

(from a checkout: npx bun src/main.ts usage …)
`;
}
