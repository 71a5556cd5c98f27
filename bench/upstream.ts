/**
 * The upstream of the bench: a provider that costs as little as it can, so that the relay in front
 * of it is what is measured. Prints its port and serves until it is ended.
 *
 * Owns: OpenAI's event shapes over WebSocket, SSE and JSON. Does not own: what a turn looks like;
 * the request says it in `metadata`.
 * Invariant: nothing is queued beyond one write a connection; what the peer does not take is not
 * made.
 */

import type { Socket } from "bun";

import type { Scenario } from "./scenarios.ts";
import { deltaEvent, encodeFrame, FrameReader, HttpReader, stamp, textFrame } from "./wire.ts";

type Turn = Pick<Scenario, "deltas" | "deltaBytes" | "deltasPerWrite" | "intervalMs">;

const USAGE = {
  input_tokens: 1000,
  input_tokens_details: { cached_tokens: 512 },
  output_tokens: 500,
  output_tokens_details: { reasoning_tokens: 64 },
  total_tokens: 1500,
};

function responseEvent(type: "created" | "completed", id: string): string {
  const usage = type === "completed" ? USAGE : null;
  const status = type === "completed" ? "completed" : "in_progress";
  const response = {
    id,
    object: "response",
    status,
    model: "gpt-5",
    service_tier: "default",
    usage,
  };
  return JSON.stringify({ type: `response.${type}`, response });
}

const CHAT_ANSWER = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1_795_190_000,
  model: "gpt-5",
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: "x".repeat(600) },
      finish_reason: "stop",
    },
  ],
  usage: {
    prompt_tokens: 1000,
    completion_tokens: 500,
    total_tokens: 1500,
    prompt_tokens_details: { cached_tokens: 512 },
    completion_tokens_details: { reasoning_tokens: 64 },
  },
  service_tier: "default",
});

/** How an event is put on the wire: a frame, or a chunk that holds one server-sent event. */
type Encode = (event: string) => Uint8Array;

const asFrame: Encode = (event) => textFrame(event, false);
const asChunk: Encode = (event) => {
  const type = /"type":"([^"]+)"/.exec(event)?.[1];
  const text = `event: ${type}\ndata: ${event}\n\n`;
  return Buffer.from(`${text.length.toString(16)}\r\n${text}\r\n`);
};

/** Deltas as they are written at once, made once for each shape of turn. */
const deltaBlocks = new Map<string, Buffer>();

function deltaBlock(turn: Turn, count: number, encode: Encode): Buffer {
  const key = `${turn.deltaBytes} ${count} ${encode === asFrame}`;
  const known = deltaBlocks.get(key);
  if (known !== undefined) return known;
  const one = encode(deltaEvent(turn.deltaBytes));
  const block = Buffer.concat(Array.from({ length: count }, () => one));
  deltaBlocks.set(key, block);
  return block;
}

/** Runs once a millisecond for every turn that is paced. */
const paced = new Set<{ dueMs: number; everyMs: number; run: () => void }>();
setInterval(() => {
  const now = performance.now();
  for (const one of paced) {
    if (one.dueMs > now) continue;
    one.dueMs = Math.max(one.dueMs + one.everyMs, now);
    one.run();
  }
}, 1);

class Peer {
  readonly #socket: Socket<Peer>;
  readonly #http = new HttpReader();
  readonly #frames = new FrameReader();
  #isWebSocket = false;
  #head = "";
  #body = "";
  #turnCount = 0;
  /** What the peer has not taken yet, and what to do once it has. */
  #pending: Uint8Array | null = null;
  #then: (() => void) | null = null;

  constructor(socket: Socket<Peer>) {
    this.#socket = socket;
  }

  data(chunk: Uint8Array): void {
    if (this.#isWebSocket) this.#readFrames(chunk);
    else this.#http.push(chunk, this);
  }

  head(head: string): "upgraded" | undefined {
    this.#head = head;
    this.#body = "";
    const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head)?.[1];
    if (key === undefined) return undefined;
    this.#isWebSocket = true;
    const accept = new Bun.CryptoHasher("sha1")
      .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    this.#write(
      Buffer.from(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
      ),
    );
    return "upgraded";
  }

  body(piece: Uint8Array): void {
    this.#body += Buffer.from(piece).toString();
  }

  end(): void {
    if (this.#head.includes(" /v1/responses ")) {
      const head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
      const done = () => this.#write(Buffer.from("0\r\n\r\n"));
      this.#write(Buffer.from(head), () => this.#turn(this.#body, asChunk, done));
    } else {
      const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
      this.#write(Buffer.from(`${head}${CHAT_ANSWER.length}\r\n\r\n${CHAT_ANSWER}`));
    }
  }

  drained(): void {
    if (this.#pending !== null) this.#write(this.#pending, this.#then);
  }

  #readFrames(chunk: Uint8Array): void {
    this.#frames.push(chunk, (opcode, payload) => {
      if (opcode === 1) this.#turn(Buffer.from(payload).toString(), asFrame, null);
      if (opcode === 8) this.#socket.end(encodeFrame(8, payload, false));
      if (opcode === 9) this.#socket.write(encodeFrame(10, payload, false));
    });
  }

  #turn(request: string, encode: Encode, done: (() => void) | null): void {
    const turn: Turn = JSON.parse(JSON.parse(request).metadata.turn);
    const id = `resp_${process.pid}_${(this.#turnCount += 1)}`;
    const finish = () => this.#write(encode(responseEvent("completed", id)), done);
    this.#write(encode(responseEvent("created", id)), () => {
      if (turn.intervalMs > 0) this.#paced(turn, encode, finish);
      else this.#burst(turn, encode, turn.deltas, finish);
    });
  }

  #burst(turn: Turn, encode: Encode, left: number, finish: () => void): void {
    if (left === 0) return finish();
    const count = Math.min(left, turn.deltasPerWrite);
    this.#write(deltaBlock(turn, count, encode), () =>
      this.#burst(turn, encode, left - count, finish),
    );
  }

  #paced(turn: Turn, encode: Encode, finish: () => void): void {
    let left = turn.deltas;
    const run = () => {
      if (this.#pending !== null) return;
      const block = deltaBlock(turn, 1, encode);
      stamp(block);
      left -= 1;
      if (left === 0) paced.delete(entry);
      this.#write(block, left === 0 ? finish : null);
    };
    const entry = { dueMs: performance.now(), everyMs: turn.intervalMs, run };
    paced.add(entry);
  }

  #write(bytes: Uint8Array, then: (() => void) | null = null): void {
    const taken = Math.max(0, this.#socket.write(bytes));
    this.#pending = taken === bytes.length ? null : bytes.slice(taken);
    this.#then = then;
    if (this.#pending === null) then?.();
  }
}

const server = Bun.listen<Peer>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    binaryType: "uint8array",
    open(socket) {
      socket.setNoDelay(true);
      socket.data = new Peer(socket);
    },
    data: (socket, chunk) => socket.data.data(chunk),
    drain: (socket) => socket.data.drained(),
  },
});
console.log(JSON.stringify({ port: server.port }));
