/**
 * The runtime interface on Bun.
 *
 * Owns: the listener (`Bun.serve`) and accepted WebSockets.
 * Does not own: connections that we open (`bun_connect.ts`, `bun_pool.ts`), policy, limits or
 * timers; the runtime's own timers are turned off inside an exchange, because they are shorter than
 * ours (255 s on HTTP, 960 s on WebSocket).
 * Invariant: nothing is dropped by the runtime. `backpressureLimit` is off, so `send` queues and
 * the caller bounds the queue by pausing the other side.
 */

import type { Server, ServerWebSocket } from "bun";

import type { Message } from "../exchange.ts";
import { connect } from "./bun_connect.ts";
import { openPool } from "./bun_pool.ts";
import {
  type Connection,
  IDLE_TIMEOUT_S,
  type Listener,
  type ListenOptions,
  type Runtime,
  type SendStatus,
  type Socket,
  type SocketHandler,
} from "./runtime.ts";

/** An accepted WebSocket; also the `data` of Bun's, which saves an object a session. */
class BunSocket implements Socket {
  handler: SocketHandler;
  #socket: ServerWebSocket<BunSocket> | null = null;

  constructor(handler: SocketHandler) {
    this.handler = handler;
  }

  open(socket: ServerWebSocket<BunSocket>): void {
    this.#socket = socket;
    // A Buffer's `slice` is no copy: not what a reader of a Uint8Array expects.
    socket.binaryType = "uint8array";
    this.handler.opened(this);
  }

  close(code: number | null, reason: string): void {
    this.#socket?.close(code ?? 1005, reason);
  }

  handOver(handler: SocketHandler): void {
    this.handler = handler;
  }

  /** Lets go of Bun's socket, so that whoever still holds this one does not keep that alive. */
  release(code: number, reason: string): void {
    this.#socket = null;
    const breach = code === 1006 ? breachCode(reason) : null;
    this.handler.closed(breach ?? code, reason, breach !== null);
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

  terminate(): void {
    this.#socket?.terminate();
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }
}

/**
 * The close code that Bun sent to a peer that broke the protocol, or null where none did. Bun
 * reports 1006 with a text of its own, and a connection that just vanished without one.
 */
function breachCode(reason: string): number | null {
  if (!reason.startsWith("Received ")) return null;
  if (reason === "Received too big message") return 1009;
  return reason === "Received invalid UTF-8" ? 1007 : 1002;
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
    idleTimeout: IDLE_TIMEOUT_S,
    // Or a second process on the same port would be given half of the connections.
    reusePort: false,
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
      close: (socket, code, reason) => socket.data.release(code, reason),
    },
  });
  return {
    hostname: server.hostname ?? options.hostname,
    port: server.port ?? options.port,
    secure,
    stop: (force) => server.stop(force),
  };
}

/** sluice's runtime on Bun. */
export const bunRuntime: Runtime = { listen, connect, openPool };
