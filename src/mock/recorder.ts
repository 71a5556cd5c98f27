/**
 * What the simulated provider received, so that a test can prove what was and was not sent to it.
 *
 * Owns: the records and their bounds. Does not own: answering.
 * Invariant: at most `REQUESTS_MAX` records and `BYTES_MAX` bytes of bodies and frames are kept;
 * the oldest go first, and counters go on counting where contents are cut.
 */

import type { Message } from "../exchange.ts";
import { joined } from "../lib/bytes.ts";

const REQUESTS_MAX = 1_000;
const BYTES_MAX = 64 * 1024 * 1024;
const PIECE_BYTES_MAX = 16 * 1024 * 1024;
const FRAMES_MAX = 10_000;

/** A request as it came. A WebSocket session is one request with frames. */
export interface RecordedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The first `PIECE_BYTES_MAX` bytes; `bodyBytes` is how many there were. */
  readonly body: Uint8Array;
  readonly bodyBytes: number;
  /** The newest frames, contents cut at `PIECE_BYTES_MAX`; `frameCount` is how many there were. */
  readonly frames: readonly Message[];
  readonly frameCount: number;
  /** `aborted`: whoever asked left before the answer was complete. */
  readonly outcome: "open" | "answered" | "aborted";
  /** How the WebSocket ended, as this side saw it; 1006: without a close frame. */
  readonly closed: { readonly code: number; readonly reason: string } | null;
}

/** One record while it is written. */
export class Recording implements RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly #headers: Headers;
  readonly #recorder: Recorder;
  #pieces: Uint8Array[] = [];
  readonly #frames: Message[] = [];
  bodyBytes = 0;
  frameCount = 0;
  keptBytes = 0;
  /** False once it had to make room, or nothing is kept at all. */
  kept: boolean;
  outcome: "open" | "answered" | "aborted" = "open";
  closed: { readonly code: number; readonly reason: string } | null = null;

  constructor(request: Request, path: string, recorder: Recorder) {
    this.method = request.method;
    this.path = path;
    this.#headers = request.headers;
    this.#recorder = recorder;
    this.kept = recorder.on;
  }

  get headers(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#headers);
  }

  get body(): Uint8Array {
    const whole = joined(this.#pieces);
    this.#pieces = [whole];
    return whole;
  }

  get frames(): readonly Message[] {
    return this.#frames;
  }

  /** The next part of the body. The view must stay as it is. */
  addBody(bytes: Uint8Array): void {
    const room = PIECE_BYTES_MAX - Math.min(this.bodyBytes, PIECE_BYTES_MAX);
    this.bodyBytes += bytes.length;
    if (room === 0 || !this.kept) return;
    const kept = bytes.length <= room ? bytes : bytes.slice(0, room);
    this.#pieces.push(kept);
    this.#recorder.grew(this, kept.length);
  }

  addFrame(message: Message): void {
    this.frameCount += 1;
    if (!this.kept) return;
    // A view belongs to the runtime once the call is over.
    const kept = message.slice(0, PIECE_BYTES_MAX);
    this.#frames.push(kept);
    let bytes = kept.length;
    if (this.#frames.length > FRAMES_MAX) bytes -= this.#frames.shift()?.length ?? 0;
    this.#recorder.grew(this, bytes);
  }

  ended(outcome: "answered" | "aborted"): void {
    if (this.outcome === "open") this.outcome = outcome;
  }
}

export class Recorder {
  readonly on: boolean;
  #recordings: Recording[] = [];
  #bytes = 0;

  /** @param on false: nothing is kept */
  constructor(on: boolean) {
    this.on = on;
  }

  /** Oldest first. */
  get requests(): readonly RecordedRequest[] {
    return this.#recordings;
  }

  /** @param path with the query */
  begin(request: Request, path: string): Recording {
    const recording = new Recording(request, path, this);
    if (!this.on) return recording;
    this.#recordings.push(recording);
    if (this.#recordings.length > REQUESTS_MAX) this.#dropOldest();
    return recording;
  }

  clear(): void {
    while (this.#recordings.length > 0) this.#dropOldest();
  }

  /** Takes note of bytes that a recording keeps from now on. */
  grew(recording: Recording, bytes: number): void {
    recording.keptBytes += bytes;
    this.#bytes += bytes;
    while (this.#bytes > BYTES_MAX && this.#recordings.length > 1) this.#dropOldest();
  }

  /** All of it as JSON; what is no UTF-8 text is base64 under a key of its own. */
  toJson(): string {
    const requests = this.#recordings.map((one) => ({
      method: one.method,
      path: one.path,
      headers: one.headers,
      ...content("body", one.body),
      body_bytes: one.bodyBytes,
      frames: one.frames.map((frame) => content("data", frame)),
      frame_count: one.frameCount,
      outcome: one.outcome,
      closed: one.closed,
    }));
    return JSON.stringify({ requests });
  }

  #dropOldest(): void {
    const oldest = this.#recordings.shift();
    if (oldest === undefined) return;
    oldest.kept = false;
    this.#bytes -= oldest.keptBytes;
  }
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function content(key: string, value: Message): Record<string, string> {
  if (typeof value === "string") return { [key]: value };
  try {
    return { [key]: strict.decode(value) };
  } catch {
    return { [`${key}_base64`]: value.toBase64() };
  }
}
