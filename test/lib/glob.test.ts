import { describe, expect, test } from "bun:test";

import { coversName, parseGlob } from "../../src/lib/glob.ts";

/** Throws where the pattern is none. */
function matches(pattern: string, text: string): boolean {
  const glob = parseGlob(pattern);
  if (glob === undefined) throw new Error(`"${pattern}" is no pattern`);
  return glob.matches(text);
}

describe("parseGlob()", () => {
  // Go's own cases for path.Match (src/path/match_test.go), those with one character for a byte.
  test.each([
    ["abc", "abc", true],
    ["*", "abc", true],
    ["*c", "abc", true],
    ["a*", "a", true],
    ["a*", "abc", true],
    ["a*", "ab/c", false],
    ["a*/b", "abc/b", true],
    ["a*/b", "a/c/b", false],
    ["a*b*c*d*e*/f", "axbxcxdxe/f", true],
    ["a*b*c*d*e*/f", "axbxcxdxexxx/f", true],
    ["a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false],
    ["a*b*c*d*e*/f", "axbxcxdxexxx/fff", false],
    ["a*b?c*x", "abxbbxdbxebxczzx", true],
    ["a*b?c*x", "abxbbxdbxebxczzy", false],
    ["ab[c]", "abc", true],
    ["ab[b-d]", "abc", true],
    ["ab[e-g]", "abc", false],
    ["ab[^c]", "abc", false],
    ["ab[^b-d]", "abc", false],
    ["ab[^e-g]", "abc", true],
    ["a\\*b", "a*b", true],
    ["a\\*b", "ab", false],
    ["a?b", "a☺b", true],
    ["a[^a]b", "a☺b", true],
    ["a???b", "a☺b", false],
    ["a[^a][^a][^a]b", "a☺b", false],
    ["[a-ζ]*", "α", true],
    ["*[a-ζ]", "A", false],
    ["a?b", "a/b", false],
    ["a*b", "a/b", false],
    ["[\\]a]", "]", true],
    ["[\\-]", "-", true],
    ["[x\\-]", "x", true],
    ["[x\\-]", "z", false],
    ["[\\-x]", "-", true],
    ["*x", "xxx", true],
    ["", "", true],
    ["", "a", false],
    ["a", "", false],
    ["*", "", true],
  ])("%p covers %p: %p", (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected);
  });

  test.each(["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\"])(
    "%p is none",
    (pattern) => {
      expect(parseGlob(pattern)).toBeUndefined();
    },
  );

  test("takes a hostile text without going over it again and again for every star", () => {
    expect(matches("*a".repeat(20) + "b", "a".repeat(1_000))).toBe(false);
  });
});

describe("coversName()", () => {
  test.each([
    ["gpt-5.5", "gpt-5.5", true],
    ["gpt-5.5", "gpt-5.5-mini", false],
    ["gpt-5*", "gpt-5", true],
    ["gpt-5*", "gpt-5.5/mini", true],
    ["gpt-5*", "gpt-4", false],
    ["*", "anything", true],
    ["*-mini", "gpt-5.5-mini", false],
    ["gpt-?", "gpt-5", false],
  ])("%p covers %p: %p", (entry, name, expected) => {
    expect(coversName(entry, name)).toBe(expected);
  });
});
