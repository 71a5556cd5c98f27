/**
 * Collects the frames that one read makes for one upstream, so that they leave in one write.
 *
 * Owns: one buffer for the whole node. Messages of one read reach us in callbacks that follow each
 * other directly, so the buffer belongs to one target at a time and an idle session holds no memory
 * here.
 * Does not own: what the kernel does not take; that is the target's to keep.
 * Invariant: a target's frames reach it in order, at the latest once the reads at hand are done
 * (`Clock.soon`), or when 64 KiB have come together.
 */

import type { Message } from "../exchange.ts";
import type { Clock } from "../runtime/clock.ts";
import { encodeFrame, FrameBuffer, frameBufferFor, frameBytesMax } from "./frame_encoder.ts";

const FLUSH_BYTES = 64 * 1024;

/** Where frames go. */
export interface OutboxTarget {
  /**
   * Writes whole frames.
   * @param shared the view is reused after the call: copy what is kept
   */
  writeFrames(bytes: Uint8Array, shared: boolean): void;
}

export class Outbox {
  readonly #clock: Clock;
  readonly #buffer = new FrameBuffer(2 * FLUSH_BYTES);
  #used = 0;
  #target: OutboxTarget | null = null;
  #scheduled = false;
  readonly #flushSoon = () => {
    this.#scheduled = false;
    this.#write();
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds a frame for `target`, and returns its payload's size in bytes. */
  append(target: OutboxTarget, opcode: number, payload: Message): number {
    if (this.#target !== target) {
      this.#write();
      this.#target = target;
    }
    if (frameBytesMax(payload) > FLUSH_BYTES) return this.#appendLarge(target, opcode, payload);
    const { payloadAt, end } = encodeFrame(this.#buffer, this.#used, opcode, payload);
    this.#used = end;
    if (end >= FLUSH_BYTES) this.#write();
    else this.#schedule();
    return end - payloadAt;
  }

  /** Hands `target` what was collected for it. */
  flush(target: OutboxTarget): void {
    if (this.#target === target) this.#write();
  }

  /** A large frame gets a buffer of its own, which its target may keep without a copy. */
  #appendLarge(target: OutboxTarget, opcode: number, payload: Message): number {
    this.#write();
    const own = frameBufferFor(payload);
    const { payloadAt, end } = encodeFrame(own, 0, opcode, payload);
    target.writeFrames(own.bytes.subarray(0, end), false);
    return end - payloadAt;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(this.#flushSoon);
  }

  #write(): void {
    const target = this.#target;
    if (target === null) return;
    this.#target = null;
    if (this.#used === 0) return;
    const bytes = this.#buffer.bytes.subarray(0, this.#used);
    this.#used = 0;
    target.writeFrames(bytes, true);
  }
}
