/**
 * In-memory ends of a session's two sockets, each with a peer for the test to play and a kernel
 * buffer of a fixed size. They reveal reading that does not stop, writes that are lost or
 * reordered, and a close that comes before what was to be written.
 */

import { Buffer } from "node:buffer";

import type { Message } from "../../src/exchange.ts";
import type {
  SendStatus,
  Socket,
  SocketHandler,
  Stream,
  StreamHandler,
} from "../../src/runtime/runtime.ts";
import { readClientFrames, serverClose, serverFrame, serverMessage } from "./reference_codec.ts";

const sizeOf = (message: Message) => Buffer.byteLength(message);

/** The accepted WebSocket, and the client at its other end. Behaves as Bun's does. */
export class MemorySocket implements Socket {
  /** What the client received, in order. */
  readonly received: Message[] = [];
  /** The close frame that the client received. */
  closeFrame: { code: number | null; reason: string } | null = null;
  pings = 0;
  /** Writes that reached the kernel. */
  writes = 0;
  /** The client was dropped without a close frame. */
  terminated = false;
  answersPings = true;
  paused = false;
  frozen = false;
  /** Messages that the client sent and that were not read yet. */
  readonly unread: Message[] = [];
  readonly #kernelBytesMax: number;
  #handler: SocketHandler | null = null;
  #kernel: Message[] = [];
  #kernelBytes = 0;
  #buffered: Message[] = [];
  #bufferedBytes = 0;
  #corked = false;
  #closed = false;

  constructor(kernelBytesMax = 64 * 1024) {
    this.#kernelBytesMax = kernelBytesMax;
  }

