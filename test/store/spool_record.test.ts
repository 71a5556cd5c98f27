import { describe, expect, test } from "bun:test";

import {
  type Gap,
  PAYLOAD_BYTES_MAX,
  RecordEncoder,
  type RecordKind,
  scanRecords,
} from "../../src/store/spool_record.ts";
import { Prng } from "../support/prng.ts";

const encoder = new RecordEncoder();
const PAYLOADS = ["{}", "", "\u{1f600} text", "x".repeat(300), '{"model":"a\0b"}'];
const KINDS: RecordKind[] = ["open", "close", "complete"];

function encodeAll(payloads: readonly string[]): Uint8Array[] {
  return payloads.map((payload, index) =>
    encoder.encode(KINDS[index % KINDS.length] ?? "open", payload).slice(),
  );
}

function scan(bytes: Uint8Array): { payloads: string[]; gaps: Gap[] } {
  const found = { payloads: new Array<string>(), gaps: new Array<Gap>() };
  let offset = 0;
  for (const each of scanRecords(bytes)) {
    if (each.type === "gap") {
      expect(each.start).toBe(offset);
      found.gaps.push(each);
    } else {
      found.payloads.push(new TextDecoder().decode(each.payload));
    }
    expect(each.end).toBeGreaterThan(offset);
    offset = each.end;
  }
  expect(offset).toBe(bytes.length);
  return found;
}

describe("scanRecords()", () => {
  const records = encodeAll(PAYLOADS);
  const whole = Buffer.concat(records);

  test("yields what was encoded, in order, with its kind", () => {
    expect(scan(whole)).toEqual({ payloads: PAYLOADS, gaps: [] });
    const kinds = [...scanRecords(whole)].map((each) => each.type === "record" && each.kind);
    expect(kinds).toEqual(["open", "close", "complete", "open", "close"]);
    expect(scan(new Uint8Array())).toEqual({ payloads: [], gaps: [] });
  });

  test("gives up only the last record when it is cut at any byte", () => {
    const start = whole.length - (records.at(-1)?.length ?? 0);
    for (let end = start; end < whole.length; end++) {
      const { payloads, gaps } = scan(whole.subarray(0, end));
      expect(payloads).toEqual(PAYLOADS.slice(0, -1));
      const expected = end === start ? [] : [{ type: "gap" as const, start, end, isTail: true }];
      expect(gaps).toEqual(expected);
    }
  });

  test("gives up only the last record when its end is zeros", () => {
    const start = whole.length - (records.at(-1)?.length ?? 0);
    for (let from = start; from < whole.length - 1; from++) {
      const zeroed = Uint8Array.from(whole).fill(0, from);
      expect(scan(zeroed).payloads).toEqual(PAYLOADS.slice(0, -1));
    }
  });

  test("gives up only the record in which a bit was flipped, wherever it is", () => {
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const flipped = Uint8Array.from(whole);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const { payloads, gaps } = scan(flipped);
      const hit = hitBy(records, bit >> 3);
      expect(payloads).toEqual(PAYLOADS.toSpliced(hit, 1));
      expect(gaps).toHaveLength(1);
      expect(gaps[0]?.isTail).toBe(hit === records.length - 1);
    }
  });

  test("covers any bytes with records and gaps", () => {
    const prng = new Prng(7);
    for (let round = 0; round < 300; round++) {
      const pieces = Array.from({ length: prng.int(0, 6) }, () =>
        prng.int(0, 1) === 0 ? prng.pick(records) : prng.bytes(prng.int(0, 40)),
      );
      const kept = pieces.filter((piece) => records.includes(piece));
      expect(scan(Buffer.concat(pieces)).payloads.length).toBeGreaterThanOrEqual(
        Math.max(0, kept.length - (pieces.length - kept.length)),
      );
    }
  });

  test("finds a whole record within a broken one", () => {
    const inner = encodeAll(["inner"])[0] ?? new Uint8Array();
    const outer = encodeAll(["x".repeat(inner.length)])[0] ?? new Uint8Array();
    outer.set(inner, outer.length - inner.length);
    // The CRC of the outer one fails now, so the inner one is the first that holds.
    expect(scan(outer).payloads).toEqual(["inner"]);
  });
});

describe("RecordEncoder", () => {
  test("encode() refuses a payload beyond the maximum, in bytes", () => {
    expect(encoder.encode("open", "x".repeat(PAYLOAD_BYTES_MAX)).length).toBeGreaterThan(0);
    expect(() => encoder.encode("open", "x".repeat(PAYLOAD_BYTES_MAX + 1))).toThrow(RangeError);
    expect(() => encoder.encode("open", "é".repeat(PAYLOAD_BYTES_MAX / 2 + 1))).toThrow(RangeError);
  });
});

function hitBy(records: readonly Uint8Array[], offset: number): number {
  let end = 0;
  return records.findIndex((record) => (end += record.length) > offset);
}
