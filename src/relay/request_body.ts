/**
 * Request bodies: held whole where they are inspected, streamed where they are not.
 *
 * Owns: the limits on size, memory and time of an upload.
 * Does not own: what a held body says.
 * Invariant: all held bodies together stay within the budget; a streamed body is pulled only as
 * fast as the upstream takes it, so it never piles up; a client that stops sending is cut off.
 */

import { GatewayError } from "../errors.ts";
import type { Clock, Timer } from "../runtime/clock.ts";

/** What may be spent before the minimum rate is asked for, and the longest silence. */
const GRACE_MS = 60_000;

/** An honest 10 KB/s passes; a byte now and then does not. */
const BYTES_PER_MS_MIN = 1.024;

/** Up to here a body with a declared length is read in one go, without watching its progress. */
const SMALL_BYTES = 64 * 1024;

/** How often a slow upload is looked at. */
const WATCH_MS = 5_000;

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

interface HoldOptions {
  /** `limits.inspect_body`; 0: no limit. */
  readonly bytesMax: number;
  readonly budget: BodyBudget;
  readonly clock: Clock;
}

/**
 * Reads the whole body.
 *
 * Memory is taken from the budget as bytes arrive, not as they are announced, so that announcing
 * alone shuts nobody out.
 *
 * @throws GatewayError `body_too_large`; `unsupported_encoding`; `node_full` (503 with
 * `retry-after`) when the budget is used up; `bad_request` with status 408 when the client sends
 * too slowly, with 400 when it breaks off
 */
