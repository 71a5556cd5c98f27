import { describe, expect, test } from "bun:test";
import { SecretLine } from "../../src/cli/io.ts";

describe("SecretLine.type()", () => {
  test.each<[string[], string, string]>([
    [["sk-1\r"], "done", "sk-1"],
    [["s", "k", "\n"], "done", "sk"],
    [["sk-12\u007f\u007f3\r"], "done", "sk-3"],
    [["\b\bab\b\r"], "done", "a"],
    [["ab\u001b\tc\r"], "done", "abc"],
    [["sk-1\rrest"], "done", "sk-1"],
    [["sk"], "typing", "sk"],
    [["sk\u0003"], "cancelled", "sk"],
    [["\u0004"], "cancelled", ""],
  ])("after %p it is %s with %p", (keys, state, text) => {
    const line = new SecretLine();
    expect(keys.map((key) => line.type(key)).at(-1) ?? "").toBe(state);
    expect(line.text).toBe(text);
  });
});
