import { describe, expect, test } from "bun:test";
import { missing, readFields, readQuery } from "../../src/admin/fields.ts";

const SHAPE = {
  required: { name: "text" },
  optional: {
    label: "nullable_text",
    key: "secret",
    on: "boolean",
    minutes: "count",
    most: "nullable_count",
    models: "names",
    limits: "limits",
    since: "time",
  },
} as const;

describe("readFields()", () => {
  test.each<[Record<string, unknown>]>([
    [{ name: "a" }],
    [{ name: "a", label: null, on: false, minutes: 1, most: null, models: null, since: 0 }],
    [{ name: "a", key: "k".repeat(8192), most: 2 ** 53 - 1, since: "1h" }],
    [{ name: "a", models: ["gpt-5*", "*"], limits: { session_turns: null, max_requests: 1 } }],
  ])("gives back %j and nothing else", (body) => {
    expect<unknown>(readFields(body, SHAPE)).toEqual(body);
  });

  test.each<[unknown, string]>([
    [undefined, "JSON object"],
    [null, "JSON object"],
    [[], "JSON object"],
    ["x", "JSON object"],
    [{}, '"name" is missing'],
    [{ on: true }, '"name" is missing'],
    [{ name: undefined }, '"name" must be a string'],
    [{ name: null }, '"name" must be a string'],
    [{ name: "" }, '"name" must not be empty'],
    [{ name: "\u0085" }, "control characters"],
    [{ name: "a\u0000" }, "control characters"],
    [{ name: "a".repeat(201) }, "at most 200"],
    [{ label: " " }, '"label" must not be empty'],
    [{ key: "k".repeat(8193) }, "at most 8192"],
    [{ on: 1 }, '"on" must be true or false'],
    [{ minutes: "1" }, '"minutes" must be a whole number from 1'],
    [{ minutes: 0 }, '"minutes" must be a whole number from 1'],
    [{ minutes: null }, '"minutes" must be a whole number from 1'],
    [{ most: 2 ** 53 }, '"most" must be a whole number from 1'],
    [{ models: [] }, "a list of 1 to 100 names"],
    [{ models: { 0: "a" } }, "a list of 1 to 100 names"],
    [{ models: ["a", null] }, "an entry that must be a string"],
    [{ models: ["**"] }, "only at the end"],
    [{ limits: [] }, "limits must be a JSON object"],
    [{ limits: { a: 1 } }, 'limits has no "a"'],
    [{ limits: { session_turns: 1.5 } }, "limits.session_turns must be a whole number"],
    [{ since: null }, '"since" must be a string'],
    [{ other: 1 }, 'Unknown field "other"'],
    [{ toString: 1 }, 'Unknown field "toString"'],
    [JSON.parse('{"__proto__":1}'), 'Unknown field "__proto__"'],
  ])("refuses %j", (body, words) => {
    expect(() => readFields(body, SHAPE)).toThrow(words);
  });

  test("takes no body for an empty one where nothing is required", () => {
    expect(readFields(undefined, { required: {}, optional: { on: "boolean" } })).toEqual({});
    expect(() => readFields(null, { required: {}, optional: {} })).toThrow("JSON object");
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

describe("missing()", () => {
  test("says what to send", () => {
    expect(missing("jti")).toMatchObject({
      code: "bad_request",
      description: 'Send "jti" in the body',
    });
  });
});
