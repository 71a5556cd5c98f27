import { expect, test } from "bun:test";

import { expand } from "../../src/config/expand.ts";

const env = { A: "one", B_2: "two", DOLLAR: "${A} $$", EMPTY: "" };

test.each([
  ["", ""],
  ["plain", "plain"],
  ["${A}", "one"],
  ["Bearer ${A}", "Bearer one"],
  ["${A}${B_2}", "onetwo"],
  ["$$", "$"],
  ["$$A", "$A"],
  ["$${A}", "${A}"],
  ["$$$$", "$$"],
  ["$$(date)", "$(date)"],
  ["a$$b", "a$b"],
])("expand() makes %p %p", (text, expected) => {
  expect(expand(text, env)).toEqual({ kind: "text", text: expected });
});

test("expand() does not expand what a variable holds", () => {
  expect(expand("${DOLLAR}", env)).toEqual({ kind: "text", text: "${A} $$" });
});

test("expand() sees a command only as the whole value", () => {
  expect(expand("$(cat key $HOME)", env)).toEqual({ kind: "command", command: "cat key $HOME" });
  expect(expand("$(cat a\ncat b)\n", env)).toEqual({ kind: "command", command: "cat a\ncat b" });
});

test.each([
  ["${NOPE}", "the variable NOPE is not set"],
  ["${EMPTY}", "the variable EMPTY is empty"],
  ["${A", "${A has no closing brace"],
  ["${", "${ has no closing brace"],
  ["${A:-x}", "the variable A is used wrongly; only ${A} is understood"],
  ["${}", "the variable  is used wrongly; only ${NAME} is understood"],
  ["${1A}", "the variable 1A is used wrongly; only ${1A} is understood"],
  ["$A", "write ${A} for the variable A, or $$A for the text itself"],
  ["cost: 5$", "a $ by itself must be written $$"],
  ["$9", "a $ by itself must be written $$"],
  ["$( )", "$(command) must be the whole value; write $$( for the text itself"],
  ["Bearer $(date)", "$(command) must be the whole value; write $$( for the text itself"],
])("expand() refuses %p", (text, message) => {
  expect(expand(text, env)).toEqual({ kind: "problem", message });
});
