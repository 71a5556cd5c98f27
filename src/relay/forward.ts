/**
 * One HTTP request to one upstream, up to the head of its answer.
 *
 * Owns: the call of `fetch`, its timeouts, and what its failures mean.
 * Does not own: header rules, the relaying of the answer's body, or trying another candidate.
 * Invariant: when the client leaves or the exchange is ended from outside, the upstream is aborted
 * at once; no timer and no listener outlives `UpstreamAnswer.done`.
 */

import type { TimeoutsConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { type Fetch, type FetchInit, ProxyError } from "../runtime/runtime.ts";
import type { ClientGone, Ending } from "./ending.ts";
import type { Upload } from "./upload.ts";

export interface ForwardOptions {
  /** Of the provider's pool. */
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly method: string;
  /** From `upstreamUrl`. */
  readonly url: string;
  readonly headers: Headers;
  /** Null: the request has none. */
  readonly body: Uint8Array<ArrayBuffer> | Upload | null;
  /** `requestMs` is what is left of it. */
  readonly timeouts: Pick<TimeoutsConfig, "requestMs" | "dialMs" | "responseHeaderMs">;
  /** Of the exchange: nobody else is to be told of it until `UpstreamAnswer.done`. */
  readonly ending: Ending;
  /**
   * Whether a connection to the upstream opens in `withinMs`. `fetch` does not tell when it has
   * connected, so this is asked when half of `dialMs` passed without an answer. Null: not asked.
   */
  readonly reachable: ((withinMs: number) => Promise<boolean>) | null;
}

/** The head of the upstream's answer and the hold on its body. */
export interface UpstreamAnswer {
  /** 200 to 599. */
  readonly status: number;
  readonly headers: Headers;
  /** Null where the status or method has none. Made when it is asked for. */
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>> | null;
  /** Reads the body in one go, instead of `body`. Null: its beginning was read already. */
  readonly bytes: (() => Promise<Uint8Array<ArrayBuffer>>) | null;
  /** Milliseconds since the epoch, with fractions. */
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
  /** Breaks the connection to the upstream. */
  abort(): void;
  /** What a failed read of the body means. */
  failure(thrown: unknown): GatewayError | ClientGone;
  /** To be called once when the body has ended, either way. */
  done(): void;
}

/**
 * Sends a request and resolves with the head of the answer, whatever its status.
 *
 * `response_header` counts from when the request's body has been sent, `request` from the start to
 * the end of the answer's body.
 *
 * @throws GatewayError `upstream_timeout`, `upstream_unreachable` (nothing was sent: another
 * candidate may be tried), `upstream_closed`, what ended the upload, or the reason of `ending`
 * @throws ClientGone
 */
export async function forward(options: ForwardOptions): Promise<UpstreamAnswer> {
  const attempt = new Attempt(options);
  const startMs = options.clock.monotonicMs();
  const sentAtMs = options.clock.nowMs();
  try {
    const response = await attempt.send();
    refuseMalformed(response);
    attempt.answered();
    const { status, headers } = response;
    return {
      status,
      headers,
      get body() {
        return response.body;
      },
      bytes: () => response.bytes(),
      sentAtMs,
      answeredAtMs: sentAtMs + (options.clock.monotonicMs() - startMs),
      abort: () => attempt.abort(null),
      failure: (thrown) => attempt.failure(thrown),
      done: () => attempt.done(),
    };
  } catch (thrown) {
    const failure = attempt.failure(thrown);
    attempt.abort(null);
    attempt.done();
    throw failure;
  }
}

class Attempt {
  readonly #options: ForwardOptions;
  readonly #controller = new AbortController();
  #reason: GatewayError | ClientGone | null = null;
  #requestTimer: Timer | null = null;
  #headTimer: Timer | null = null;
  #dialTimer: Timer | null = null;

  constructor(options: ForwardOptions) {
    this.#options = options;
  }

  send(): Promise<Response> {
    const { fetch, url, method, headers, body, ending } = this.#options;
    const { signal } = this.#controller;
    if (ending.reason !== null) this.abort(ending.reason);
    ending.tell(() => this.abort(ending.reason));
    this.#startTimers();
    const init: FetchInit = {
      method,
      headers,
      signal,
      redirect: "manual",
      decompress: false,
      timeout: false,
    };
    if (body === null) return fetch(url, init);
    if (body instanceof Uint8Array) return fetch(url, { ...init, body });
    return fetch(url, { ...init, body: body.stream, duplex: "half" });
  }

  /** The head has come: only the limit on the whole exchange still runs. */
  answered(): void {
    this.#headTimer?.cancel();
    this.#dialTimer?.cancel();
    this.#headTimer = null;
    this.#dialTimer = null;
  }

  /** Breaks off. The first reason counts; null: nobody will ask for one. */
  abort(reason: GatewayError | ClientGone | null): void {
    this.#reason ??= reason;
    this.#controller.abort();
  }

  done(): void {
    this.answered();
    this.#requestTimer?.cancel();
    this.#requestTimer = null;
    this.#options.ending.tell(null);
  }

  failure(thrown: unknown): GatewayError | ClientGone {
    if (this.#reason !== null) return this.#reason;
    const { body } = this.#options;
    const upload = body === null || body instanceof Uint8Array ? null : body.failure;
    if (upload !== null) return upload;
    return thrown instanceof GatewayError ? thrown : fetchFailure(thrown);
  }

  #startTimers(): void {
    const { clock, timeouts, body, reachable } = this.#options;
    const { requestMs, dialMs } = timeouts;
    if (requestMs > 0) {
      this.#requestTimer = clock.after(requestMs, () => {
        this.abort(requestTimedOut());
      });
    }
    if (dialMs > 0 && reachable !== null) {
      this.#dialTimer = clock.after(dialMs / 2, () => void this.#probe(reachable, dialMs / 2));
    }
    if (body === null || body instanceof Uint8Array) this.#awaitHead();
    else body.whenEnded(() => this.#awaitHead());
  }

  #awaitHead(): void {
    const { clock, timeouts } = this.#options;
    const { responseHeaderMs } = timeouts;
    if (responseHeaderMs === 0 || this.#controller.signal.aborted) return;
    this.#headTimer = clock.after(responseHeaderMs, () => {
      this.abort(timedOut(`The upstream did not answer in ${responseHeaderMs} ms`));
    });
  }

  async #probe(reachable: (withinMs: number) => Promise<boolean>, withinMs: number): Promise<void> {
    const open = await reachable(withinMs);
    // `answered` and `done` take the timer away, so a late verdict harms nobody.
    if (!open && this.#dialTimer !== null) {
      this.abort(timedOut("The upstream did not accept a connection in time"));
    }
  }
}

