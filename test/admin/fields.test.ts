import { describe, expect, test } from "bun:test";
import { readFields, readQuery, required } from "../../src/admin/fields.ts";

const SHAPE = { name: "text", label: "nullable_text", on: "boolean", minutes: "number" } as const;

describe("readFields()", () => {
  test("gives back what was sent and nothing else", () => {
    const body = { name: "a", label: null, on: false, minutes: 0 };
    expect(readFields(body, SHAPE)).toEqual(body);
    expect(readFields({}, SHAPE)).toEqual({});
  });

  test.each<[unknown, string]>([
    [undefined, "JSON object"],
    [null, "JSON object"],
    [[], "JSON object"],
    ["x", "JSON object"],
    [{ name: null }, '"name" must be a string'],
    [{ name: "" }, '"name" must not be empty'],
    [{ name: "\u0085" }, "control characters"],
    [{ name: "a\u0000" }, "control characters"],
    [{ label: " " }, '"label" must not be empty'],
    [{ on: 1 }, '"on" must be true or false'],
    [{ minutes: "1" }, '"minutes" must be a number'],
    [{ other: 1 }, 'Unknown field "other"'],
    [{ toString: 1 }, 'Unknown field "toString"'],
    [JSON.parse('{"__proto__":1}'), 'Unknown field "__proto__"'],
    [{ tiers: [] }, '"tiers" is not available in this version'],
  ])("refuses %p", (body, words) => {
    expect(() => readFields(body, SHAPE)).toThrow(words);
  });

  test("takes a field that is refused elsewhere once it is in the shape", () => {
    expect(readFields({ models: "a" }, { models: "text" })).toEqual({ models: "a" });
  });
});

describe("readQuery()", () => {
  const query = (text: string) => readQuery(new Request(`http://h/p${text}`), ["a", "b"]);

  test("decodes what is known", () => {
    expect(query("?a=1%202&b=")).toEqual({ a: "1 2", b: "" });
    expect(query("")).toEqual({});
  });

  test.each(["?c=1", "?A=1", "?a=1&a=1", "?__proto__=1"])("refuses %p", (text) => {
    expect(() => query(text)).toThrow(/Unknown parameter|sent twice/);
  });
});

describe("required()", () => {
  test("lets null and false pass, which were sent", () => {
    expect([required("a", null), required("a", false)]).toEqual([null, false]);
    expect(() => required("a", undefined)).toThrow('"a" is missing');
  });
});
