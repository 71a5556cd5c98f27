import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { encodeBase64Url, encodeUtf8 } from "../../src/lib/encoding.ts";
import { cutPage, decodeCursor, encodeCursor } from "../../src/store/cursor.ts";

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

test("cutPage() has a cursor to its last entry where more was found than asked for", () => {
  const cut = (found: number[]) => cutPage(found, 2, String, (entry) => [`at ${entry}`]);
  const page = cut([5, 4, 3]);
  expect(page.entries).toEqual(["5", "4"]);
  expect(decodeCursor(page.nextCursor ?? "", ([position]) => position)).toBe("at 4");
  expect(cut([5, 4])).toEqual({ entries: ["5", "4"], nextCursor: null });
  expect(cut([])).toEqual({ entries: [], nextCursor: null });
});

test.each(["", "!!!", encodeCursor(["x"]), encodeBase64Url(encodeUtf8('{"0":7}'))])(
  "decodeCursor() refuses %j as the caller's mistake",
  (cursor) => {
    const refusal = expect(() => decodeCursor(cursor, read));
    refusal.toThrow(GatewayError);
    refusal.toThrow("The cursor is not valid");
  },
);
