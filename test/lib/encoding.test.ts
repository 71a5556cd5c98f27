import { describe, expect, test } from "bun:test";
import {
  decodeBase64,
  decodeBase64Url,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeBase64Url,
  encodeHex,
  encodeUtf8,
} from "../../src/lib/encoding.ts";
import { Prng } from "../support/prng.ts";

describe("decoding gives back what was encoded", () => {
  const prng = new Prng(3);
  test.each(Array.from({ length: 40 }, (_, length) => [length, prng.bytes(length)] as const))(
    "%p bytes",
    (_length, bytes) => {
      expect(decodeBase64(encodeBase64(bytes))).toEqual(Uint8Array.from(bytes));
      expect(decodeBase64Url(encodeBase64Url(bytes))).toEqual(Uint8Array.from(bytes));
      expect(decodeHex(encodeHex(bytes))).toEqual(Uint8Array.from(bytes));
    },
  );
});

describe("decodeBase64() refuses", () => {
  test.each(["QQ", "QQ=", "QR==", "QQ==\n", " QQ==", "QQ==QQ==", "-_==", "Q", "====", "QQ==="])(
    "%p",
    (text) => {
      expect(() => decodeBase64(text)).toThrow(SyntaxError);
    },
  );
});

describe("decodeBase64Url() refuses", () => {
  test.each(["QQ==", "QR", "Q", "Q Q", "QQ\n", "+/", "QQ=", "Ä"])("%p", (text) => {
    expect(() => decodeBase64Url(text)).toThrow(SyntaxError);
  });
});

describe("decodeHex() refuses", () => {
  test.each(["0", "0g", "0x00", " 00"])("%p", (text) => {
    expect(() => decodeHex(text)).toThrow(SyntaxError);
  });
});

describe("decodeUtf8()", () => {
  test("keeps a byte order mark, which is a character of the text", () => {
    expect(decodeUtf8(encodeUtf8("\ufeffä"))).toBe("\ufeffä");
  });

  test.each([[[0xff]], [[0xc0, 0x80]], [[0xed, 0xa0, 0x80]], [[0xe2, 0x82]]])(
    "refuses %p",
    (bytes) => {
      expect(() => decodeUtf8(Uint8Array.from(bytes))).toThrow(TypeError);
    },
  );
});
