import { expect, test } from "bun:test";

import { charactersIn, Ids, tokensOf, Words } from "../../src/mock/text.ts";

test.each([
  [0, 0],
  [1, 1],
  [4, 1],
  [5, 2],
])("tokensOf(%d characters) is %d", (characters, tokens) => {
  expect(tokensOf(characters)).toBe(tokens);
});

test("charactersIn() counts what a model reads, however deep, and nothing else", () => {
  expect(charactersIn("four")).toBe(4);
  const message = { type: "message", role: "user", content: [{ type: "input_text", text: "abc" }] };
  expect(charactersIn([message, "de"])).toBe(5);
  expect(charactersIn({ type: "function_call_output", call_id: "x", output: "done" })).toBe(4);
  expect(charactersIn(undefined)).toBe(0);
});

test("Words give the same text for the same seed, and another for another", () => {
  const text = new Words(7).text(12);
  expect(new Words(7).text(12)).toBe(text);
  expect(new Words(8).text(12)).not.toBe(text);
  expect(text.split(" ")).toHaveLength(12);
});

test("Words.delta() pieces make up Words.text()", () => {
  const words = new Words(1);
  const pieces = Array.from({ length: 700 }, (_, index) => words.delta(index));
  expect(pieces.join("")).toBe(words.text(700));
});

test("Words.obfuscation() varies in length", () => {
  const words = new Words(1);
  const lengths = Array.from({ length: 50 }, (_, index) => words.obfuscation(index).length);
  expect(new Set(lengths).size).toBeGreaterThan(5);
  expect(Math.min(...lengths)).toBeGreaterThan(0);
});

test("Ids never repeat and have the length asked for", () => {
  const ids = new Ids("0123456789abcdef0123456789abcdef01234567");
  const made = Array.from({ length: 1_000 }, () => ids.next("resp_", 44));
  expect(new Set(made).size).toBe(1_000);
  for (const id of made) expect(id).toMatch(/^resp_[0-9a-f]{44}$/);
});
