import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { encodeBase64Url, encodeUtf8 } from "../../src/lib/encoding.ts";
import { decodeCursor, encodeCursor } from "../../src/store/cursor.ts";

function read([number]: unknown[]): number | null {
  return typeof number === "number" ? number : null;
}

test("decodeCursor() gives back what encodeCursor() was given", () => {
  expect(decodeCursor(encodeCursor([7, "\u{1f600}"]), (position) => position)).toEqual([
    7,
    "\u{1f600}",
  ]);
  expect(decodeCursor(encodeCursor([7]), read)).toBe(7);
});

test.each(["", "!!!", encodeCursor(["x"]), encodeBase64Url(encodeUtf8('{"0":7}'))])(
  "decodeCursor() refuses %j as the caller's mistake",
  (cursor) => {
    const refusal = expect(() => decodeCursor(cursor, read));
    refusal.toThrow(GatewayError);
    refusal.toThrow("The cursor is not valid");
  },
);
