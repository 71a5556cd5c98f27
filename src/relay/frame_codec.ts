/**
 * RFC 6455 frames as a client reads them: from bytes in any pieces to messages.
 *
 * Owns: framing, reassembly, UTF-8 validity and the rules of the close payload.
 * Does not own: what a frame means for the session, nor writing (`frame_encoder.ts`).
 * Invariant: a message is handed out once, whole and valid, in the order of its first frame. A
 * message that lies whole in one read is not copied: binary is a view of the read, text a string
 * made of it.
 */

import { Buffer, isUtf8 } from "node:buffer";

import type { Message } from "../exchange.ts";
import { asBuffer } from "../lib/bytes.ts";

/** RFC 6455 section 11.8. */
export const OPCODE = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** A control frame. The payload is valid until the next `push`. */
type ControlFrame = { readonly kind: "ping" | "pong"; readonly payload: Uint8Array } | CloseFrame;

/** Code null: the frame had none (RFC 6455 section 7.1.5, reported as 1005 elsewhere). */
export interface CloseFrame {
  readonly kind: "close";
  readonly code: number | null;
  readonly reason: string;
}

/** The peer broke the protocol. `code` is what to close with. */
export class FrameError extends Error {
  override readonly name = "FrameError";
  readonly code: 1002 | 1007 | 1009;

  constructor(code: 1002 | 1007 | 1009, message: string) {
    super(message);
    this.code = code;
  }
}

/** Whether a code may stand in a close frame (RFC 6455 section 7.4, and IANA's 1012 to 1014). */
export function isWireCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/** The byte that a first allocation for a split message starts with, to grow by what arrives. */
const ASSEMBLY_BYTES_MIN = 1024;

const NOTHING: Buffer = Buffer.alloc(0);

/** Decodes the frames of one connection whose peer is a server. */
export class FrameDecoder {
  readonly #messageBytesMax: number;
  /** The current read from `#at` on is not decoded yet. */
  #read: Buffer = NOTHING;
  #at = 0;
  /** Of the message that is being put together: its opcode, 0 while there is none. */
  #opcode = 0;
  #assembly: Buffer = NOTHING;
  #assembled = 0;
  /** Payload bytes of its current frame still to come, and whether that frame is its last. */
  #missing = 0;
  #final = false;
  #inFrame = false;
  #closed = false;
  #messageBytes = 0;

