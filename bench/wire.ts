/**
 * The bytes that both ends of the bench exchange: RFC 6455 frames, HTTP/1.1 messages, OpenAI
 * events.
 *
 * Owns: encoding and reading them cheaply. Does not own: robustness; both ends are ours, and
 * anything unexpected ends the bench.
 * Invariant: a delta carries the time it was written at a place that is found without parsing JSON.
 */

const encoder = new TextEncoder();

/** Microseconds since the epoch, comparable between processes of one machine. */
export function nowUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

/** One frame. Clients mask (section 5.3); a mask of zeros leaves the payload readable. */
export function encodeFrame(opcode: number, payload: Uint8Array, masked: boolean): Uint8Array {
  const { length } = payload;
  const extra = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const start = 2 + extra + (masked ? 4 : 0);
  const frame = new Uint8Array(start + length);
  frame[0] = 0x80 | opcode;
  frame[1] = (masked ? 0x80 : 0) | (extra === 0 ? length : extra === 2 ? 126 : 127);
  const view = new DataView(frame.buffer);
  if (extra === 2) view.setUint16(2, length);
  if (extra === 8) view.setBigUint64(2, BigInt(length));
  frame.set(payload, start);
  return frame;
}

export function textFrame(text: string, masked: boolean): Uint8Array {
  return encodeFrame(1, encoder.encode(text), masked);
}

/** Cuts a stream of bytes into frames, unmasking them where needed. */
export class FrameReader {
  #rest: Uint8Array = new Uint8Array(0);

  push(chunk: Uint8Array, take: (opcode: number, payload: Uint8Array) => void): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 2) {
      const second = bytes[at + 1] ?? 0;
      let start = at + 2;
      let length = second & 0x7f;
      if (length === 126) {
        length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
        start += 2;
      } else if (length === 127) {
        if (bytes.length - at < 10) break;
        length = Number(new DataView(bytes.buffer, bytes.byteOffset + at + 2).getBigUint64(0));
        start += 8;
      }
      const mask = (second & 0x80) === 0 ? null : bytes.subarray(start, start + 4);
      if (mask !== null) start += 4;
      if (bytes.length < start + length) break;
      take((bytes[at] ?? 0) & 0x0f, unmask(bytes.subarray(start, start + length), mask));
      at = start + length;
    }
    this.#rest = at === bytes.length ? new Uint8Array(0) : bytes.slice(at);
  }
}

function unmask(payload: Uint8Array, mask: Uint8Array | null): Uint8Array {
  return mask === null ? payload : payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
}

const HEAD_END = "\r\n\r\n";

/** Reads HTTP/1.1 messages from one connection: a head, then the body in pieces, then the end. */
export class HttpReader {
  #rest: Buffer = Buffer.alloc(0);
  /**
   * Null: the head is awaited. Else bytes of the body or of its current chunk that are still to
   * come.
   */
  #left: number | null = null;
  #chunked = false;

  push(chunk: Uint8Array, to: HttpSink): void {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    while (this.#step(to));
  }

  /** What was read past the head; after an upgrade it belongs to the next protocol. */
  takeRest(): Uint8Array {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return rest;
  }

  #step(to: HttpSink): boolean {
    if (this.#left === null) return this.#head(to);
    if (this.#left > 0) return this.#body(to, this.#left);
    return this.#chunked && this.#chunkHead(to);
  }

  #head(to: HttpSink): boolean {
    const end = this.#rest.indexOf(HEAD_END);
    if (end === -1) return false;
    const head = this.#rest.toString("latin1", 0, end);
    this.#rest = this.#rest.subarray(end + HEAD_END.length);
    if (to.head(head) === "upgraded") return false;
    this.#chunked = /\r\ntransfer-encoding: *chunked/i.test(head);
    this.#left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#left === 0 && !this.#chunked) this.#end(to);
    return true;
  }

  #body(to: HttpSink, left: number): boolean {
    if (this.#rest.length === 0) return false;
    const piece = this.#rest.subarray(0, left);
    this.#rest = this.#rest.subarray(piece.length);
    this.#left = left - piece.length;
    to.body(piece);
    if (this.#left === 0 && !this.#chunked) this.#end(to);
    return true;
  }

  /** `\r\n` of the chunk before, then the size line; size 0 and an empty line end the body. */
  #chunkHead(to: HttpSink): boolean {
    const match = /^(?:\r\n)?([0-9a-f]+)\r\n/i.exec(this.#rest.toString("latin1", 0, 32));
    if (match === null) return false;
    const size = Number.parseInt(match[1] ?? "0", 16);
    const skip = match[0].length + (size === 0 ? 2 : 0);
    if (this.#rest.length < skip) return false;
    this.#rest = this.#rest.subarray(skip);
    this.#left = size;
    if (size === 0) this.#end(to);
    return true;
  }

  #end(to: HttpSink): void {
    this.#left = null;
    to.end();
  }
}

export interface HttpSink {
  head(head: string): "upgraded" | undefined;
  body(piece: Uint8Array): void;
  end(): void;
}

const STAMP_DIGITS = 16;
const STAMP_MARK = '"delta":"';

/** A delta event of exactly `bytes` bytes, with room for the time. */
export function deltaEvent(bytes: number): string {
  const head = `{"type":"response.output_text.delta","item_id":"msg_bench",${STAMP_MARK}`;
  const padding = "x".repeat(bytes - head.length - STAMP_DIGITS - 2);
  return `${head}${"0".repeat(STAMP_DIGITS)}${padding}"}`;
}

/** Writes the time into an encoded delta. */
export function stamp(encoded: Buffer): void {
  const at = encoded.indexOf(STAMP_MARK) + STAMP_MARK.length;
  encoded.write(String(Math.floor(nowUs())).padStart(STAMP_DIGITS, "0"), at, "latin1");
}

/** Calls `take` with the age in microseconds of each delta that lies whole in `bytes`. */
export function readAges(bytes: Uint8Array, take: (ageUs: number) => void): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const now = nowUs();
  let at = buffer.indexOf(STAMP_MARK);
  while (at !== -1) {
    const start = at + STAMP_MARK.length;
    const stamped = Number(buffer.toString("latin1", start, start + STAMP_DIGITS));
    if (start + STAMP_DIGITS <= buffer.length && stamped > 0) take(now - stamped);
    at = buffer.indexOf(STAMP_MARK, start);
  }
}
