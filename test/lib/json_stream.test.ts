import { describe, expect, test } from "bun:test";
import { DEPTH_MAX, JsonFieldStream } from "../../src/lib/json_stream.ts";

const utf8 = new TextEncoder();

function read(text: string, keys: readonly string[], valueBytesMax = 10_000, step = text.length) {
  const stream = new JsonFieldStream(keys, valueBytesMax);
  const bytes = utf8.encode(text);
  for (let at = 0; at < bytes.length; at += step) stream.push(bytes.subarray(at, at + step));
  return { object: stream.object(), isTooLarge: stream.isTooLarge };
}

describe("JsonFieldStream", () => {
  test("keeps the wanted fields of the top level, as they are written, and no others", () => {
    const text = '{"a" : 1.0e0, "b":{"a":2,"c":[3]},"c":"\\u0041é","d":[]}';
    for (const step of [1, 2, 5, 100]) {
      const { object } = read(text, ["c", "a", "z"], 100, step);
      expect(object).toBe('{"c":"\\u0041é","a":1.0e0}');
    }
  });

  test("keeps the last value of a key that repeats, as JSON.parse does", () => {
    expect(read('{"a":{"b":[1]},"\\u0061":2}', ["a"]).object).toBe('{"a":2}');
  });

  test.each([
    ["", "empty"],
    ["{", "cut off"],
    ["[1]", "an array"],
    ['"a"', "a string"],
    ["{}x", "followed by more"],
    ['{"a":1}{"a":2}', "two objects"],
    ['{"a":01}', "a number with a leading zero"],
    ['{"a":"\u0001"}', "a string with a control character"],
    ['{"a":"\\x"}', "a string with an unknown escape"],
    [`{"a":"${"x".repeat(99)}\n"}`, "a long string with a control character"],
    ["\ufeff{}", "a byte order mark"],
  ])("reads %j as no object: %s", (text) => {
    expect(read(text, ["a"]).object).toBeNull();
    expect(read(text, ["a"], 100, 1).object).toBeNull();
  });

  test("drops a value that is too large, says so, and keeps the others", () => {
    const text = `{"a":[${"1,".repeat(100)}1],"b":2}`;
    for (const step of [1, 7, 1000]) {
      const wanted = { object: '{"b":2}', isTooLarge: true };
      expect(read(text, ["a", "b"], 100, step)).toEqual(wanted);
    }
  });

  test("keeps of a string in a value what is ever read of it, and the JSON whole", () => {
    for (const unit of ["x", "é", "😀", "\\u00e9", "\\n", 'x\\"']) {
      const text = `{"a":{"s":"${unit.repeat(20_000)}","t":["${unit.repeat(9_000)}",7]},"b":1}`;
      const whole = JSON.parse(text) as { a: { s: string; t: [string, number] } };
      for (const step of [1, 1000, 1_000_000]) {
        const { object, isTooLarge } = read(text, ["a"], 10_000, step);
        const kept = JSON.parse(object ?? "null") as typeof whole;
        expect(kept.a.s.slice(0, 256)).toBe(whole.a.s.slice(0, 256));
        expect(kept.a.s.length).toBeLessThan(2100);
        expect(kept.a.t[0].slice(0, 256)).toBe(whole.a.t[0].slice(0, 256));
        expect(kept.a.t[1]).toBe(7);
        expect(isTooLarge).toBe(false);
      }
    }
  });

  test("follows nesting as deep as its limit and refuses what is deeper", () => {
    const nested = (depth: number) =>
      `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)},"b":1}`;
    expect(read(nested(DEPTH_MAX), ["b"]).object).toBe('{"b":1}');
    expect(read(nested(DEPTH_MAX + 1), ["b"]).object).toBeNull();
  });

  test("looks at each byte of a long string with many escapes once", () => {
    const text = `{"s":"${"\\n".repeat(1_000_000)}","b":1}`;
    expect(read(text, ["b"]).object).toBe('{"b":1}');
  });
});
