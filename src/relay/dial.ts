/**
 * Opens the upstream leg of a session: connect, ask for the upgrade, judge the answer.
 *
 * Owns: one dial, its deadline and its abort. Does not own: retries, nor what a failure means
 * downstream (`close.ts`).
 * Invariant: the promise settles once; when it rejects, the connection is gone.
 */

import { Buffer } from "node:buffer";

import type { Clock, Timer } from "../runtime/clock.ts";
import {
  type ConnectOptions,
  ProxyError,
  type Runtime,
  type Stream,
  type StreamHandler,
  TlsError,
} from "../runtime/runtime.ts";
import { DialFailed, DialRefused } from "./close.ts";
import {
  type HeaderPairs,
  newKey,
  parseResponseHead,
  type UpgradeRequest,
  upgradeRequest,
  verifyUpgrade,
} from "./handshake.ts";
import type { Outbox } from "./outbox.ts";
import { RefusalReader } from "./refusal.ts";
import { UpstreamSocket } from "./upstream_socket.ts";

const HEAD_BYTES_MAX = 64 * 1024;

export interface DialOptions extends UpgradeRequest {
  readonly runtime: Pick<Runtime, "connect">;
  readonly clock: Clock;
  readonly outbox: Outbox;
  /** How the upstream is reached. */
  readonly route: ConnectOptions;
  /** Until the answer is complete. 0 is never. */
  readonly timeoutMs: number;
  /** The client is gone. */
  readonly signal: AbortSignal | null;
  /** 0 is no limit. */
  readonly messageBytesMax: number;
}

/** An upstream that agreed. */
export interface Dialed {
  /** Reads nothing before a session attaches; drop it with `terminate` if none does. */
  readonly socket: UpstreamSocket;
  /** Of the 101, in order. */
  readonly headers: HeaderPairs;
  readonly subprotocol: string | null;
}

/**
 * Dials an upstream.
 * @throws DialRefused with the upstream's answer, where it gave one
 * @throws DialFailed otherwise
 */
export function dial(options: DialOptions): Promise<Dialed> {
  return new Promise((resolve, reject) => new Dialing(options, resolve, reject).start());
}

class Dialing implements StreamHandler {
  readonly #options: DialOptions;
  readonly #resolve: (dialed: Dialed) => void;
  readonly #reject: (error: DialFailed | DialRefused) => void;
  readonly #key = newKey();
  readonly #aborted = () => this.#fail("aborted", "The client left while the upstream was dialled");
  #giveUp: () => void = () => {};
  #timer: Timer | null = null;
  #stream: Stream | null = null;
  #unsent: Uint8Array = new Uint8Array(0);
  #received: Buffer = Buffer.alloc(0);
  #refusal: RefusalReader | null = null;
  #settled = false;

  constructor(
    options: DialOptions,
    resolve: (dialed: Dialed) => void,
    reject: (error: DialFailed | DialRefused) => void,
  ) {
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const { clock, route, runtime, signal, timeoutMs } = this.#options;
    try {
      this.#unsent = upgradeRequest(this.#options, this.#key);
    } catch (thrown) {
      this.#failed(thrown);
      return;
    }
    if (signal?.aborted === true) {
      this.#aborted();
      return;
    }
    signal?.addEventListener("abort", this.#aborted);
    if (timeoutMs > 0) this.#timer = clock.after(timeoutMs, () => this.#timedOut());
    this.#giveUp = runtime.connect(route, this);
    // Where connecting fails at once there is nothing to give up.
    if (this.#settled) this.#giveUp = () => {};
  }

  opened(stream: Stream): void {
    this.#stream = stream;
    this.drained();
  }

  drained(): void {
    if (this.#stream === null || this.#unsent.length === 0) return;
    const written = this.#stream.write(this.#unsent);
    this.#unsent = this.#unsent.subarray(Math.max(0, written));
  }

  data(bytes: Uint8Array): void {
    if (this.#settled) return;
    try {
      if (this.#refusal === null) this.#head(Buffer.concat([this.#received, bytes]));
      else this.#body(this.#refusal, bytes);
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  closed(error: Error | null): void {
    // A body may be delimited by the end of the connection; one that is cut is still worth passing
    // on.
    if (this.#refusal !== null) this.#refuse(this.#refusal);
    else if (error instanceof TlsError) this.#fail("tls", "No TLS with the upstream", error);
    else if (error instanceof ProxyError) this.#fail("connect", error.message, error);
    else if (this.#stream === null) this.#fail("connect", "The upstream cannot be reached", error);
    else this.#fail("closed", "The upstream closed the connection before it answered", error);
  }

  /** Reads heads: an interim answer (1xx but 101) is skipped (RFC 9110 section 15.2). */
  #head(received: Buffer): void {
    let rest = received;
    for (;;) {
      const head = parseResponseHead(rest);
      if (head === null) {
        if (rest.length > HEAD_BYTES_MAX) {
          throw new DialFailed("protocol", "The upstream's answer has a head that is too long");
        }
        this.#received = rest;
        return;
      }
      rest = rest.subarray(head.size);
      if (head.status === 101) {
        this.#upgraded(head.headers, rest);
        return;
      }
      if (head.status < 200) continue;
      this.#refusal = new RefusalReader(head);
      this.#body(this.#refusal, rest);
      return;
    }
  }

  #body(refusal: RefusalReader, bytes: Uint8Array): void {
    refusal.push(bytes);
    if (refusal.done) this.#refuse(refusal);
  }

  #upgraded(headers: HeaderPairs, rest: Uint8Array): void {
    const stream = this.#stream;
    if (stream === null || this.#unsent.length > 0) {
      throw new DialFailed("protocol", "The upstream answered before the request was sent");
    }
    const { outbox, messageBytesMax, subprotocols } = this.#options;
    const subprotocol = verifyUpgrade(headers, this.#key, subprotocols);
    stream.pause();
    const socket = new UpstreamSocket(stream, outbox, messageBytesMax);
    socket.prepend(rest);
    stream.handOver(socket);
    this.#settle();
    this.#resolve({ socket, headers, subprotocol });
  }

  #timedOut(): void {
    if (this.#refusal !== null) this.#refuse(this.#refusal);
    else this.#fail("timeout", "The upstream did not answer in time");
  }

  #refuse(refusal: RefusalReader): void {
    this.#end(new DialRefused(refusal.status, refusal.headers, refusal.body));
  }

  #failed(thrown: unknown): void {
    if (thrown instanceof DialFailed) this.#end(thrown);
    else this.#fail("protocol", "The upstream's answer cannot be read", thrown);
  }

  #fail(kind: DialFailed["kind"], message: string, cause?: unknown): void {
    this.#end(new DialFailed(kind, message, cause));
  }

  #end(error: DialFailed | DialRefused): void {
    if (this.#settled) return;
    this.#settle();
    this.#giveUp();
    this.#reject(error);
  }

  #settle(): void {
    this.#settled = true;
    this.#timer?.cancel();
    this.#options.signal?.removeEventListener("abort", this.#aborted);
  }
}
