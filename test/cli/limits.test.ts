import { describe, expect, test } from "bun:test";
import { UsageError } from "../../src/cli/command.ts";
import { limitChanges } from "../../src/cli/limits.ts";

describe("limitChanges()", () => {
  test("is null without options", () => {
    expect(limitChanges({})).toBeNull();
  });

  test("sets and takes away by name", () => {
    const values = {
      limit: ["requests_per_minute=60", "budget_micros_total=9007199254740991"],
      "no-limit": ["session_turns"],
    };
    expect(limitChanges(values)).toEqual({
      requests_per_minute: 60,
      budget_micros_total: Number.MAX_SAFE_INTEGER,
      session_turns: null,
    });
  });

  test.each<[string, string[], string[], string]>([
    ["no value", ["requests_per_minute"], [], "NAME=NUMBER"],
    ["a word", ["requests_per_minute=many"], [], "NAME=NUMBER"],
    ["a fraction", ["requests_per_minute=1.5"], [], "NAME=NUMBER"],
    ["0", ["requests_per_minute=0"], [], "whole number from 1"],
    ["more than can be counted", ["requests_per_minute=9007199254740993"], [], "whole number"],
    ["an unknown name", ["requests=1"], [], "Known: requests_per_minute"],
    ["an unknown name to take away", [], ["requests"], "Known: requests_per_minute"],
    ["a name twice", ["session_turns=1", "session_turns=2"], [], "session_turns is named twice"],
    ["a name both ways", ["session_turns=1"], ["session_turns"], "session_turns is named twice"],
    ["a name of every object", ["constructor=1"], [], "Known: requests_per_minute"],
  ])("refuses %s", (_what, limit, removed, words) => {
    const read = () => limitChanges({ limit, "no-limit": removed });
    expect(read).toThrow(UsageError);
    expect(read).toThrow(words);
  });
});
