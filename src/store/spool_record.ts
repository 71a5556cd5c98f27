/**
 * One record of a spool segment, and how records are found again in a file that may be damaged.
 *
 *   ff 53 4c 01 | crc32 u32 | length u32 | kind u8 | payload (UTF-8)     little-endian
 *
 * The CRC covers everything behind it. 0xff is in no UTF-8 text, so no payload looks like a record.
 *
 * Owns: the bytes. Does not own: files (`spool.ts`) and what a payload says (`ledger.ts`).
 * Invariant: scanning any bytes yields records and gaps that together cover them, and a record is
 * yielded only if its CRC holds.
 */

import { crc32 } from "node:zlib";

/** `open` and `close` of a turn; `complete`: the usage of a turn that was closed as pending. */
export type RecordKind = "open" | "close" | "complete";

const KINDS: readonly RecordKind[] = ["open", "close", "complete"];
const MARKER = [0xff, 0x53, 0x4c, 0x01] as const;
const CRC_AT = 4;
const LENGTH_AT = 8;
const KIND_AT = 12;
const HEADER_BYTES = 13;

/** Of the payload. A usage event has about 1 KiB. */
export const PAYLOAD_BYTES_MAX = 256 * 1024;

interface SpoolRecord {
  readonly type: "record";
  readonly kind: RecordKind;
  readonly payload: Uint8Array;
  /** Offset behind it. */
  readonly end: number;
}

/** Bytes that are no record. `isTail`: no record follows. */
export interface Gap {
  readonly type: "gap";
  readonly start: number;
  readonly end: number;
  readonly isTail: boolean;
}

/** Encodes into one buffer of its own, so that a record costs no allocation. */
export class RecordEncoder {
  readonly #bytes = new Uint8Array(HEADER_BYTES + PAYLOAD_BYTES_MAX);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #payload = this.#bytes.subarray(HEADER_BYTES);
  readonly #encoder = new TextEncoder();

  constructor() {
    this.#bytes.set(MARKER);
  }

  /**
   * The record as bytes, valid until the next call.
   * @throws RangeError when the payload has more than `PAYLOAD_BYTES_MAX` bytes
   */
  encode(kind: RecordKind, payload: string): Uint8Array {
    const { read, written } = this.#encoder.encodeInto(payload, this.#payload);
    if (read < payload.length) throw new RangeError("The usage record is too large");
    const end = HEADER_BYTES + written;
    this.#view.setUint32(LENGTH_AT, written, true);
    this.#bytes[KIND_AT] = KINDS.indexOf(kind);
    this.#view.setUint32(CRC_AT, crc32(this.#bytes.subarray(LENGTH_AT, end)), true);
    return this.#bytes.subarray(0, end);
  }
}

/** Records and gaps of `bytes`, in order. The bytes begin with a record, or are damaged. */
export function* scanRecords(bytes: Uint8Array): Generator<SpoolRecord | Gap> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  while (offset < bytes.length) {
    const record = recordAt(bytes, view, offset) ?? gapFrom(bytes, view, offset);
    yield record;
    offset = record.end;
  }
}

function recordAt(bytes: Uint8Array, view: DataView, offset: number): SpoolRecord | null {
  if (offset + HEADER_BYTES > bytes.length) return null;
  if (MARKER.some((byte, index) => bytes[offset + index] !== byte)) return null;
  const length = view.getUint32(offset + LENGTH_AT, true);
  const end = offset + HEADER_BYTES + length;
  const kind = KINDS[bytes[offset + KIND_AT] ?? KINDS.length];
  if (length > PAYLOAD_BYTES_MAX || end > bytes.length || kind === undefined) return null;
  const crc = crc32(bytes.subarray(offset + LENGTH_AT, end));
  if (crc !== view.getUint32(offset + CRC_AT, true)) return null;
  return { type: "record", kind, payload: bytes.subarray(offset + HEADER_BYTES, end), end };
}

function gapFrom(bytes: Uint8Array, view: DataView, start: number): Gap {
  for (let at = start + 1; ; at++) {
    at = bytes.indexOf(MARKER[0], at);
    if (at === -1) return { type: "gap", start, end: bytes.length, isTail: true };
    if (recordAt(bytes, view, at) !== null) return { type: "gap", start, end: at, isTail: false };
  }
}
