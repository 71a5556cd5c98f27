/**
 * Request bodies that are held, because they are inspected.
 *
 * Owns: the limits on size and memory of a held body, and on the time that any body may take.
 * Does not own: what a held body says, and bodies that stream by (`upload.ts`).
 * Invariant: all held bodies together stay within the budget; a client that stops sending is cut
 * off.
 */

import { GatewayError } from "../errors.ts";
import { joined } from "../lib/bytes.ts";
import { otherCharset } from "../lib/charset.ts";
import { contentCodingOf } from "../lib/content_coding.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Ending } from "./ending.ts";

/** What may be spent before the minimum rate is asked for, and the longest silence. */
const GRACE_MS = 60_000;

/** An honest 10 KB/s passes; a byte now and then does not. */
const BYTES_PER_MS_MIN = 1.024;

/** Up to here a body with a declared length is read in one go, without watching its progress. */
const SMALL_BYTES = 64 * 1024;

/** How often a slow upload is looked at. */
const WATCH_MS = 5_000;

/** Of a name from outside that a message repeats. */
const CHARSET_SHOWN_MAX = 40;

/** The memory that held bodies may take together (`limits.inspect_memory`). */
export class BodyBudget {
  readonly #bytesMax: number;
  #used = 0;

  /** @param bytesMax 0: no limit */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** False: there is no room, and nothing was taken. */
  acquire(bytes: number): boolean {
    if (this.#bytesMax > 0 && this.#used + bytes > this.#bytesMax) return false;
    this.#used += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#used -= bytes;
  }
}

/** A body in memory. */
export interface HeldBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Gives its memory back to the budget. To be called once the upstream has it. Idempotent. */
  release(): void;
}

/** What a body is read from: a request, or one of which the beginning was read. */
export type BodySource = Pick<Request, "body" | "headers">;

interface HoldOptions {
  /** 0: no limit. */
  readonly bytesMax: number;
  readonly budget: BodyBudget;
  readonly clock: Clock;
  /** Of the exchange: its caller may lose the right to it while the body is on its way. */
  readonly ending: Ending;
}

/**
 * Reads the whole body.
 *
 * Memory is taken from the budget as bytes arrive, not as they are announced, so that announcing
 * alone shuts nobody out.
 *
 * @throws GatewayError `body_too_large`; `unsupported_encoding`; `node_full` (503 with
 * `retry-after`) when the budget is used up; `bad_request` with status 408 when the client sends
 * too slowly, with 400 when it breaks off; what ends the exchange meanwhile
 */
export async function holdBody(request: Request, options: HoldOptions): Promise<HeldBody> {
  const { bytesMax } = options;
  const length = declaredLength(request.headers);
  if (exceeds(length ?? 0, bytesMax)) {
    requirePlain(request.headers);
    throw tooLarge(bytesMax);
  }
  const held = await holdStart(request, options);
  if ("release" in held) return held;
  void held.body?.cancel();
  throw tooLarge(bytesMax);
}

/**
 * Reads the whole body where it is no longer than `bytesMax`.
 *
 * @returns where it is longer, all of it again: what was read, and then the rest as it comes. That
 * much is not taken from the budget any more.
 * @throws GatewayError as `holdBody`, but for `body_too_large`
 */
export async function holdStart(
  request: Request,
  options: HoldOptions,
): Promise<HeldBody | BodySource> {
  const { headers } = request;
  requirePlain(headers);
  if (!hasBody(request)) return { bytes: new Uint8Array(0), release() {} };
  const length = declaredLength(headers);
  const reservation = new Reservation(options.budget);
  const patience = new Patience(options.clock);
  const { ending } = options;
  ending.throwIfEnded();
  const release = () => reservation.release();
  try {
    if (length !== null && length <= SMALL_BYTES) {
      return { bytes: await readSmall(request, length, reservation, patience, ending), release };
    }
    const { bytesMax } = options;
    const { bytes, rest } = await readChunks(request.body, bytesMax, reservation, patience, ending);
    if (rest === null) return { bytes, release };
    release();
    return { body: goingOn([bytes], rest), headers };
  } catch (thrown) {
    release();
    throw thrown instanceof GatewayError ? thrown : brokenOff(thrown);
  } finally {
    patience.end();
    ending.tell(null);
  }
}

/** Hears why no more of a body is wanted. That its client left shows in the reading itself. */
function whenUnwanted(ending: Ending, stop: (reason: GatewayError) => void): void {
  ending.tell(() => {
    if (ending.reason instanceof GatewayError) stop(ending.reason);
  });
}

/** What one body has taken of the budget. */
class Reservation {
  readonly #budget: BodyBudget;
  #bytes = 0;

  constructor(budget: BodyBudget) {
    this.#budget = budget;
  }

  take(bytes: number): void {
    if (!this.#budget.acquire(bytes)) {
      throw new GatewayError("node_full", {
        message: "Request bodies take up all the memory that limits.inspect_memory grants them",
      });
    }
    this.#bytes += bytes;
  }

  release(): void {
    this.#budget.release(this.#bytes);
    this.#bytes = 0;
  }
}

