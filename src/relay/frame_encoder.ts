/**
 * RFC 6455 frames as a client writes them: masked, one frame a message.
 *
 * Owns: headers and masking. Does not own: when bytes leave (`outbox.ts`).
 * Invariant: every frame has a mask of its own that cannot be predicted (RFC 6455 section 5.3), and
 * the payload is masked in the output buffer: a caller's bytes are never changed.
 */

import { Buffer } from "node:buffer";

import type { Message } from "../exchange.ts";

/** Two bytes, eight of length, four of mask. */
const HEADER_BYTES_MAX = 14;

/** Masks drawn at a time: one system call's worth of randomness serves many frames. */
const MASKS = new Uint32Array(1024);
let nextMask = MASKS.length;

/** A buffer seen as bytes and as 32-bit words. */
export class FrameBuffer {
  readonly bytes: Buffer;
  readonly words: Uint32Array;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(Math.ceil(size / 4) * 4);
    this.words = new Uint32Array(this.bytes.buffer, 0, this.bytes.length >> 2);
  }
}

/** The most bytes that a frame with this payload can take, without looking at the payload. */
export function frameBytesMax(payload: Message): number {
  // A UTF-16 unit takes three bytes of UTF-8 at most.
  return HEADER_BYTES_MAX + (typeof payload === "string" ? payload.length * 3 : payload.length);
}

/** A buffer in which a frame with this payload fits, to be used from its beginning. */
export function frameBufferFor(payload: Message): FrameBuffer {
  const size = typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
  return new FrameBuffer(HEADER_BYTES_MAX + size);
}

/**
 * Writes one final frame at `at`, where it must have room.
 * @returns where the payload begins and where the frame ends
 */
export function encodeFrame(
  into: FrameBuffer,
  at: number,
  opcode: number,
  payload: Message,
): { readonly payloadAt: number; readonly end: number } {
  const { bytes } = into;
  // Right for ASCII; a text whose bytes need a longer header is moved.
  let payloadAt = at + headerBytes(payload.length);
  let size = payload.length;
  if (typeof payload === "string") {
    size = bytes.write(payload, payloadAt, "utf8");
    const needed = at + headerBytes(size);
    if (needed !== payloadAt) bytes.copyWithin(needed, payloadAt, payloadAt + size);
    payloadAt = needed;
  } else {
    bytes.set(payload, payloadAt);
  }
  writeHeader(bytes, at, opcode, size);
  const end = payloadAt + size;
  const mask = drawMask();
  bytes.writeUInt32LE(mask, payloadAt - 4);
  applyMask(into, payloadAt, end, mask);
  return { payloadAt, end };
}

function headerBytes(size: number): number {
  return size < 126 ? 6 : size < 65536 ? 8 : HEADER_BYTES_MAX;
}

function writeHeader(bytes: Buffer, at: number, opcode: number, size: number): void {
  bytes[at] = 0x80 | opcode;
  if (size < 126) {
    bytes[at + 1] = 0x80 | size;
  } else if (size < 65536) {
    bytes[at + 1] = 0x80 | 126;
    bytes.writeUInt16BE(size, at + 2);
  } else {
    bytes[at + 1] = 0x80 | 127;
    bytes.writeUInt32BE(Math.floor(size / 0x100000000), at + 2);
    bytes.writeUInt32BE(size >>> 0, at + 6);
  }
}

function drawMask(): number {
  if (nextMask === MASKS.length) {
    crypto.getRandomValues(MASKS);
    nextMask = 0;
  }
  const mask = MASKS[nextMask] ?? 0;
  MASKS[nextMask] = 0;
  nextMask += 1;
  return mask;
}

/**
 * XORs the mask over `[from, to)`, four bytes at a time where they are aligned. The key's first
 * byte is its lowest, as on every machine that the runtimes support (little-endian).
 */
function applyMask({ bytes, words }: FrameBuffer, from: number, to: number, mask: number): void {
  let key = mask;
  let at = from;
  for (; (at & 3) !== 0 && at < to; at++) {
    bytes[at] = (bytes[at] ?? 0) ^ (key & 0xff);
    key = (key >>> 8) | (key << 24);
  }
  const wordsEnd = to >> 2;
  for (let word = at >> 2; word < wordsEnd; word++) words[word] = (words[word] ?? 0) ^ key;
  for (at = Math.max(at, wordsEnd << 2); at < to; at++) {
    bytes[at] = (bytes[at] ?? 0) ^ (key & 0xff);
    key = (key >>> 8) | (key << 24);
  }
}
