import { expect, test } from "bun:test";

import type { ScalarNode } from "../../src/config/document.ts";
import { Reader } from "../../src/config/reader.ts";

function node(text: string | null, variable: string | null = null): ScalarNode {
  return { kind: "scalar", path: "a.b", line: variable === null ? 3 : null, variable, text };
}

test("Reader.refuse() shows the value, cut, or that there is none", () => {
  const reader = Reader.create({});
  reader.refuse(node("abc"), "a number");
  reader.refuse(node("x ".repeat(200)), "a number");
  reader.refuse(node(null), "a number");
  expect(reader.problems.map(({ message }) => message)).toEqual([
    'must be a number, not "abc"',
    `must be a number, not "${"x ".repeat(30)}…"`,
    "must be a number, not nothing",
  ]);
});

test("Reader.refuse() hides a secret key's value and what looks like a secret", () => {
  const reader = Reader.create({ VALUE: "hunter2" });
  reader.secret().refuse(node("hunter2"), "x");
  reader.refuse(node("sk-abcdef"), "x");
  reader.refuse(node("${VALUE}"), "x");
  const shown = reader.problems.map(({ message }) => message).join("\n");
  expect(shown).not.toMatch(/hunter2|sk-abcdef/);
  expect(shown).toContain('not "${VALUE}"');
});

test("Reader.text() expands the file's text and takes a variable's as it is", () => {
  const reader = Reader.create({ A: "one" });
  expect(reader.text(node("${A}"))).toEqual({ text: "one", isCommand: false });
  expect(reader.text(node("${A}", "SLUICE_A_B"))).toEqual({ text: "${A}", isCommand: false });
  expect(reader.text(node("$(x)"), true)).toEqual({ text: "x", isCommand: true });
  expect(reader.text(node("$(x)"))).toBeUndefined();
  expect(reader.problems).toHaveLength(1);
});

test("Reader.secrets has each secret, expanded, and the part behind a scheme", () => {
  const reader = Reader.create({ A: "sk-0123456789abcdef" });
  reader.secret().text(node("Bearer ${A}"));
  reader.text(node("no secret"));
  reader.addSecret("");
  expect(reader.secrets).toEqual(["Bearer sk-0123456789abcdef", "sk-0123456789abcdef"]);
});

test("Reader.problem() and warn() name the variable that a value came from", () => {
  const reader = Reader.create({});
  reader.problem(node("x", "SLUICE_A_B"), "is bad");
  reader.warn(node("x"), "is odd");
  expect(reader.problems).toEqual([
    { path: "a.b", line: null, message: "is bad (set by the variable SLUICE_A_B)" },
  ]);
  expect(reader.warnings).toEqual([{ path: "a.b", line: 3, message: "is odd" }]);
});
