/**
 * `JsonFieldStream` against `scanObject()` on seeded texts, valid and damaged, cut into random
 * pieces.
 */

import { describe, expect, test } from "bun:test";
import { scanObject } from "../../src/lib/json_scan.ts";
import { JsonFieldStream } from "../../src/lib/json_stream.ts";
import { Prng } from "../support/prng.ts";

const KEYS = ["id", "usage", "error", "x", ""];
const OTHER_KEYS = ["idx", "i", "Id", 'i"d', "\\", "ключ", "a\nb", "__proto__", "u".repeat(1100)];
const STRINGS = [
  "",
  "delta",
  'a"b',
  "\\",
  "\\\\",
  '\\"',
  "line\nfeed",
  "é😀",
  "\u2028",
  "{",
  "}]",
  "a long string without anything special in it, which is skipped by native search",
  'a long string with "quotes", \\ and é€😀 beyond what is looked at one by one \u0001',
];
const NUMBERS = ["0", "-0", "1.5", "-12e3", "1E+2", "9007199254740993", "0.1e-7", "10", "-1.0E0"];
const SPACES = ["", "", "", " ", "\n", "\t ", "\r\n"];
const DAMAGE = [
  "",
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "0",
  "-",
  ".",
  "e",
  "\u0000",
  "\ufeff",
];
const VALUE_MAX = 100_000;

function quoted(prng: Prng, text: string): string {
  let out = "";
  for (let index = 0; index < text.length; index++) {
    const hex = text.charCodeAt(index).toString(16).padStart(4, "0");
    out += prng.int(0, 9) === 0 ? `\\u${hex}` : JSON.stringify(text[index]).slice(1, -1);
  }
  // Halves of a pair that were escaped one by one are well formed again once they are read.
  return JSON.stringify(JSON.parse(`"${out}"`)) === JSON.stringify(text) ? `"${out}"` : '""';
}

function value(prng: Prng, depth: number): string {
  const kind = prng.int(0, depth > 3 ? 3 : 5);
  if (kind === 0) return quoted(prng, prng.pick(STRINGS));
  if (kind === 1) return prng.pick(NUMBERS);
  if (kind === 2) return prng.pick(["true", "false", "null"]);
  if (kind === 3) return prng.pick(["{}", "[]", "[ ]", "{\n}"]);
  if (kind === 4) return object(prng, depth + 1);
  const gap = () => prng.pick(SPACES);
  const items = Array.from(
    { length: prng.int(1, 4) },
    () => gap() + value(prng, depth + 1) + gap(),
  );
  return `[${items.join(",")}]`;
}

function object(prng: Prng, depth: number): string {
  const gap = () => prng.pick(SPACES);
  const fields = Array.from({ length: prng.int(0, 6) }, () => {
    const key = prng.pick(prng.int(0, 1) === 0 ? KEYS : OTHER_KEYS);
    return `${gap()}${quoted(prng, key)}${gap()}:${gap()}${value(prng, depth)}${gap()}`;
  });
  return `{${fields.join(",")}${fields.length === 0 ? gap() : ""}}`;
}

function damaged(prng: Prng, bytes: Uint8Array): Uint8Array {
  const at = prng.int(0, bytes.length);
  const kind = prng.int(0, 4);
  const damage = new TextEncoder().encode(prng.pick(DAMAGE));
  const parts = [
    [bytes.subarray(0, at)],
    [bytes.subarray(0, at), damage, bytes.subarray(at)],
    [bytes.subarray(0, at), bytes.subarray(at + 1)],
    [bytes, damage],
    [bytes.subarray(0, at), Uint8Array.of(prng.int(0, 255)), bytes.subarray(at + 1)],
  ][kind];
  return new Uint8Array(Buffer.concat(parts ?? []));
}

function stream(prng: Prng, bytes: Uint8Array): string | null {
  const fields = new JsonFieldStream(KEYS, VALUE_MAX);
  const sizes = prng.pick([[1], [1, 2, 3], [0, 5, 40], [1000], [100_000]]);
  for (let at = 0; at < bytes.length;) {
    const next = at + prng.pick(sizes);
    // A copy that is overwritten afterwards: nothing may be kept of the caller's bytes.
    const lent = bytes.slice(at, next);
    fields.push(lent);
    lent.fill(0x58);
    at = next;
  }
  return fields.object();
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): string | null {
  try {
    return UTF8.decode(bytes);
  } catch {
    return null;
  }
}

/** Both accept the bytes, or neither; and give the same text for each wanted field. */
function expectAgreement(prng: Prng, bytes: Uint8Array): boolean {
  const text = textOf(bytes);
  const scan = text === null ? null : scanObject(text, KEYS);
  const kept = stream(prng, bytes);
  if ((kept === null) !== (scan === null)) {
    const verb = kept === null ? "refuses" : "accepts";
    throw new Error(`JsonFieldStream ${verb} ${JSON.stringify(text)} ${bytes.toHex()}`);
  }
  if (text === null || scan === null || kept === null) return false;
  const again = scanObject(kept, KEYS);
  for (const index of KEYS.keys()) {
    const [wanted, got] = [scan.fields[index], again?.fields[index]];
    const wantedText = wanted ? text.slice(wanted.start, wanted.end) : null;
    const gotText = got ? kept.slice(got.start, got.end) : null;
    if (wantedText !== gotText) throw new Error(`${gotText} is not ${wantedText} in ${text}`);
  }
  return true;
}

describe("JsonFieldStream", () => {
  test("keeps what scanObject() finds in 4,000 valid texts, however they are cut", () => {
    const prng = new Prng(21);
    for (let round = 0; round < 4_000; round++) {
      const gap = prng.pick(SPACES);
      const bytes = new TextEncoder().encode(gap + object(prng, 0) + gap);
      expect(expectAgreement(prng, bytes)).toBe(true);
    }
  });

  test("accepts and refuses what scanObject() does, of 8,000 damaged texts", () => {
    const prng = new Prng(22);
    let refused = 0;
    for (let round = 0; round < 8_000; round++) {
      const bytes = new TextEncoder().encode(object(prng, 0));
      if (!expectAgreement(prng, damaged(prng, bytes))) refused++;
    }
    expect(refused).toBeGreaterThan(4_000);
  });
});