export async function holdBody(request: Request, options: HoldOptions): Promise<HeldBody> {
  requireIdentity(request.headers);
  const length = declaredLength(request.headers);
  if (exceeds(length ?? 0, options.bytesMax)) throw tooLarge(options.bytesMax);
  if (length === 0) return { bytes: new Uint8Array(0), release() {} };
  const reservation = new Reservation(options.budget);
  const patience = new Patience(options.clock);
  try {
    const bytes =
      length !== null && length <= SMALL_BYTES
        ? await readSmall(request, length, reservation, patience)
        : await readChunks(request, options.bytesMax, reservation, patience);
    return { bytes, release: () => reservation.release() };
  } catch (thrown) {
    reservation.release();
    throw thrown instanceof GatewayError ? thrown : brokenOff(thrown);
  } finally {
    patience.end();
  }
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
class Patience {
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
): Promise<Uint8Array<ArrayBuffer>> {
  reservation.take(length);
  return new Promise((resolve, reject) => {
    patience.wait(() => reject(tooSlow()));
    request.bytes().then(resolve, reject);
  });
}

async function readChunks(
  { body }: Request,
  bytesMax: number,
  reservation: Reservation,
  patience: Patience,
): Promise<Uint8Array<ArrayBuffer>> {
  if (body === null) return new Uint8Array(0);
  const reader = body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  let slow = false;
  try {
    for (;;) {
      patience.wait(() => {
        slow = true;
        void reader.cancel();
      });
      const { done, value } = await reader.read();
      if (slow) throw tooSlow();
      if (done) return join(chunks, size);
      patience.arrived(value.byteLength);
      size += value.byteLength;
      if (exceeds(size, bytesMax)) throw tooLarge(bytesMax);
      reservation.take(value.byteLength);
      chunks.push(value);
    }
  } catch (thrown) {
    void reader.cancel().catch(() => {});
    throw thrown;
  }
}

function join(chunks: readonly Uint8Array<ArrayBuffer>[], size: number): Uint8Array<ArrayBuffer> {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

interface UploadOptions {
  /** `limits.body`; 0: no limit. */
  readonly bytesMax: number;
  readonly clock: Clock;
  /** How long the upstream may leave bytes untaken (`timeouts.write`); 0: for ever. */
  readonly writeTimeoutMs: number;
  /**
   * Sees each chunk on its way upstream, and null before the upstream learns that there are no
   * more. What it throws breaks the upload off. Null: nobody watches.
   */
  readonly observe: ((chunk: Uint8Array | null) => void) | null;
}

/**
 * A body on its way through, with back-pressure: a chunk is read from the client when the upstream
 * asks for one.
 */
export class Upload {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #options: UploadOptions;
  readonly #patience: Patience;
  readonly #stall: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #upstream: Timer | null = null;
  #bytes = 0;
  #failure: GatewayError | null = null;
  #ended = false;
  #onEnd: (() => void) | null = null;

  /**
   * @param request has a body
   * @throws GatewayError `body_too_large` when its declared length is beyond the limit
   */
  constructor(request: Request, options: UploadOptions) {
    const { body } = request;
    const length = declaredLength(request.headers);
    if (exceeds(length ?? 0, options.bytesMax)) throw tooLarge(options.bytesMax);
    if (body === null) throw new TypeError("The request has no body");
    this.#options = options;
    this.#reader = body.getReader();
    this.#patience = new Patience(options.clock);
    this.#stall = () => this.#fail(tooSlow());
    this.stream = new ReadableStream(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.#pull(),
        cancel: () => this.#finish(),
      },
      { highWaterMark: 0 },
    );
  }

  /** Bytes that the upstream has asked for and got. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Why it ended early; null: it did not, or the other side is to blame. */
  get failure(): GatewayError | null {
    return this.#failure;
  }

  /** Calls `run` when nothing more will be sent upstream. At most one is kept. */
  whenEnded(run: () => void): void {
    if (this.#ended) run();
    else this.#onEnd = run;
  }

  async #pull(): Promise<void> {
    this.#upstream?.cancel();
    this.#patience.wait(this.#stall);
    try {
      const { done, value } = await this.#reader.read();
      if (this.#ended) return;
      if (done) {
        this.#options.observe?.(null);
        this.#close();
      } else this.#pass(value);
    } catch (thrown) {
      this.#fail(thrown instanceof GatewayError ? thrown : brokenOff(thrown));
    }
  }

  #pass(chunk: Uint8Array): void {
    const { bytesMax, clock, writeTimeoutMs } = this.#options;
    this.#patience.arrived(chunk.byteLength);
    this.#bytes += chunk.byteLength;
    if (exceeds(this.#bytes, bytesMax)) {
      this.#fail(tooLarge(bytesMax));
      return;
    }
    this.#options.observe?.(chunk);
    this.#controller?.enqueue(chunk);
    if (writeTimeoutMs === 0) return;
    this.#upstream = clock.after(writeTimeoutMs, () => {
      this.#fail(new GatewayError("upstream_timeout", { message: "The upstream stopped reading" }));
    });
  }

  #close(): void {
    this.#finish();
    this.#controller?.close();
  }

  #fail(error: GatewayError): void {
    if (this.#ended) return;
    this.#failure = error;
    this.#finish();
    this.#controller?.error(error);
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#patience.end();
    this.#upstream?.cancel();
    // A body that is complete ignores this; of one that is not, nothing more is read.
    void this.#reader.cancel().catch(() => {});
    this.#onEnd?.();
  }
}

/**
 * Content codings hide what is inside, and undoing them is not built: only plain bodies are
 * inspected.
 * @throws GatewayError `unsupported_encoding`
 */
export function requireIdentity(headers: Headers): void {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  if (encoding === "" || encoding === "identity") return;
  throw new GatewayError("unsupported_encoding", {
    message: "Send this request without content-encoding",
    headers: { "accept-encoding": "identity" },
  });
}

/** `Content-Length` in bytes, which the listener has checked; null: chunked. */
export function declaredLength(headers: Headers): number | null {
  const length = headers.get("content-length");
  return length === null ? null : Number(length);
}

function exceeds(bytes: number, bytesMax: number): boolean {
  return bytesMax > 0 && bytes > bytesMax;
}

/** Closes the connection: what is left of the body would have to be read to keep it. */
function tooLarge(bytesMax: number): GatewayError {
  return new GatewayError("body_too_large", {
    message: `The body is larger than ${bytesMax} bytes, the most that is taken here`,
    headers: { connection: "close" },
  });
}

function tooSlow(): GatewayError {
  return new GatewayError("bad_request", {
    status: 408,
    message: "The body was not sent in time",
    headers: { connection: "close" },
  });
}

function brokenOff(cause: unknown): GatewayError {
  return new GatewayError("bad_request", { message: "The body broke off", cause });
}
