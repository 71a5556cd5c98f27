/**
 * Connections that we open, on Bun: TCP, TLS, and both through a proxy.
 *
 * Owns: one connection from the attempt to its end (`Bun.connect`), the CONNECT request (RFC 9110
 * section 9.3.6) and TLS in the tunnel. Does not own: what is said on it, limits or timers.
 * Invariant: the handler's `closed` is called once, and a stream that was given up leaves no
 * connection behind, whatever stage it was in.
 */

import { Buffer } from "node:buffer";

import type { Socket as TcpSocket, SocketHandler as TcpHandler, TLSOptions } from "bun";

import { bracketed } from "../lib/host_name.ts";
import {
  type Certificates,
  type ConnectOptions,
  ProxyError,
  type Stream,
  type StreamHandler,
  TlsError,
} from "./runtime.ts";

/** As much as a proxy may say before the tunnel is there. */
const PROXY_HEAD_BYTES_MAX = 64 * 1024;

/** What is used of Bun's socket, the one to the upstream or the one to the proxy. */
type Wire = Pick<TcpSocket, "write" | "pause" | "resume" | "end" | "terminate" | "setNoDelay">;

/** A connection that we opened; also the `data` of Bun's socket, so that all share one handler. */
class BunStream implements Stream {
  readonly secure: boolean;
  #wire: Wire | null = null;
  #handler: StreamHandler;
  #failure: Error | null = null;
  #closed = false;

  constructor(handler: StreamHandler, secure: boolean) {
    this.#handler = handler;
    this.secure = secure;
  }

  write(bytes: Uint8Array): number {
    return this.#wire?.write(bytes) ?? -1;
  }

  pause(): void {
    this.#wire?.pause();
  }

  resume(): void {
    this.#wire?.resume();
  }

  end(): void {
    this.#wire?.end();
  }

  terminate(): void {
    this.#wire?.terminate();
  }

  handOver(handler: StreamHandler): void {
    this.#handler = handler;
  }

  /** Whether the connection is still wanted; from now on it is dropped when it no longer is. */
  attach(wire: Wire): boolean {
    // Given up while the connection was being made.
    if (this.#closed) {
      wire.terminate();
      return false;
    }
    this.#wire = wire;
    wire.setNoDelay(true);
    return true;
  }

  connected(wire: Wire): void {
    if (this.attach(wire) && !this.secure) this.#handler.opened(this);
  }

  handshaken(authorized: boolean, error: Error | null): void {
    if (authorized) {
      this.#handler.opened(this);
      return;
    }
    this.fail(new TlsError(error?.message ?? "The certificate is not trusted", { cause: error }));
  }

  received(bytes: Uint8Array): void {
    this.#handler.data(bytes);
  }

  drained(): void {
    this.#handler.drained();
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#wire?.terminate();
  }

  ended(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wire = null;
    this.#handler.closed(this.#failure ?? error);
  }

  giveUp(): void {
    if (this.#wire === null) this.ended(new Error("The connection attempt was given up"));
    else this.#wire.terminate();
  }
}

const STREAM_HANDLER: TcpHandler<BunStream, "buffer"> = {
  open: (socket) => socket.data.connected(socket),
  handshake: (socket, success, error) =>
    socket.data.handshaken(success && socket.authorized, error),
  data: (socket, bytes) => socket.data.received(bytes),
  drain: (socket) => socket.data.drained(),
  // Bun brings exceptions of the other callbacks here and would leave the connection open.
  error: (socket, error) => socket.data.fail(asTlsError(error)),
  close: (socket, error) => socket.data.ended(error ?? null),
  connectError: (socket, error) => socket.data.ended(error),
};

/** An alert, such as for a certificate that we did not show, comes after TLS 1.3's handshake. */
function asTlsError(error: Error): Error {
  const isAlert = "code" in error && error.code === "EPROTO";
  return isAlert ? new TlsError(error.message, { cause: error }) : error;
}

/** What leads through a proxy to a stream; the `data` of the socket to the proxy. */
class Tunnel {
  readonly stream: BunStream;
  readonly #tls: TLSOptions | null;
  #state: "asking" | "cleartext" | "tls" = "asking";
  #unsent: Uint8Array;
  #received: Buffer = Buffer.alloc(0);

