import { describe, expect, test } from "bun:test";
import {
  count,
  NONE_BILLED,
  readUsageObject,
  record,
  recordIn,
  required,
  USAGE_ABSENT,
} from "../../src/provider/usage_reading.ts";

describe("readUsageObject()", () => {
  test.each([
    [null, "absent"],
    ["null", "absent"],
    ["[]", "malformed"],
    ["7", "malformed"],
    ['{"n":1}', "malformed"],
  ])("reads %p as %s", (json, reading) => {
    const fail = () => {
      throw new TypeError("no usage");
    };
    expect(readUsageObject(json, fail).reading).toBe(reading as "absent");
  });
});

describe("count(), required()", () => {
  test.each([0, 7, Number.MAX_SAFE_INTEGER])("give %p", (n) => {
    expect([count({ n }, "n"), required({ n }, "n")]).toEqual([n, n]);
  });

  test.each([-1, 1.5, "1", true, 2 ** 53])("throw of %p", (n) => {
    expect(() => count({ n }, "n")).toThrow("n");
  });

  test("differ where there is none", () => {
    expect(count({ n: null }, "n")).toBeNull();
    expect(() => required({}, "n")).toThrow("lacks n");
  });
});

describe("record(), recordIn()", () => {
  test("give an object, empty where there is none", () => {
    expect([record({ a: 1 }), recordIn({}, "a"), recordIn({ a: null }, "a")]).toEqual([
      { a: 1 },
      {},
      {},
    ]);
    expect(() => recordIn({ a: [] }, "a")).toThrow("not an object");
  });
});

test("USAGE_ABSENT and NONE_BILLED say so", () => {
  expect([USAGE_ABSENT.reading, NONE_BILLED.reading]).toEqual(["absent", "none_billed"]);
});