/** `timeouts.request` is over. */
export function requestTimedOut(): GatewayError {
  return timedOut("The request took longer than timeouts.request allows");
}

function timedOut(message: string): GatewayError {
  return new GatewayError("upstream_timeout", { message });
}

/**
 * Answers whose end cannot be told for sure (RFC 9112 section 6.3), or that no server may send. The
 * runtime does not use such a connection again.
 */
function refuseMalformed(response: Response): void {
  const { status, headers } = response;
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  const framed =
    (coding === null || (coding.toLowerCase() === "chunked" && length === null)) &&
    (length === null || /^\d+$/.test(length));
  if (framed && status >= 200 && status <= 599) return;
  throw malformed(null);
}

function malformed(cause: unknown): GatewayError {
  const message = "The upstream's answer is not valid HTTP";
  return new GatewayError("upstream_closed", { message, cause });
}

/** Codes of the runtime's `fetch` that mean that no byte of the request arrived. */
const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "EADDRNOTAVAIL",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPROTO",
  "FailedToOpenSocket",
]);

/** OpenSSL's verdicts on a certificate, and failed handshakes. */
const TLS_CODE = /CERT|SELF_SIGNED|UNABLE_TO_|TLS|SSL|CRL|HOSTNAME_MISMATCH/;

const CLOSED = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED"]);

/** What a failed `fetch`, or a failed read of its body, means. */
function fetchFailure(thrown: unknown): GatewayError {
  const code = codeOf(thrown);
  const options = { cause: thrown };
  if (thrown instanceof ProxyError) {
    return new GatewayError("upstream_unreachable", { ...options, message: thrown.message });
  }
  if (code === "ETIMEDOUT") return new GatewayError("upstream_timeout", options);
  const known: ErrorCode | null =
    UNREACHABLE.has(code) || TLS_CODE.test(code)
      ? "upstream_unreachable"
      : CLOSED.has(code)
        ? "upstream_closed"
        : null;
  return known === null ? malformed(thrown) : new GatewayError(known, options);
}

function codeOf(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown)) return "";
  return String(thrown.code);
}