  /** @param messageBytesMax beyond: 1009; 0 is no limit */
  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax === 0 ? Number.MAX_SAFE_INTEGER : messageBytesMax;
  }

  /** Payload bytes of the message that `next` returned last. */
  get messageBytes(): number {
    return this.#messageBytes;
  }

  /** Adds what was read. Take everything with `next`, then call `keep` before the view dies. */
  push(bytes: Uint8Array): void {
    const rest = this.#read.length - this.#at;
    this.#read = rest > 0 ? Buffer.concat([this.#read.subarray(this.#at), bytes]) : asBuffer(bytes);
    this.#at = 0;
  }

  /** Whether the current read has bytes that are not decoded yet. */
  get hasMore(): boolean {
    return this.#at < this.#read.length;
  }

  /** Whether what comes next is a ping or pong without fault. */
  get isPingNext(): boolean {
    const first = this.#inFrame || this.#closed ? 0 : (this.#read[this.#at] ?? 0);
    const isPing = first === (0x80 | OPCODE.ping) || first === (0x80 | OPCODE.pong);
    return isPing && (this.#read[this.#at + 1] ?? 0) < 126;
  }

  /** Copies what is not decoded yet, because the view given to `push` dies now. */
  keep(): void {
    const rest = this.#read.length - this.#at;
    this.#read = rest === 0 ? NOTHING : Buffer.from(this.#read.subarray(this.#at));
    this.#at = 0;
  }

  /**
   * The next message or control frame, or null when more bytes are needed. Nothing follows a close
   * frame.
   * @throws FrameError
   */
  next(): Message | ControlFrame | null {
    while (!this.#closed) {
      if (this.#inFrame) {
        if (!this.#fill()) return null;
        if (this.#final) return this.#assembledMessage();
      }
      const read = this.#read;
      const at = this.#at;
      const available = read.length - at;
      if (available < 2) return null;
      const first = read[at] ?? 0;
      const second = read[at + 1] ?? 0;
      this.#check(first, second);
      const headerBytes = second < 126 ? 2 : second === 126 ? 4 : 10;
      if (available < headerBytes) return null;
      const length = second < 126 ? second : this.#extendedLength(second);
      const opcode = first & 0x0f;
      const whole = available - headerBytes >= length;
      if (opcode >= OPCODE.close) {
        if (!whole) return null;
        this.#at = at + headerBytes + length;
        return this.#control(opcode, read.subarray(at + headerBytes, this.#at));
      }
      if (this.#assembled + length > this.#messageBytesMax) {
        throw new FrameError(1009, "The message is larger than allowed");
      }
      this.#at = at + headerBytes;
      if (whole && first >= 0x80 && opcode !== OPCODE.continuation) {
        this.#at += length;
        return this.#message(opcode, read, at + headerBytes, this.#at);
      }
      this.#begin(opcode, length, first >= 0x80);
    }
    return null;
  }

  /** The rules that the first two bytes alone can break (RFC 6455 sections 5.1, 5.2, 5.4, 5.5). */
  #check(first: number, second: number): void {
    const opcode = first & 0x0f;
    if ((first & 0x70) !== 0) throw new FrameError(1002, "A reserved bit is set");
    if (second >= 0x80) throw new FrameError(1002, "A server's frame is masked");
    if (opcode >= OPCODE.close) {
      if (opcode > OPCODE.pong) throw new FrameError(1002, "Reserved opcode");
      if (first < 0x80) throw new FrameError(1002, "A control frame is fragmented");
      if (second > 125) throw new FrameError(1002, "A control frame is too long");
      return;
    }
    if (opcode > OPCODE.binary) throw new FrameError(1002, "Reserved opcode");
    const continues = opcode === OPCODE.continuation;
    if (continues && this.#opcode === 0) {
      throw new FrameError(1002, "A continuation without a beginning");
    }
    if (!continues && this.#opcode !== 0) {
      throw new FrameError(1002, "A message begins inside another");
    }
  }

  /** A length of 16 or 64 bits, which must not have fitted in less (RFC 6455 section 5.2). */
  #extendedLength(second: number): number {
    const at = this.#at + 2;
    if (second === 126) {
      const length = this.#read.readUInt16BE(at);
      if (length < 126) throw new FrameError(1002, "The length is not minimally encoded");
      return length;
    }
    const high = this.#read.readUInt32BE(at);
    if (high >= 0x80000000) throw new FrameError(1002, "The length's first bit is set");
    if (high > 0x1fffff) throw new FrameError(1009, "The message is larger than allowed");
    const length = high * 0x100000000 + this.#read.readUInt32BE(at + 4);
    if (length < 65536) throw new FrameError(1002, "The length is not minimally encoded");
    return length;
  }

  #begin(opcode: number, length: number, final: boolean): void {
    if (opcode !== OPCODE.continuation) this.#opcode = opcode;
    this.#missing = length;
    this.#final = final;
    this.#inFrame = true;
  }

  /** Takes what the read has of the current frame. False: the frame needs more. */
  #fill(): boolean {
    const count = Math.min(this.#missing, this.#read.length - this.#at);
    if (count > 0) {
      this.#reserve(count);
      this.#read.copy(this.#assembly, this.#assembled, this.#at, this.#at + count);
      this.#at += count;
      this.#assembled += count;
      this.#missing -= count;
    }
    if (this.#missing > 0) return false;
    this.#inFrame = false;
    return true;
  }

  /** Grows with what has arrived and never with what is announced. */
  #reserve(count: number): void {
    const needed = this.#assembled + count;
    if (needed <= this.#assembly.length) return;
    const announced = this.#assembled + this.#missing;
    const doubled = Math.max(needed, this.#assembly.length * 2, ASSEMBLY_BYTES_MIN);
    const grown = Buffer.allocUnsafeSlow(this.#final ? Math.min(announced, doubled) : doubled);
    this.#assembly.copy(grown, 0, 0, this.#assembled);
    this.#assembly = grown;
  }

  #assembledMessage(): Message {
    const message = this.#message(this.#opcode, this.#assembly, 0, this.#assembled);
    this.#opcode = 0;
    this.#assembly = NOTHING;
    this.#assembled = 0;
    return message;
  }

  #message(opcode: number, bytes: Buffer, start: number, end: number): Message {
    this.#messageBytes = end - start;
    if (opcode === OPCODE.text) return decodeText(bytes, start, end);
    return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
  }

  #control(opcode: number, payload: Buffer): ControlFrame {
    if (opcode === OPCODE.ping) return { kind: "ping", payload };
    if (opcode === OPCODE.pong) return { kind: "pong", payload };
    this.#closed = true;
    if (payload.length === 0) return { kind: "close", code: null, reason: "" };
    if (payload.length === 1) throw new FrameError(1002, "A close frame has half a code");
    const code = payload.readUInt16BE(0);
    if (!isWireCloseCode(code)) throw new FrameError(1002, "A close frame has a reserved code");
    return { kind: "close", code, reason: decodeText(payload, 2, payload.length) };
  }
}

/**
 * Text of valid UTF-8. Decoding puts U+FFFD where the bytes are invalid, so only a text with that
 * character has to be checked: a third cheaper than a fatal TextDecoder for a frame of 245 bytes.
 */
function decodeText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("utf8", start, end);
  if (text.includes("\uFFFD") && !isUtf8(bytes.subarray(start, end))) {
    throw new FrameError(1007, "The text is not valid UTF-8");
  }
  return text;
}
