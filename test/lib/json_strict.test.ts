import { describe, expect, test } from "bun:test";
import { DuplicateKeyError, parseStrictly } from "../../src/lib/json_strict.ts";

describe("parseStrictly()", () => {
  test.each([
    '{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}',
    '{"a":"a","b":["a","a",":"],"c":"\\"a\\":1,\\"a\\":2"}',
    "[]",
    '"a"',
    '{"":{},"x":{"":[]}}',
  ])("reads %s as JSON.parse does", (text) => {
    expect(parseStrictly(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ['{"rules":[],"rules":[1]}', '"rules" stands twice'],
    ['{"a":[{"b":{"c":1,"d":2,"c":3}}]}', '"c" stands twice'],
    ['{"ab":1,"\\u0061b":2}', "stands twice"],
    ['{"a":{"b":[{}]},"a":1}', '"a" stands twice'],
    ["{", "JSON"],
  ])("refuses %s: %s", (text, reason) => {
    expect(() => parseStrictly(text)).toThrow(reason);
  });

  test("says with a DuplicateKeyError which key it is", () => {
    expect(() => parseStrictly('{"a":1,"a":2}')).toThrow(new DuplicateKeyError('"a"'));
  });
});
