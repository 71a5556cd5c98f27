import { isUtf8 } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { Utf8Check } from "../../src/lib/utf8_check.ts";
import { Prng } from "../support/prng.ts";

function accepts(pieces: readonly Uint8Array[]): boolean {
  const check = new Utf8Check();
  return pieces.every((piece) => check.push(piece)) && check.isWhole;
}

describe("Utf8Check", () => {
  test("says of 20,000 texts, some damaged, what isUtf8() says of the whole, in any pieces", () => {
    const prng = new Prng(1);
    const characters = ["a", "é", "€", "😀", "\u{10ffff}", "\ud7ff"];
    const verdicts = { true: 0, false: 0 };
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: prng.int(0, 12) }, () => prng.pick(characters)).join("");
      const bytes = new TextEncoder().encode(text);
      if (bytes.length > 0 && prng.int(0, 1) === 0) {
        bytes[prng.int(0, bytes.length - 1)] = prng.int(0, 255);
      }
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length;) {
        const next = at + prng.int(0, 3);
        pieces.push(bytes.subarray(at, next));
        at = next;
      }
      if (accepts(pieces) !== isUtf8(bytes)) {
        throw new Error(`Wrong about ${bytes.toHex()} in ${pieces.map((piece) => piece.length)}`);
      }
      verdicts[`${isUtf8(bytes)}`]++;
    }
    expect(Math.min(verdicts.true, verdicts.false)).toBeGreaterThan(5_000);
  });

  test("is not whole after a character that was cut off", () => {
    expect(accepts([Uint8Array.of(0xe2, 0x82)])).toBe(false);
    expect(accepts([Uint8Array.of(0xe2), Uint8Array.of(0x82), Uint8Array.of(0xac)])).toBe(true);
  });
});
