/**
 * What sluice needs of a JavaScript runtime, as the narrowest interface that is honest about
 * back-pressure. `bun.ts` implements it; nothing outside this folder names a runtime.
 *
 * Invariant: no method drops data silently. `send` says what became of the message, and `write` how
 * many bytes were taken.
 */

import type { Message } from "../exchange.ts";

/** `sent`: handed to the kernel. `queued`: kept in the socket's own buffer. `dropped`: lost. */
export type SendStatus = "sent" | "queued" | "dropped";

/** A WebSocket that a listener accepted. Pings are answered by the runtime. */
export interface Socket {
  send(message: Message): SendStatus;
  /**
   * Runs `write` and sends everything it sent with one system call. Until it returns, `send` may
   * say `sent` of what is only collected, and `bufferedBytes` does not count it.
   */
  cork(write: () => void): void;
  ping(): void;
  /** Stops reading. Messages of the read at hand still come. */
  pause(): void;
  resume(): void;
  /**
   * Sends a close frame behind what is buffered. Code null sends one without a code (RFC 6455
   * section 7.1.5: 1005). `closed` follows before this returns, and nothing can stop the writing
   * any more: to keep a hold on it, wait until `bufferedBytes` is 0.
   */
  close(code: number | null, reason: string): void;
  /** From now on `handler` is told what happens; `opened` is not repeated. */
  handOver(handler: SocketHandler): void;
  /**
   * Drops the connection and what is buffered, without a close frame. `closed` follows with 1006.
   */
  terminate(): void;
  /** Bytes accepted by `send` that the kernel has not taken yet. */
  readonly bufferedBytes: number;
}

/** What happens on an accepted WebSocket. Calls never overlap. */
export interface SocketHandler {
  opened(socket: Socket): void;
  /** A view is valid only during the call. */
  message(message: Message): void;
  /** The kernel took some of the socket's own buffer, not always all of it. */
  drained(): void;
  ponged(): void;
  /**
   * Called once, last. Code 1005: closed without a code; 1006: vanished.
   * @param rejected the runtime closed with this code, because the peer broke the protocol
   */
  closed(code: number, reason: string, rejected: boolean): void;
}

/** Seconds that a connection may idle between two exchanges, or before the first. */
export const IDLE_TIMEOUT_S = 60;

/** The connection that a request came on. */
export interface Connection {
  readonly remoteAddress: string;
  readonly secure: boolean;
  /**
   * Answers 101 with `headers` added. `subprotocol` null selects none.
   * Returns false when the client is gone or sent no valid handshake; then nothing was sent.
   */
  upgrade(headers: Headers, subprotocol: string | null, handler: SocketHandler): boolean;
  /** Seconds without traffic after which the runtime cuts this exchange; 0 is never. */
  setIdleTimeout(seconds: number): void;
}

export interface ListenOptions {
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly bodyBytesMax: number;
  readonly messageBytesMax: number;
  /** Undefined after a successful `upgrade`. */
  handle(request: Request, connection: Connection): MaybePromise<Response | undefined>;
}

export type MaybePromise<T> = T | Promise<T>;

export interface Listener {
  readonly hostname: string;
  readonly port: number;
  readonly secure: boolean;
  /** Stops accepting. With `force` it also drops what is open. Resolves when all is closed. */
  stop(force: boolean): Promise<void>;
}

/** A TCP or TLS connection that we opened. */
export interface Stream {
  /** Returns how many bytes were taken; keep the rest until `drained`. -1 after the end. */
  write(bytes: Uint8Array): number;
  /** Stops reading. The end of the connection is not noticed either, unless it is a reset. */
  pause(): void;
  resume(): void;
  /** Ends the connection after what was written. */
  end(): void;
  /** Drops the connection at once. */
  terminate(): void;
  /** From now on `handler` is told what happens; `opened` is not repeated. */
  handOver(handler: StreamHandler): void;
}

/**
 * What happens on a connection that we opened. Calls never overlap, and do not come inside `write`.
 */
export interface StreamHandler {
  /** Connected; with TLS, after a verified handshake. */
  opened(stream: Stream): void;
  /** The view is valid only during the call. After a reset it may come while paused. */
  data(bytes: Uint8Array): void;
  /** More can be written. Also comes when nothing was waiting. */
  drained(): void;
  /**
   * Called once, last: also when `opened` never was. Null: the peer ended in order, or we did. A
   * `TlsError`: the peer could not be trusted, or did not trust us. A `ProxyError`: see there.
   */
  closed(error: Error | null): void;
}

/** No TLS session came about: no common protocol, or a certificate that does not verify. */
export class TlsError extends Error {
  override readonly name = "TlsError";
}

/** The egress proxy answered by itself. The message is fit for strangers: it names no address. */
export class ProxyError extends Error {
  override readonly name = "ProxyError";

  /** @param status null: what it said is no HTTP */
  constructor(status: number | null) {
    const how = status === null ? "in no HTTP" : `with ${status}`;
    super(`The egress proxy refused the connection ${how}`);
  }
}

/** An HTTP proxy that is spoken to in cleartext. */
export interface ProxyAddress {
  /** IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** The value of `Proxy-Authorization`; null: none is sent. */
  readonly authorization: string | null;
}

/** PEM. The other side's certificate is verified whatever stands here. */
export interface Certificates {
  /** Replaces the roots that are trusted otherwise. */
  readonly ca: string | null;
  /** What we show of ourselves, with its key; both or none. */
  readonly cert: string | null;
  readonly key: string | null;
}

export interface ConnectOptions {
  /** IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** Null: cleartext. The certificate must be valid for `serverName`. */
  readonly tls: (Certificates & { readonly serverName: string }) | null;
  /** Makes a tunnel (CONNECT), in which everything else takes place. Null: there is none. */
  readonly proxy: ProxyAddress | null;
}

/** What a request is sent with beside the standard's fields. */
export interface FetchInit extends RequestInit {
  /** The body passes as it came. */
  readonly decompress: false;
  /** The runtime's own idle timer is shorter than ours. */
  readonly timeout: false;
  /**
   * Required with a streamed body (Fetch standard): the request is sent before the answer is read.
   */
  readonly duplex?: "half";
}

/**
 * The standard's `fetch`. Rejects with a `ProxyError` where the proxy answered by itself, as far as
 * can be told: an answer in cleartext other than 407 may be the upstream's.
 */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

export interface PoolOptions {
  /** Null: none, whatever the environment names. */
  readonly proxy: ProxyAddress | null;
  readonly certificates: Certificates;
  /** Idle connections kept; 0: each is closed after its answer. */
  readonly idleMax: number;
  /** A connection idle for longer is closed, some seconds later at the latest. */
  readonly idleTimeoutMs: number;
}

/** Connections for HTTP requests, shared with no other pool. */
export interface Pool {
  readonly fetch: Fetch;
  /** Closes those that are idle. */
  close(): void;
}

/** An open SQLite database. Synchronous; use it in a Worker only. */
export interface SqlDatabase {
  /** Runs one or more statements without parameters. */
  exec(sql: string): void;
  /** Runs one statement and returns its rows. `$1` … are bound by position. */
  query(sql: string, parameters: readonly SqlValue[]): Record<string, SqlValue>[];
  close(): void;
}

export type SqlValue = string | number | bigint | null | Uint8Array;

/** The runtime's abilities, as one value that the composition root hands down. */
export interface Runtime {
  listen(options: ListenOptions): Listener;
  /** Starts a connection; the result comes through the handler. Returned function gives up. */
  connect(options: ConnectOptions, handler: StreamHandler): () => void;
  openPool(options: PoolOptions): Pool;
}
