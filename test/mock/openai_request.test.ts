import { expect, test } from "bun:test";

import { AnswerNow } from "../../src/mock/answer.ts";
import {
  callFor,
  flood,
  modelOf,
  outputSize,
  piecesOf,
  requestedTier,
  servedTier,
} from "../../src/mock/openai_request.ts";
import { NO_SCRIPT, parseScript } from "../../src/mock/script.ts";

test("modelOf() resolves an alias to its snapshot and keeps other names", () => {
  expect(modelOf({ model: "gpt-5.5" })).toBe("gpt-5.5-2026-04-23");
  expect(modelOf({ model: "my-model" })).toBe("my-model");
  expect(() => modelOf({})).toThrow(AnswerNow);
});

test.each([
  [undefined, "auto", "default"],
  ["auto", "auto", "default"],
  ["default", "default", "default"],
  ["flex", "flex", "flex"],
  ["priority", "priority", "priority"],
  ["fast", "priority", "priority"],
])("tier %p is echoed as %s and served as %s", (service_tier, requested, served) => {
  expect(requestedTier({ service_tier })).toBe(requested);
  expect(servedTier({ service_tier })).toBe(served);
});

test("outputSize() is the script's, cut by the request's limit", () => {
  expect(outputSize({}, NO_SCRIPT, ["max"])).toEqual({ tokens: 8, cut: false });
  expect(outputSize({ max: 3 }, NO_SCRIPT, ["max"])).toEqual({ tokens: 3, cut: true });
  expect(outputSize({ max: 30 }, parseScript("tokens=20"), ["max"])).toEqual({
    tokens: 20,
    cut: false,
  });
});

const parameters = {
  type: "object",
  properties: { a: { type: "string" }, b: { type: "integer" }, c: { type: "boolean" } },
  required: ["a", "b"],
};

test("callFor() calls the first function with a value for all that it requires", () => {
  const flat = { tools: [{ type: "web_search" }, { type: "function", name: "f", parameters }] };
  expect(callFor(flat, false)).toEqual({ name: "f", arguments: '{"a":"lock","b":1}' });
  const nested = { tools: [{ type: "function", function: { name: "g" } }] };
  expect(callFor(nested, false)).toEqual({ name: "g", arguments: "{}" });
  expect(callFor(flat, true)).toBeNull();
  expect(callFor({ ...flat, tool_choice: "none" }, false)).toBeNull();
  expect(callFor({}, false)).toBeNull();
});

test.each([
  ["abcdef", 2],
  ["abc", 5],
  ["é😀x\n", 2],
])("piecesOf(%p, %d) loses nothing", (text, count) => {
  const pieces = piecesOf(text, count);
  expect(pieces.join("")).toBe(text);
  expect(pieces.length).toBeLessThanOrEqual(Math.max(count, text.length));
});

test("flood() makes events of one size, whatever number is in them", () => {
  const events = [...flood(1_200, 64, (index, filler) => `{"n":${index},"t":"${filler}"}`)];
  expect(events).toHaveLength(1_200);
  expect(new Set(events.map((event) => event.text.length))).toEqual(new Set([64]));
  expect(JSON.parse(events[1_199]?.text ?? "").n).toBe(1_199);
});
