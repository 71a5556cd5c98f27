import { describe, expect, test } from "bun:test";

import { type ConfigNode, parseDocumentTree, pathOf } from "../../src/config/document.ts";

/** The tree as plain values. */
function plain(node: ConfigNode): unknown {
  if (node.kind === "scalar") return node.text;
  if (node.kind === "list") return node.items.map(plain);
  return Object.fromEntries([...node.entries].map(([key, below]) => [key, plain(below)]));
}

function read(text: string): unknown {
  const { root, problems } = parseDocumentTree(text);
  expect(problems).toEqual([]);
  return plain(root);
}

function problems(text: string): string[] {
  return parseDocumentTree(text).problems.map(
    ({ line, path, message }) => `${line ?? "-"} ${path}: ${message}`,
  );
}

describe("parseDocumentTree()", () => {
  test.each([
    ["", {}],
    ["# only a comment\n", {}],
    ["---\n", {}],
    ["a: 1", { a: "1" }],
    ["a: 0123", { a: "0123" }],
    ["a: 12345678901234567890", { a: "12345678901234567890" }],
    ["a: ~\nb:\nc: null", { a: null, b: null, c: null }],
    ['a: "true"\nb: yes', { a: "true", b: "yes" }],
    ["8080: x", { "8080": "x" }],
    ["a: {b: [1, {c: d}]}", { a: { b: ["1", { c: "d" }] } }],
    ["a: |\n  x\n  y\n", { a: "x\ny\n" }],
    ['{"a": ["b"]}', { a: ["b"] }],
    ["__proto__: 1", Object.fromEntries([["__proto__", "1"]])],
  ])("reads %p", (text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  test("gives every node its path and the line of its key", () => {
    const { root } = parseDocumentTree("a: 1\nb:\n  c:\n    - x\n    - {d: 1}\n");
    const seen: string[] = [];
    const walk = (node: ConfigNode): void => {
      seen.push(`${node.line} ${node.path}`);
      if (node.kind === "map") for (const below of node.entries.values()) walk(below);
      if (node.kind === "list") for (const below of node.items) walk(below);
    };
    walk(root);
    expect(seen).toEqual(["1 ", "1 a", "2 b", "3 b.c", "4 b.c[0]", "5 b.c[1]", "5 b.c[1].d"]);
  });

  test("follows aliases to the anchor that precedes them most closely", () => {
    expect(read("a: &x 1\nb: *x\nc: &x 2\nd: *x")).toEqual({ a: "1", b: "1", c: "2", d: "2" });
  });

  test("merges << below the map's own keys, the earlier map of a list first", () => {
    const text = "p: &p {a: 1, b: 1, c: 1}\nq: &q {b: 2, d: 2}\nr:\n  c: 3\n  <<: [*q, *p]\n";
    expect(read(text)).toMatchObject({ r: { a: "1", b: "2", c: "3", d: "2" } });
  });

  test("merges through several levels", () => {
    const text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, x: 3}\n";
    expect(read(text)).toMatchObject({ c: { x: "3", y: "2" } });
  });

  test("takes a quoted << for an ordinary key", () => {
    expect(read('a: {"<<": 1}')).toEqual({ a: { "<<": "1" } });
  });

  test.each([
    ["a: 1\na: 2", "2 a: is given twice; the first is on line 1"],
    ["a:\n  b: 1\n  c: 1\n  b: 2", "4 a.b: is given twice; the first is on line 2"],
    ["a: *nope", "1 a: the alias has no anchor before it"],
    ["<<: 3", "1 : << takes a map or a list of maps, usually as an alias: <<: *name"],
    ["a: &a {b: 1}\n<<: *a\n<<: *a", '3 ["<<"]: is given twice'],
    ["? [x]\n: 1", "1 : A key must be a plain word"],
    ["- a", "1 : The file must be a map of keys, such as http_port: 8080"],
    ["just text", "1 : The file must be a map of keys, such as http_port: 8080"],
    ["a: 1\n---\nb: 2", "2 : The file has a second document (---); only one is read"],
    ["a: !cmd x", "1 : Tags (!name) are not supported"],
    ["a:\n\t- b", "2 : Tabs cannot indent YAML; use spaces"],
    ['a: "x', "1 : A quote, comma, colon or bracket is missing"],
    ["a: b: c", "1 : A value that contains a colon and a space must be quoted"],
    ["a: @b", "1 : A value that begins like this must be quoted"],
    ["a: &x [*x]", "- : The file has too many values, or is nested too deeply"],
  ])("refuses %p", (text, problem) => {
    expect(problems(text)).toContain(problem);
  });

  test("refuses an alias bomb without expanding it", () => {
    const lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
    for (let level = 1; level <= 9; level++) {
      const below = Array(10)
        .fill(`*a${level - 1}`)
        .join(",");
      lines.push(`a${level}: &a${level} [${below}]`);
    }
    expect(problems(lines.join("\n"))[0]).toContain("too many values");
  });

  test("refuses deep nesting, and a text of 50 MB before it is parsed", () => {
    expect(problems("[".repeat(20_000)).length).toBeGreaterThan(0);
    expect(problems(`a: ${"[".repeat(100)}${"]".repeat(100)}`)[0]).toContain("nested too deeply");
    expect(problems("a: b\n".repeat(10_000_000))).toEqual(["- : The file is larger than 1MiB"]);
  });

  test("finds duplicates among 20,000 keys in one pass", () => {
    const text = Array.from({ length: 20_000 }, (_, index) => `k${index}: 1`).join("\n");
    expect(problems(`${text}\nk0: 2`)).toEqual([
      "20001 k0: is given twice; the first is on line 1",
    ]);
  });

  test("never repeats the text of the file in a syntax problem", () => {
    const secret = "hunter2hunter2";
    for (const text of [`a: "${secret}`, `a: !${secret} x`, `a: | ${secret}`, `@${secret}: 1`]) {
      expect(problems(text).length).toBeGreaterThan(0);
      expect(problems(text).join()).not.toContain(secret);
    }
  });
});

test.each([
  ["", "a", "a"],
  ["a", "b-c", "a.b-c"],
  ["a", "b.c", 'a["b.c"]'],
  ["a", "sk-secret", 'a["(hidden)"]'],
  ["a", 'k: "value', 'a["(hidden)"]'],
])("pathOf(%p, %p) is %p", (path, key, expected) => {
  expect(pathOf(path, key)).toBe(expected);
});