  constructor(stream: BunStream, options: ConnectOptions) {
    this.stream = stream;
    this.#tls = options.tls === null ? null : tlsOptions(options.tls, options.tls.serverName);
    this.#unsent = connectRequest(options);
  }

  connected(socket: TcpSocket<Tunnel>): void {
    if (this.stream.attach(socket)) this.drained(socket);
  }

  drained(socket: TcpSocket<Tunnel>): void {
    if (this.#state === "cleartext") this.stream.drained();
    if (this.#unsent.length === 0) return;
    this.#unsent = this.#unsent.subarray(Math.max(0, socket.write(this.#unsent)));
  }

  received(socket: TcpSocket<Tunnel>, bytes: Buffer): void {
    if (this.#state === "cleartext") this.stream.received(bytes);
    if (this.#state !== "asking") return;
    this.#received = Buffer.concat([this.#received, bytes]);
    const end = this.#received.indexOf("\r\n\r\n");
    if (end === -1) {
      if (this.#received.length > PROXY_HEAD_BYTES_MAX) this.stream.fail(new ProxyError(null));
      return;
    }
    const head = this.#received.toString("latin1", 0, end);
    const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d)(?: |\r\n|$)/.exec(head)?.[1] ?? 0);
    const isOpen = status >= 200 && status < 300;
    if (isOpen) this.#open(socket, this.#received.subarray(end + 4));
    else this.stream.fail(new ProxyError(status === 0 ? null : status));
  }

  /** @param rest what came behind the proxy's answer, which is the upstream's already */
  #open(socket: TcpSocket<Tunnel>, rest: Buffer): void {
    this.#received = Buffer.alloc(0);
    if (this.#tls === null) {
      this.#state = "cleartext";
      this.stream.connected(socket);
      if (rest.length > 0) this.stream.received(rest);
    } else if (rest.length > 0) {
      // No server speaks first in TLS.
      this.stream.fail(new ProxyError(null));
    } else {
      this.#state = "tls";
      socket.upgradeTLS({ tls: this.#tls, data: this.stream, socket: STREAM_HANDLER });
    }
  }

  failed(error: Error): void {
    this.stream.fail(error);
  }

  ended(error: Error | null): void {
    // The socket in the tunnel is told by itself, and of what it still has to read before that.
    if (this.#state !== "tls") this.stream.ended(error);
  }
}

const TUNNEL_HANDLER: TcpHandler<Tunnel, "buffer"> = {
  open: (socket) => socket.data.connected(socket),
  data: (socket, bytes) => socket.data.received(socket, bytes),
  drain: (socket) => socket.data.drained(socket),
  error: (socket, error) => socket.data.failed(error),
  close: (socket, error) => socket.data.ended(error ?? null),
  connectError: (socket, error) => socket.data.ended(error),
};

function connectRequest({ hostname, port, proxy }: ConnectOptions): Uint8Array {
  const authority = `${bracketed(hostname)}:${port}`;
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`];
  if (proxy !== null && proxy.authorization !== null) {
    lines.push(`Proxy-Authorization: ${proxy.authorization}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/** Bun's options for the side that connects; no variable of the environment turns checks off. */
export function tlsOptions({ ca, cert, key }: Certificates, serverName?: string): TLSOptions {
  return {
    rejectUnauthorized: true,
    ...(serverName === undefined ? {} : { serverName }),
    ...(ca === null ? {} : { ca }),
    ...(cert === null || key === null ? {} : { cert, key }),
  };
}

/** Starts a connection. @returns what gives it up */
export function connect(options: ConnectOptions, handler: StreamHandler): () => void {
  const { hostname, port, tls, proxy } = options;
  const stream = new BunStream(handler, tls !== null);
  const start = async () => {
    if (proxy !== null) {
      const data = new Tunnel(stream, options);
      const { hostname, port } = proxy;
      return await Bun.connect<Tunnel>({ hostname, port, data, socket: TUNNEL_HANDLER });
    }
    const secured = tls === null ? {} : { tls: tlsOptions(tls, tls.serverName) };
    const address = { hostname, port, ...secured };
    return await Bun.connect<BunStream>({ ...address, data: stream, socket: STREAM_HANDLER });
  };
  // Some bad arguments make Bun throw, others reject.
  start().catch((thrown: unknown) =>
    stream.ended(thrown instanceof Error ? thrown : new Error(String(thrown))),
  );
  return () => stream.giveUp();
}
