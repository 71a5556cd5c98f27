/**
 * What sluice needs of a JavaScript runtime, as the narrowest interface that is honest about
 * back-pressure. `bun.ts` implements it; nothing outside this folder names a runtime.
 *
 * Invariant: no method drops data silently. `send` says what became of the message, and `write` how many
 * bytes were taken.
 */

import type { Message } from "../exchange.ts";

/** `sent`: handed to the kernel. `queued`: kept in the socket's own buffer. `dropped`: lost. */
export type SendStatus = "sent" | "queued" | "dropped";

/** A WebSocket that a listener accepted. */
export interface Socket {
  send(message: Message): SendStatus;
  /** Runs `write` and sends everything it sent with one system call. */
  cork(write: () => void): void;
  ping(): void;
  pause(): void;
  resume(): void;
  /** Sends a close frame. Code null sends one without a code (RFC 6455 section 7.1.5: 1005). */
  close(code: number | null, reason: string): void;
  /** Drops the connection without a close frame. */
  terminate(): void;
  /** Bytes accepted by `send` that the kernel has not taken yet. */
  readonly bufferedBytes: number;
}

/** What happens on an accepted WebSocket. Calls never overlap. */
export interface SocketHandler {
  opened(socket: Socket): void;
  /** A view is valid only during the call. */
  message(message: Message): void;
  /** The socket's own buffer was written out. */
  drained(): void;
  ponged(): void;
  /** Code 1005: closed without a code; 1006: vanished. Called once, last. */
  closed(code: number, reason: string): void;
}

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
  pause(): void;
  resume(): void;
  /** Ends the connection after what was written. */
  end(): void;
  /** Drops the connection at once. */
  terminate(): void;
}

/** What happens on a connection that we opened. Calls never overlap. */
export interface StreamHandler {
  /** Connected; with TLS, after a verified handshake. */
  opened(stream: Stream): void;
  /** The view is valid only during the call. */
  data(bytes: Uint8Array): void;
  drained(): void;
  /** Called once, last: also when `opened` never was. Null: the peer ended in order. */
  closed(error: Error | null): void;
}

export interface ConnectOptions {
  readonly hostname: string;
  readonly port: number;
  /** Absent: cleartext. `ca` replaces the system's roots. */
  readonly tls?: { readonly serverName: string; readonly ca?: string };
}

/** An open SQLite database. Synchronous; use it in a Worker only. */
export interface SqlDatabase {
  /** Runs one or more statements without parameters. */
  exec(sql: string): void;
  /** Runs one statement and returns its rows. `$1` … are bound by position. */
  query(sql: string, parameters: readonly SqlValue[]): Record<string, SqlValue>[];
  transaction<T>(run: () => T): T;
  close(): void;
}

export type SqlValue = string | number | bigint | null | Uint8Array;

/** The runtime's abilities, as one value that the composition root hands down. */
export interface Runtime {
  listen(options: ListenOptions): Listener;
  /** Starts a connection; the result comes through the handler. Returned function gives up. */
  connect(options: ConnectOptions, handler: StreamHandler): () => void;
}
