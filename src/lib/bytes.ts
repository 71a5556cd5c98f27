/**
 * Bytes as they come, in pieces: looked at, joined, or waiting to be written, in order.
 *
 * Owns: a first-in first-out queue of views, and one view of many. Does not own: the bound of
 * either, which the caller keeps.
 * Invariant: `size` is the sum of what was pushed and not yet dropped.
 */

import { Buffer } from "node:buffer";

/** A Buffer of the same bytes. A read is one already, and asking for its `buffer` would move it. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The parts as one view: a copy only where several of them hold anything. */
export function joined<B extends ArrayBufferLike>(
  parts: readonly Uint8Array<B>[],
): Uint8Array<B | ArrayBuffer> {
  const filled = parts.filter((part) => part.length > 0);
  const [first] = filled;
  return first !== undefined && filled.length === 1 ? first : joinedCopy(filled);
}

/** The parts as one view of memory of its own. */
export function joinedCopy(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export class ByteQueue {
  #views: Uint8Array[] = [];
  #head = 0;
  #size = 0;

  /** Bytes waiting. */
  get size(): number {
    return this.#size;
  }

  /** Takes `view` as it is: the caller gives it away. */
  push(view: Uint8Array): void {
    if (view.length === 0) return;
    this.#views.push(view);
    this.#size += view.length;
  }

  /** The oldest bytes that lie in one piece, or null. */
  peek(): Uint8Array | null {
    return this.#views[this.#head] ?? null;
  }

  /** Removes `count` bytes of what `peek` returned. */
  drop(count: number): void {
    const view = this.#views[this.#head];
    if (view === undefined || count > view.length) throw new RangeError("Dropped unseen bytes");
    this.#size -= count;
    if (count < view.length) this.#views[this.#head] = view.subarray(count);
    else this.#advance();
  }

  /** Moves the head, and now and then the array, so that a queue that never empties stays small. */
  #advance(): void {
    this.#head += 1;
    if (this.#head < 64 && this.#head < this.#views.length) return;
    this.#views = this.#views.slice(this.#head);
    this.#head = 0;
  }
}