/** Decides when a client sends too slowly. Only the time in which we wait for it counts. */
export class Patience {
  readonly #clock: Clock;
  #timer: Timer | null = null;
  #waitedMs = 0;
  #bytes = 0;
  #since: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts waiting for the client; `run` is called when it took too long. */
  wait(run: () => void): void {
    this.#since = this.#clock.monotonicMs();
    this.#timer ??= this.#clock.after(WATCH_MS, () => this.#look(run));
  }

  /** The client sent something. */
  arrived(bytes: number): void {
    if (this.#since !== null) this.#waitedMs += this.#clock.monotonicMs() - this.#since;
    this.#since = null;
    this.#bytes += bytes;
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #look(run: () => void): void {
    const silentMs = this.#since === null ? 0 : this.#clock.monotonicMs() - this.#since;
    const allowedMs = GRACE_MS + this.#bytes / BYTES_PER_MS_MIN;
    this.#timer = null;
    if (silentMs >= GRACE_MS || this.#waitedMs + silentMs >= allowedMs) run();
    else this.#timer = this.#clock.after(WATCH_MS, () => this.#look(run));
  }
}

/** One call to the runtime, which is the cheapest; its length bounds how long it may take. */
function readSmall(
  request: Request,
  length: number,
  reservation: Reservation,
  patience: Patience,
  ending: Ending,
): Promise<Uint8Array<ArrayBuffer>> {
  reservation.take(length);
  return new Promise((resolve, reject) => {
    patience.wait(() => reject(tooSlow()));
    whenUnwanted(ending, reject);
    request.bytes().then(resolve, reject);
  });
}

/** What a body begins with. */
interface Beginning {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Null: that is all of it. */
  readonly rest: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | null;
}

/** Reads up to the first chunk with which it is longer than `bytesMax`. */
async function readChunks(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  bytesMax: number,
  reservation: Reservation,
  patience: Patience,
  ending: Ending,
): Promise<Beginning> {
  if (body === null) return { bytes: new Uint8Array(0), rest: null };
  const reader = body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  let stopped: GatewayError | null = null;
  const stop = (reason: GatewayError) => {
    stopped = reason;
    void reader.cancel();
  };
  whenUnwanted(ending, stop);
  try {
    for (;;) {
      patience.wait(() => stop(tooSlow()));
      const { done, value } = await reader.read();
      if (stopped !== null) throw stopped;
      if (done) return { bytes: joined(chunks), rest: null };
      patience.arrived(value.byteLength);
      size += value.byteLength;
      chunks.push(value);
      if (exceeds(size, bytesMax)) return { bytes: joined(chunks), rest: reader };
      reservation.take(value.byteLength);
    }
  } catch (thrown) {
    void reader.cancel().catch(() => {});
    throw thrown;
  }
}

/**
 * A body again of which the beginning was read.
 * @param chunks that were read; they are taken out as they go on
 */
export function goingOn(
  chunks: Uint8Array<ArrayBuffer>[],
  rest: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream(
    {
      async pull(controller) {
        const value = chunks.shift() ?? (await rest.read()).value;
        if (value === undefined) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => rest.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/**
 * Content codings hide what is inside, and so do character sets; undoing them is not built: only
 * plain bodies are inspected.
 * @throws GatewayError `unsupported_encoding`
 */
export function requirePlain(headers: Headers): void {
  const charset = otherCharset(headers.get("content-type"));
  if (charset !== null) {
    const shown = JSON.stringify(charset.slice(0, CHARSET_SHOWN_MAX));
    const message = `Send this request in UTF-8. Its content-type names the charset ${shown}`;
    throw new GatewayError("unsupported_encoding", { message });
  }
  if (contentCodingOf(headers.get("content-encoding")) === null) return;
  throw new GatewayError("unsupported_encoding", {
    message: "Send this request without content-encoding",
    headers: { "accept-encoding": "identity" },
  });
}

/**
 * Whether there is a body. It is not looked at where its length is declared: the runtime would make
 * a stream of it, through which it is then read.
 */
export function hasBody(request: Pick<Request, "body" | "headers">): boolean {
  const length = declaredLength(request.headers);
  return length === null ? request.body !== null : length > 0;
}

/** `Content-Length` in bytes, which the listener has checked; null: chunked. */
export function declaredLength(headers: Headers): number | null {
  const length = headers.get("content-length");
  return length === null ? null : Number(length);
}

export function exceeds(bytes: number, bytesMax: number): boolean {
  return bytesMax > 0 && bytes > bytesMax;
}

/** Closes the connection: what is left of the body would have to be read to keep it. */
export function tooLarge(bytesMax: number): GatewayError {
  return new GatewayError("body_too_large", {
    message: `The body is larger than ${bytesMax} bytes, the most that is taken here`,
    headers: { connection: "close" },
  });
}

export function tooSlow(): GatewayError {
  return new GatewayError("bad_request", {
    status: 408,
    message: "The body was not sent in time",
    headers: { connection: "close" },
  });
}

export function brokenOff(cause: unknown): GatewayError {
  return new GatewayError("bad_request", { message: "The body broke off", cause });
}
