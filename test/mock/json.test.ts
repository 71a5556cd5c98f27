import { expect, test } from "bun:test";

import {
  isObject,
  listIn,
  numberIn,
  objectIn,
  parseObject,
  stringIn,
} from "../../src/mock/json.ts";

test.each([
  ['{"a":1}', { a: 1 }],
  ["[1]", null],
  ["null", null],
  ["{", null],
  ["", null],
])("parseObject(%p) is %p", (text, expected) => {
  expect(parseObject(text)).toEqual(expected);
});

test("fields of another type read as absent", () => {
  const object = { text: "a", number: 1, list: [1], object: { b: 2 }, nothing: null };
  expect(stringIn(object, "text")).toBe("a");
  expect(stringIn(object, "number")).toBeNull();
  expect(numberIn(object, "number")).toBe(1);
  expect(numberIn(object, "text")).toBeNull();
  expect(listIn(object, "list")).toEqual([1]);
  expect(listIn(object, "object")).toEqual([]);
  expect(objectIn(object, "object")).toEqual({ b: 2 });
  expect(objectIn(object, "list")).toEqual({});
  expect([isObject(object), isObject([]), isObject(null)]).toEqual([true, false, false]);
});
