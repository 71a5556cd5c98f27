/**
 * A WebSocket client that is nothing but a TCP socket, for what a well-behaved one would not send.
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { createServer, type Server, type Socket, connect as tcpConnect } from "node:net";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** A masked frame, as a client sends it. */
export function clientFrame(
  opcode: number,
  payload: Uint8Array | string,
  { final = true }: { final?: boolean } = {},
): Buffer {
  const body = Buffer.from(payload as string);
  const header = Buffer.alloc(body.length < 126 ? 2 : body.length < 65536 ? 4 : 10);
  header[0] = (final ? 0x80 : 0) | opcode;
  if (body.length < 126) header[1] = 0x80 | body.length;
  else if (body.length < 65536) {
    header[1] = 0x80 | 126;
    header.writeUInt16BE(body.length, 2);
  } else {
    header[1] = 0x80 | 127;
    header.writeBigUInt64BE(BigInt(body.length), 2);
  }
  const mask = Buffer.from([0x12, 0x34, 0x56, 0x78]);
  const masked = body.map((byte, i) => byte ^ (mask[i % 4] ?? 0));
  return Buffer.concat([header, mask, masked]);
}

export interface RawFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** A server that sends one greeting and counts what it receives. */
export interface RawPeer {
  readonly port: number;
  receivedBytes(): number;
  pause(): void;
  resume(): void;
  stop(): void;
}

export class RawClient {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  head = "";
  readonly frames: RawFrame[] = [];
  reads = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Connects and sends a handshake; `headers` replace its own, an empty value removes one. */
  static async open(port: number, headers: Record<string, string>): Promise<RawClient> {
    const socket = tcpConnect({ port, host: "127.0.0.1" });
    const client = new RawClient(socket);
    const sent: Record<string, string> = {
      host: `127.0.0.1:${port}`,
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": KEY,
      ...headers,
    };
    const lines = Object.entries(sent).filter(([, value]) => value !== "");
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const answered = Promise.withResolvers<void>();
    socket.on("data", (bytes: Buffer) => {
      client.#read(bytes);
      if (client.head !== "") answered.resolve();
    });
    socket.on("error", () => {});
    socket.on("close", () => answered.resolve());
    socket.write(`GET /session HTTP/1.1\r\n${text}\r\n`);
    await answered.promise;
    return client;
  }

  /** Listens; sends `greeting` to whoever connects, and ends after it where `end` says so. */
  static async server(greeting = "", end = false): Promise<RawPeer> {
    let received = 0;
    let current: Socket | null = null;
    let paused = false;
    const server: Server = createServer((socket) => {
      current = socket;
      if (paused) socket.pause();
      socket.on("data", (bytes: Buffer) => {
        received += bytes.length;
      });
      socket.on("error", () => {});
      if (greeting !== "") socket.write(greeting);
      if (end) socket.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("Not listening");
    return {
      port: address.port,
      receivedBytes: () => received,
      pause() {
        paused = true;
        current?.pause();
      },
      resume: () => void current?.resume(),
      stop() {
        current?.destroy();
        server.close();
      },
    };
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.head)?.[1]);
  }

  get expectedAccept(): string {
    const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    return createHash("sha1")
      .update(KEY + guid)
      .digest("base64");
  }

  header(name: string): string | undefined {
    const line = this.head.split("\r\n").find((one) => one.toLowerCase().startsWith(`${name}:`));
    return line?.slice(name.length + 1).trim();
  }

  write(...frames: Uint8Array[]): void {
    this.#socket.write(Buffer.concat(frames));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.resetAndDestroy();
  }

  closeFrame(): { code: number | null; reason: string } | null {
    const frame = this.frames.find(({ opcode }) => opcode === 8);
    if (frame === undefined) return null;
    const { payload } = frame;
    const code = payload.length < 2 ? null : payload.readUInt16BE(0);
    return { code, reason: payload.subarray(2).toString() };
  }

  /** Resolves when `condition` holds; throws after five seconds of the loop turning. */
  async until(condition: () => boolean): Promise<void> {
    const end = performance.now() + 5_000;
    while (!condition()) {
      if (performance.now() > end) throw new Error("Waited for five seconds");
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Lets the loop turn until whatever can move has moved. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 300; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  #read(bytes: Buffer): void {
    this.reads += 1;
    this.#received = Buffer.concat([this.#received, bytes]);
    if (this.head === "") {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end === -1) return;
      this.head = this.#received.toString("latin1", 0, end);
      this.#received = this.#received.subarray(end + 4);
    }
    while (this.#takeFrame()) {
      // Everything happens in the condition.
    }
  }

  #takeFrame(): boolean {
    const bytes = this.#received;
    if (bytes.length < 2) return false;
    const short = bytes.readUInt8(1);
    const at = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (bytes.length < at) return false;
    const length =
      short === 126
        ? bytes.readUInt16BE(2)
        : short === 127
          ? Number(bytes.readBigUInt64BE(2))
          : short;
    if (bytes.length < at + length) return false;
    this.frames.push({
      opcode: bytes.readUInt8(0) & 0x0f,
      payload: bytes.subarray(at, at + length),
    });
    this.#received = bytes.subarray(at + length);
    return true;
  }
}
