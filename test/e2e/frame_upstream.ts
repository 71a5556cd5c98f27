/**
 * An upstream that accepts WebSockets and leaves everything else to the test: what it writes, and
 * whether it reads. Counts what it receives without keeping it.
 */

import { Buffer } from "node:buffer";

import type { Socket } from "bun";

/** One session, seen from the upstream. */
export class UpstreamPeer {
  /** Whole data frames that came, and their payload bytes. */
  frames = 0;
  bytes = 0;
  /** The code of the close frame that came; 1005 for none in it. */
  closeCode: number | null = null;
  readonly gone: Promise<void>;
  readonly #socket: Socket<UpstreamPeer>;
  readonly #left: () => void;
  #head: Buffer = Buffer.alloc(0);
  #upgraded = false;
  #payloadLeft = 0;
  #counted = false;
  #pending: Buffer[] = [];

  constructor(socket: Socket<UpstreamPeer>) {
    this.#socket = socket;
    const gone = Promise.withResolvers<void>();
    this.gone = gone.promise;
    this.#left = gone.resolve;
  }

  /** Writes bytes as the other side takes them. */
  write(bytes: Buffer): void {
    this.#pending.push(bytes);
    if (this.#pending.length === 1) this.drained();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Drops the connection without a close frame. */
  vanish(): void {
    this.#socket.terminate();
  }

  drained(): void {
    for (let bytes = this.#pending[0]; bytes !== undefined; bytes = this.#pending[0]) {
      const written = Math.max(0, this.#socket.write(bytes));
      if (written < bytes.length) {
        this.#pending[0] = bytes.subarray(written);
        return;
      }
      this.#pending.shift();
    }
  }

  left(): void {
    this.#left();
  }

  /** Returns whether the session became one with this read. */
  data(bytes: Buffer): boolean {
    if (this.#upgraded) {
      this.#count(bytes);
      return false;
    }
    this.#head = Buffer.concat([this.#head, bytes]);
    const head = this.#head.toString("latin1");
    if (!head.includes("\r\n\r\n")) return false;
    const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? "";
    const accept = new Bun.CryptoHasher("sha1")
      .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${accept}`,
    ];
    this.write(Buffer.from(`${lines.join("\r\n")}\r\n\r\n`));
    this.#head = Buffer.alloc(0);
    this.#upgraded = true;
    return true;
  }

  #count(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#payloadLeft > 0) {
        const taken = Math.min(this.#payloadLeft, rest.length);
        if (this.#counted) this.bytes += taken;
        rest = rest.subarray(taken);
        this.#payloadLeft -= taken;
        if (this.#payloadLeft === 0 && this.#counted) this.frames += 1;
        continue;
      }
      this.#head = Buffer.concat([this.#head, rest.subarray(0, 1)]);
      rest = rest.subarray(1);
      this.#header();
    }
  }

  /** Takes the head of a frame once it is whole: with the mask, and with a close frame's code. */
  #header(): void {
    const head = this.#head;
    const short = (head[1] ?? 0) & 0x7f;
    const isClose = ((head[0] ?? 0) & 0x0f) === 8;
    const size = 6 + (short === 126 ? 2 : short === 127 ? 8 : 0);
    if (head.length < size + (isClose ? Math.min(2, short) : 0)) return;
    this.#head = Buffer.alloc(0);
    if (isClose) {
      const [mask0 = 0, mask1 = 0, , , code0 = 0, code1 = 0] = head.subarray(2);
      this.closeCode = short === 0 ? 1005 : ((code0 ^ mask0) << 8) | (code1 ^ mask1);
      this.#payloadLeft = Math.max(0, short - 2);
    } else if (short === 127) this.#payloadLeft = Number(head.readBigUInt64BE(2));
    else this.#payloadLeft = short === 126 ? head.readUInt16BE(2) : short;
    this.#counted = !isClose && ((head[0] ?? 0) & 0x0f) < 8;
  }
}

export interface FrameUpstream {
  readonly url: string;
  /** Those that are open. */
  readonly peers: ReadonlySet<UpstreamPeer>;
  /** The next session that opens. */
  next(): Promise<UpstreamPeer>;
  stop(): void;
}

/** Listens on a free port. */
export function frameUpstream(): FrameUpstream {
  const peers = new Set<UpstreamPeer>();
  let waiting: ((peer: UpstreamPeer) => void)[] = [];
  const listener = Bun.listen<UpstreamPeer>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = new UpstreamPeer(socket);
      },
      data(socket, bytes) {
        if (!socket.data.data(bytes)) return;
        peers.add(socket.data);
        const told = waiting;
        waiting = [];
        for (const tell of told) tell(socket.data);
      },
      drain: (socket) => socket.data.drained(),
      close(socket) {
        peers.delete(socket.data);
        socket.data.left();
      },
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    peers,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    stop: () => listener.stop(true),
  };
}
