/**
 * The runtime interface on Bun.
 *
 * Owns: the listener (`Bun.serve`), accepted WebSockets and outgoing connections (`Bun.connect`).
 * Does not own: policy, limits or timers; the runtime's own timers are turned off, because they are
 * shorter than ours (255 s on HTTP, 960 s on WebSocket).
 * Invariant: nothing is dropped by the runtime. `backpressureLimit` is off, so `send` queues and the
 * caller bounds the queue by pausing the other side.
 */

import type { Server, ServerWebSocket } from "bun";

import type { Message } from "../exchange.ts";
import type {
  Connection,
  ConnectOptions,
  Listener,
  ListenOptions,
  Runtime,
  SendStatus,
  Socket,
  SocketHandler,
  Stream,
  StreamHandler,
} from "./runtime.ts";

/** An accepted WebSocket; also the `data` of Bun's, which saves an object a session. */
class BunSocket implements Socket {
  readonly handler: SocketHandler;
  #socket: ServerWebSocket<BunSocket> | null = null;

  constructor(handler: SocketHandler) {
    this.handler = handler;
  }

  open(socket: ServerWebSocket<BunSocket>): void {
    this.#socket = socket;
    this.handler.opened(this);
  }

  send(message: Message): SendStatus {
    const socket = this.#socket;
    if (socket === null) return "dropped";
    const status =
      typeof message === "string" ? socket.sendText(message) : socket.sendBinary(message);
    return status > 0 ? "sent" : status === -1 ? "queued" : "dropped";
  }

  cork(write: () => void): void {
    if (this.#socket === null) write();
    else this.#socket.cork(write);
  }

  ping(): void {
    this.#socket?.ping();
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  close(code: number | null, reason: string): void {
    this.#socket?.close(code ?? 1005, reason);
  }

  terminate(): void {
    this.#socket?.terminate();
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }
}

class BunConnection implements Connection {
  readonly #request: Request;
  readonly #server: Server<BunSocket>;
  readonly secure: boolean;

  constructor(request: Request, server: Server<BunSocket>, secure: boolean) {
    this.#request = request;
    this.#server = server;
    this.secure = secure;
  }

  get remoteAddress(): string {
    return this.#server.requestIP(this.#request)?.address ?? "";
  }

  upgrade(headers: Headers, subprotocol: string | null, handler: SocketHandler): boolean {
    // Without this header Bun selects the client's first subprotocol, which may be the token.
    headers.set("sec-websocket-protocol", subprotocol ?? "");
    return this.#server.upgrade(this.#request, { headers, data: new BunSocket(handler) });
  }

  setIdleTimeout(seconds: number): void {
    this.#server.timeout(this.#request, seconds);
  }
}

function listen(options: ListenOptions): Listener {
  const secure = options.tls !== undefined;
  const server = Bun.serve<BunSocket>({
    hostname: options.hostname,
    port: options.port,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    maxRequestBodySize: options.bodyBytesMax,
    idleTimeout: 0,
    development: false,
    fetch: (request, self) => options.handle(request, new BunConnection(request, self, secure)),
    websocket: {
      maxPayloadLength: options.messageBytesMax,
      backpressureLimit: 0,
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (socket) => socket.data.open(socket),
      message: (socket, message) => socket.data.handler.message(message),
      drain: (socket) => socket.data.handler.drained(),
      pong: (socket) => socket.data.handler.ponged(),
      close: (socket, code, reason) => socket.data.handler.closed(code, reason),
    },
  });
  return {
    hostname: server.hostname ?? options.hostname,
    port: server.port ?? options.port,
    secure,
    stop: (force) => server.stop(force),
  };
}

function connect(options: ConnectOptions, handler: StreamHandler): () => void {
  let closed = false;
  let failure: Error | null = null;
  let live: { terminate(): void } | null = null;
  const close = (error: Error | null) => {
    if (closed) return;
    closed = true;
    handler.closed(error);
  };
  const open = (stream: Stream & { terminate(): void }) => {
    live = stream;
    if (closed) stream.terminate();
    else handler.opened(stream);
  };
  const { tls } = options;
  Bun.connect({
    hostname: options.hostname,
    port: options.port,
    ...(tls === undefined
      ? {}
      : { tls: { serverName: tls.serverName, ...(tls.ca === undefined ? {} : { ca: tls.ca }) } }),
    socket: {
      binaryType: "uint8array",
      open(socket) {
        live = socket;
        socket.setNoDelay(true);
        if (tls === undefined) open(socket);
      },
      handshake(socket, success, error) {
        if (success && socket.authorized) {
          open(socket);
          return;
        }
        failure = error ?? new Error("TLS certificate not trusted");
        socket.terminate();
      },
      data: (_, bytes) => handler.data(bytes),
      drain: () => handler.drained(),
      error(_, error) {
        failure = error;
      },
      close: (_, error) => close(failure ?? error ?? null),
      connectError: (_, error) => close(error),
    },
  }).catch(close);
  return () => {
    if (live === null) close(new Error("Connection attempt given up"));
    else live.terminate();
  };
}

/** sluice's runtime on Bun. */
export const bunRuntime: Runtime = { listen, connect };
