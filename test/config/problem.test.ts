import { expect, test } from "bun:test";

import { ConfigError, formatProblems, inOrder } from "../../src/config/problem.ts";

const late = { path: "log.level", line: 12, message: "is wrong" };
const early = { path: "", line: 3, message: "This is not valid YAML" };
const none = { path: "http_port", line: null, message: "is bad" };

test("inOrder() sorts by line, with those without one last", () => {
  expect(inOrder([none, late, early])).toEqual([early, late, none]);
});

test("formatProblems() says file, line, path and message", () => {
  expect(formatProblems([early, late, none], "a.yml")).toBe(
    "a.yml:3: This is not valid YAML\na.yml:12: log.level: is wrong\nhttp_port: is bad",
  );
  expect(formatProblems([late])).toBe("line 12: log.level: is wrong");
});

test("ConfigError carries at most 50 problems", () => {
  const error = new ConfigError(Array.from({ length: 400 }, () => late));
  expect(error.problems).toHaveLength(50);
  expect(error.message.split("\n")).toHaveLength(51);
});
