/**
 * Whether bytes that come in pieces are UTF-8 (RFC 3629).
 *
 * Owns: characters that lie across the pieces. Does not own: decoding them.
 * Invariant: it says of the pieces what `isUtf8` says of the whole, and keeps at most three bytes.
 */

import { isUtf8 } from "node:buffer";

const EMPTY = new Uint8Array(0);

export class Utf8Check {
  /** The beginning of a character that goes on in the next piece. */
  #begun: Uint8Array = EMPTY;

  /** Whether the last piece ended with a whole character. */
  get isWhole(): boolean {
    return this.#begun.length === 0;
  }

  /** False: the bytes so far are not UTF-8, however they go on. */
  push(bytes: Uint8Array): boolean {
    let from = 0;
    if (this.#begun.length > 0) {
      from = Math.min(lengthOfCharacter(this.#begun[0] ?? 0) - this.#begun.length, bytes.length);
      const begun = new Uint8Array([...this.#begun, ...bytes.subarray(0, from)]);
      this.#begun = begun.length < lengthOfCharacter(begun[0] ?? 0) ? begun : EMPTY;
      if (this.#begun.length > 0) return true;
      if (!isUtf8(begun)) return false;
    }
    const end = bytes.length - bytesOfCut(bytes, from);
    this.#begun = bytes.slice(end);
    return isUtf8(bytes.subarray(from, end));
  }
}

/** By its first byte; 1 also for one that begins nothing. */
function lengthOfCharacter(first: number): number {
  return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

/** Bytes at the end that are the beginning of a character. */
function bytesOfCut(bytes: Uint8Array, from: number): number {
  for (let back = 1; back <= 3 && bytes.length - back >= from; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) return lengthOfCharacter(byte) > back ? back : 0;
    if (byte < 0x80) return 0;
  }
  return 0;
}
