/** An upstream that is but a TCP socket, for what no well-behaved server can be made to do. */

import type { Socket } from "bun";

export interface RawUpstream {
  readonly url: string;
  readonly socket: Socket<undefined>;
  /** Everything received so far, over all connections. */
  received(): string;
  /** Resolves when a connection was closed by the other side. */
  closed(): Promise<void>;
  stop(): Promise<void>;
}

/** Listens on a free port and calls `answer` for each read with what came. */
export async function rawUpstream(
  answer: (socket: Socket<undefined>, text: string) => void,
): Promise<RawUpstream> {
  let received = "";
  let current: Socket<undefined> | null = null;
  const closed = Promise.withResolvers<void>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        const text = bytes.toString("latin1");
        received += text;
        current = socket;
        answer(socket, text);
      },
      close: () => closed.resolve(),
      error: () => closed.resolve(),
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    get socket() {
      if (current === null) throw new Error("Nothing has connected yet");
      return current;
    },
    received: () => received,
    closed: () => closed.promise,
    stop: async () => listener.stop(true),
  };
}

/** Answers the handshake in `head` as RFC 6455 section 4.2.2 says; false where it is none. */
export function acceptUpgrade(socket: Socket<undefined>, head: string): boolean {
  const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1];
  if (key === undefined) return false;
  const accept = new Bun.CryptoHasher("sha1")
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" +
      `sec-websocket-accept: ${accept}\r\n\r\n`,
  );
  return true;
}