  open(handler: SocketHandler): void {
    this.#handler = handler;
    handler.opened(this);
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  send(message: Message): SendStatus {
    if (this.#closed) return "dropped";
    if (!this.#corked) this.writes += 1;
    const copy = typeof message === "string" ? message : new Uint8Array(message);
    if (!this.frozen) {
      this.received.push(copy);
      return "sent";
    }
    if (this.#bufferedBytes === 0 && this.#kernelBytes + sizeOf(copy) <= this.#kernelBytesMax) {
      this.#kernel.push(copy);
      this.#kernelBytes += sizeOf(copy);
      return "sent";
    }
    this.#buffered.push(copy);
    this.#bufferedBytes += sizeOf(copy);
    return "queued";
  }

  cork(write: () => void): void {
    this.#corked = true;
    const before = this.received.length;
    write();
    this.#corked = false;
    if (this.received.length > before) this.writes += 1;
  }

  ping(): void {
    this.pings += 1;
    if (this.answersPings && !this.frozen) this.#handler?.ponged();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    while (!this.paused && this.unread.length > 0) {
      const message = this.unread.shift();
      if (message !== undefined) this.#handler?.message(message);
    }
  }

  close(code: number | null, reason: string): void {
    if (this.#closed) return;
    // Bun goes on writing after this, and nobody can stop it: a session must not get here.
    if (this.#bufferedBytes > 0) throw new Error("Closed with a full buffer");
    this.#flushKernel();
    this.closeFrame = { code, reason };
    this.#end(code ?? 1005, reason, false);
  }

  handOver(handler: SocketHandler): void {
    this.#handler = handler;
  }

  terminate(): void {
    if (this.#closed) return;
    this.terminated = true;
    this.#buffered = [];
    this.#bufferedBytes = 0;
    this.#end(1006, "", false);
  }

  // The client.

  /** The client sends messages that arrive in one read. */
  clientSends(...messages: Message[]): void {
    for (const message of messages) {
      if (this.paused) this.unread.push(message);
      else this.#handler?.message(message);
    }
  }

  clientCloses(code: number, reason = ""): void {
    this.#end(code, reason, false);
  }

  clientVanishes(): void {
    this.#end(1006, "", false);
  }

  clientRejected(code: number, reason: string): void {
    this.#end(code, reason, true);
  }

  freeze(): void {
    this.frozen = true;
  }

  /** The client reads `count` messages more, and then no more. */
  clientReads(count: number): void {
    for (let read = 0; read < count && this.#kernel.length > 0; read++) this.#readOne();
    this.#refill();
  }

  thaw(): void {
    this.#refill();
    while (this.#kernel.length > 0) {
      this.#flushKernel();
      this.#refill();
    }
    this.frozen = false;
  }

  #readOne(): void {
    const message = this.#kernel.shift();
    if (message === undefined) return;
    this.#kernelBytes -= sizeOf(message);
    this.received.push(message);
  }

  #flushKernel(): void {
    while (this.#kernel.length > 0) this.#readOne();
  }

  #refill(): void {
    let moved = false;
    for (let next = this.#buffered[0]; next !== undefined; next = this.#buffered[0]) {
      if (this.#kernelBytes > 0 && this.#kernelBytes + sizeOf(next) > this.#kernelBytesMax) break;
      this.#buffered.shift();
      this.#bufferedBytes -= sizeOf(next);
      this.#kernel.push(next);
      this.#kernelBytes += sizeOf(next);
      moved = true;
    }
    if (moved) this.#handler?.drained();
  }

  #end(code: number, reason: string, rejected: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.closed(code, reason, rejected);
  }
}

/** The connection to the upstream, and the upstream at its other end. */
export class MemoryStream implements Stream {
  /** Messages that the upstream received, in order; pings and pongs as `ping`, `pong`. */
  readonly received: Message[] = [];
  closeFrame: { code: number | null; reason: string } | null = null;
  /** Writes that the kernel took something of. */
  writes = 0;
  terminated = false;
  ended = false;
  /** Whether the upstream answers a close frame and ends the connection, as it should. */
  answersClose = true;
  answersPings = true;
  /** Whether `end` and `terminate` report the end before they return, as Bun's do. */
  endsInside = true;
  paused = false;
  /** Bytes that the upstream sent and that were not read yet. */
  unread: Buffer[] = [];
  readonly #later: (run: () => void) => void;
  readonly #kernelBytesMax: number;
  #handler: StreamHandler | null = null;
  #frozen = false;
  #kernel = Buffer.alloc(0);
  #closed = false;

  /** @param later runs what must not happen inside a call: the upstream's answers */
  constructor(later: (run: () => void) => void, kernelBytesMax = 64 * 1024) {
    this.#later = later;
    this.#kernelBytesMax = kernelBytesMax;
  }

  handOver(handler: StreamHandler): void {
    this.#handler = handler;
  }

  write(bytes: Uint8Array): number {
    if (this.#closed) return -1;
    const room = this.#frozen ? this.#kernelBytesMax - this.#kernel.length : bytes.length;
    const taken = Math.min(room, bytes.length);
    if (taken > 0) this.writes += 1;
    this.#kernel = Buffer.concat([this.#kernel, bytes.subarray(0, taken)]);
    if (!this.#frozen) this.#upstreamReads();
    return taken;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    while (!this.paused && this.unread.length > 0) {
      const bytes = this.unread.shift();
      if (bytes !== undefined) this.#handler?.data(bytes);
    }
  }

  end(): void {
    this.ended = true;
    this.#endOwn();
  }

  terminate(): void {
    this.terminated = true;
    this.#endOwn();
  }

  #endOwn(): void {
    if (this.endsInside) this.#end(null);
    else this.#later(() => this.#end(null));
  }

  // The upstream.

  /** The upstream sends bytes that arrive in one read. */
  upstreamWrites(bytes: Buffer): void {
    if (this.#closed) return;
    if (this.paused) this.unread.push(bytes);
    // A copy that is wiped afterwards, so that a view kept for longer shows.
    else this.#deliver(bytes);
  }

  /** The upstream sends messages that arrive in one read. */
  upstreamSends(...messages: Message[]): void {
    this.upstreamWrites(Buffer.concat(messages.map(serverMessage)));
  }

  upstreamCloses(code: number | null, reason = ""): void {
    this.upstreamWrites(serverClose(code, reason));
  }

  upstreamVanishes(): void {
    this.#end(new Error("ECONNRESET"));
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    this.#upstreamReads();
    this.#handler?.drained();
  }

  /** The upstream reads what its kernel has, and then no more. */
  upstreamReadsOnce(): void {
    this.#upstreamReads();
    this.#handler?.drained();
  }

  #deliver(bytes: Buffer): void {
    const view = Buffer.from(bytes);
    this.#handler?.data(view);
    view.fill(0x21);
  }

  #upstreamReads(): void {
    const { frames, used } = readClientFrames(this.#kernel);
    this.#kernel = this.#kernel.subarray(used);
    for (const { opcode, payload } of frames) {
      if (opcode === 1) this.received.push(payload.toString());
      else if (opcode === 2) this.received.push(new Uint8Array(payload));
      else if (opcode === 9) this.#pinged(payload);
      else if (opcode === 10) this.received.push(`pong ${payload.toString()}`);
      else if (opcode === 8) this.#closeReceived(payload);
    }
  }

  #pinged(payload: Buffer): void {
    if (this.answersPings) this.#later(() => this.upstreamWrites(serverFrame(10, payload)));
  }

  #closeReceived(payload: Buffer): void {
    this.closeFrame = {
      code: payload.length < 2 ? null : payload.readUInt16BE(0),
      reason: payload.subarray(2).toString(),
    };
    if (!this.answersClose) return;
    const answer = serverClose(this.closeFrame.code);
    this.#later(() => {
      this.upstreamWrites(answer);
      this.#end(null);
    });
  }

  #end(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.closed(error);
  }
}
