/**
 * Watches for the end of a turn that runs in the background: it shows in the answer to
 * `GET /v1/responses/{id}` (OpenAI, "Background mode"), which may come long after the turn's row was
 * written as `pending`.
 *
 * Owns: reading that answer beside the client. Does not own: finding and completing rows.
 * Invariant: the answer is never held or changed, and a row is completed at most once.
 */

import { Buffer } from "node:buffer";

import type { BodyTap, UsageEvent } from "../exchange.ts";
import { completeBackground } from "./body_meter.ts";
import { ContentDecoder } from "./content_decoder.ts";

/** Where rows wait for their usage. */
export interface PendingTurns {
  /** Null: none waits for this response. */
  find(provider: string, responseId: string): Promise<UsageEvent | null>;
  complete(event: UsageEvent): void;
}

export interface BackgroundTapOptions {
  readonly pending: PendingTurns;
  readonly provider: string;
  readonly responseId: string;
  readonly contentEncoding: string | null;
  /** Most of an answer that is kept to be read. */
  readonly bodyBytesMax: number;
}

/** The tap of an answer that may show the end of a turn. */
export function createBackgroundTap(options: BackgroundTapOptions): BodyTap {
  return new BackgroundTap(options);
}

class BackgroundTap implements BodyTap {
  readonly #options: BackgroundTapOptions;
  #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(options: BackgroundTapOptions) {
    this.#options = options;
  }

  chunk(bytes: Uint8Array): Uint8Array {
    this.#size += bytes.byteLength;
    if (this.#size <= this.#options.bodyBytesMax) this.#chunks.push(bytes);
    else this.#chunks = [];
    return bytes;
  }

  end(): null {
    // Beside the answer: nobody waits for this, and a failure leaves the row pending for the next look.
    this.#complete().catch(() => undefined);
    return null;
  }

  abort(): void {
    this.#chunks = [];
  }

  async #complete(): Promise<void> {
    const { pending, provider, responseId } = this.#options;
    const body = await this.#decoded();
    const row = body === null ? null : await pending.find(provider, responseId);
    if (body === null || row === null) return;
    const completed = completeBackground(row, body);
    if (completed !== null) pending.complete(completed);
  }

  /** Null: too large, or encoded in a way that cannot be undone. */
  async #decoded(): Promise<Uint8Array | null> {
    const { contentEncoding, bodyBytesMax } = this.#options;
    if (this.#size > bodyBytesMax) return null;
    const encoded = Buffer.concat(this.#chunks);
    if (contentEncoding === null || contentEncoding === "identity") return encoded;
    const parts: Uint8Array[] = [];
    const decoder = ContentDecoder.of(contentEncoding, (part) => parts.push(part), bodyBytesMax);
    if (decoder === null) return null;
    await decoder.push(encoded);
    await decoder.finish();
    return decoder.failure === null ? Buffer.concat(parts) : null;
  }
}
