/** An upstream that is nothing but a TCP socket: it can send what no well-behaved server would. */

import type { Socket } from "bun";

export interface RawServer {
  readonly url: string;
  readonly port: number;
  /** Everything received so far. */
  received(): string;
  /** Resolves when a connection has been closed. */
  readonly closed: Promise<void>;
  stop(): void;
}

/** Calls `answer` once a connection, when what came satisfies `enough`: at once by default. */
export function rawServer(
  answer: (socket: Socket<{ asked: boolean }>) => void,
  enough: (received: string) => boolean = () => true,
): RawServer {
  let received = "";
  const closed = Promise.withResolvers<void>();
  const listener = Bun.listen<{ asked: boolean }>({
    hostname: "127.0.0.1",
    port: 0,
    data: { asked: false },
    socket: {
      open(socket) {
        socket.data = { asked: false };
      },
      data(socket, bytes) {
        received += bytes.toString("latin1");
        if (socket.data.asked || !enough(received)) return;
        socket.data.asked = true;
        answer(socket);
      },
      close: () => closed.resolve(),
      error() {},
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    port: listener.port,
    received: () => received,
    closed: closed.promise,
    stop: () => listener.stop(true),
  };
}
