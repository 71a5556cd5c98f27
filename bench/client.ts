/**
 * The load of the bench, as a process of its own: drives one scenario against one address and
 * prints what it saw. Prints `{"ready":true}` when everything is open and warm, and starts at the
 * line `go`.
 *
 *   bun bench/client.ts '{"port":8080,"token":"…","scenario":{…}}'
 *
 * Owns: sending, counting, timing. Does not own: whose CPU is measured; `run.ts` reads that.
 * Invariant: every frame, event and answer that is expected is counted, and one too few never ends,
 * so that a relay which loses something cannot look fast.
 */

import type { Socket } from "bun";

import { EVENTS_AROUND_DELTAS, type Scenario } from "./scenarios.ts";
import { encodeFrame, FrameReader, HttpReader, nowUs, readAges, textFrame } from "./wire.ts";

export interface ClientOptions {
  readonly port: number;
  readonly token: string;
  readonly scenario: Scenario;
}

export interface ClientResult {
  readonly units: number;
  readonly durationUs: number;
  /** Of what is timed: deltas of paced turns, whole requests; empty in bursts. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
}

const { port, token, scenario }: ClientOptions = JSON.parse(process.argv[2] ?? "");
const agesUs: number[] = [];

/** One connection that does one turn at a time. */
interface Lane {
  turn(): Promise<void>;
}

function turnRequest(): Record<string, unknown> {
  return { model: "gpt-5", input: "Say x.", metadata: { turn: JSON.stringify(scenario) } };
}

function fail(what: string): never {
  console.error(`bench client: ${what}`);
  process.exit(1);
}

/** Opens a connection; `data` gets what arrives. */
function connect(data: (chunk: Uint8Array) => void): Promise<Socket> {
  return Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      binaryType: "uint8array",
      open: (socket) => void socket.setNoDelay(true),
      data: (_, chunk) => data(chunk),
      close: () => fail("the connection was closed"),
      error: (_, error) => fail(error.message),
    },
  });
}

/** Writes whole, or fails: requests are far smaller than a socket's buffer. */
function send(socket: Socket, bytes: Uint8Array | string): void {
  const length = Buffer.byteLength(bytes);
  if (socket.write(bytes) !== length) fail("a request was not taken whole");
}

function requestHead(line: string, headers: readonly string[]): string {
  const all = [line, "Host: 127.0.0.1", `Authorization: Bearer ${token}`, ...headers];
  return `${all.join("\r\n")}\r\n\r\n`;
}

async function openWebSocket(): Promise<Lane> {
  const expected = scenario.deltas + EVENTS_AROUND_DELTAS;
  const reader = new FrameReader();
  const http = new HttpReader();
  const request = textFrame(JSON.stringify({ type: "response.create", ...turnRequest() }), true);
  let upgraded = Promise.withResolvers<void>();
  let isOpen = false;
  let seen = 0;
  const frame = (opcode: number, payload: Uint8Array) => {
    if (opcode === 9) send(socket, encodeFrame(10, payload, true));
    if (opcode === 8) fail(`the session was closed: ${Buffer.from(payload.subarray(2))}`);
    if (opcode !== 1) return;
    if (scenario.intervalMs > 0) readAges(payload, (ageUs) => agesUs.push(ageUs));
    seen += 1;
    if (seen === expected) upgraded.resolve();
  };
  const head = (text: string): "upgraded" => {
    if (!text.startsWith("HTTP/1.1 101 ")) fail(`no upgrade: ${text}`);
    isOpen = true;
    upgraded.resolve();
    return "upgraded";
  };
  const socket = await connect((chunk) => {
    if (isOpen) reader.push(chunk, frame);
    else {
      http.push(chunk, { head, body: () => undefined, end: () => undefined });
      if (isOpen) reader.push(http.takeRest(), frame);
    }
  });
  const upgrade = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
  ];
  send(socket, requestHead("GET /v1/responses HTTP/1.1", upgrade));
  await upgraded.promise;
  return {
    turn() {
      seen = 0;
      upgraded = Promise.withResolvers();
      send(socket, request);
      return upgraded.promise;
    },
  };
}

async function openHttp(): Promise<Lane> {
  const sse = scenario.kind === "sse";
  const messages = [{ role: "user", content: "x".repeat(200) }];
  const body = JSON.stringify(
    sse ? { ...turnRequest(), stream: true } : { model: "gpt-5", messages },
  );
  const path = sse ? "/v1/responses" : "/v1/chat/completions";
  const headers = ["Content-Type: application/json", `Content-Length: ${body.length}`];
  const request = requestHead(`POST ${path} HTTP/1.1`, headers) + body;
  const reader = new HttpReader();
  let answered = Promise.withResolvers<void>();
  let sentUs = 0;
  let events = 0;
  let last = 0;
  const sink = {
    head(head: string): undefined {
      if (!head.startsWith("HTTP/1.1 200 ")) fail(`not 200: ${head}`);
    },
    body(piece: Uint8Array) {
      if (!sse) return;
      readAges(piece, (ageUs) => agesUs.push(ageUs));
      for (const byte of piece) {
        if (byte === 10 && last === 10) events += 1;
        last = byte;
      }
    },
    end() {
      if (sse && events !== scenario.deltas + EVENTS_AROUND_DELTAS) fail(`${events} events`);
      if (!sse) agesUs.push(nowUs() - sentUs);
      answered.resolve();
    },
  };
  const socket = await connect((chunk) => reader.push(chunk, sink));
  return {
    turn() {
      events = 0;
      sentUs = nowUs();
      answered = Promise.withResolvers();
      send(socket, request);
      return answered.promise;
    },
  };
}

async function run(lanes: readonly Lane[], turns: number): Promise<void> {
  await Promise.all(
    lanes.map(async (lane) => {
      for (let turn = 0; turn < turns; turn++) await lane.turn();
    }),
  );
}

/** Lanes are opened a few at a time, so that no listener's queue overflows. */
async function openLanes(count: number): Promise<Lane[]> {
  const open = scenario.kind === "websocket" || scenario.kind === "idle" ? openWebSocket : openHttp;
  const lanes: Lane[] = [];
  while (lanes.length < count) {
    const batch = Math.min(50, count - lanes.length);
    lanes.push(...(await Promise.all(Array.from({ length: batch }, open))));
  }
  return lanes;
}

function quantile(sorted: readonly number[], share: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
}

const lines = console[Symbol.asyncIterator]();
const lanes = await openLanes(scenario.sessions);
// The first turn warms both sides up; idle sessions are measured before it.
if (scenario.kind !== "idle") await run(lanes, 1);
console.log(JSON.stringify({ ready: true }));
await lines.next();

agesUs.length = 0;
const startUs = nowUs();
await run(lanes, scenario.turns);
const durationUs = nowUs() - startUs;
agesUs.sort((a, b) => a - b);
const units = scenario.turns * lanes.length;
console.log(
  JSON.stringify({
    units,
    durationUs,
    p50Us: quantile(agesUs, 0.5),
    p99Us: quantile(agesUs, 0.99),
  } satisfies ClientResult),
);
// Sessions stay open until the parent has measured them.
await lines.next();
process.exit(0);
