import { describe, expect, test } from "bun:test";

import { parseDocumentTree } from "../../src/config/document.ts";
import { Reader } from "../../src/config/reader.ts";
import {
  fallbacksOf,
  inherited,
  key,
  list,
  many,
  oneOrMany,
  optional,
  record,
  required,
  type Rule,
  secret,
  section,
  table,
} from "../../src/config/rule.ts";
import { duration, integer, text } from "../../src/config/scalars.ts";

function run<T>(rule: Rule<T>, yaml: string): { value: T | undefined; problems: string[] } {
  const reader = Reader.create({});
  const value = rule.read(parseDocumentTree(yaml).root, reader);
  return { value, problems: reader.problems.map(({ path, message }) => `${path}: ${message}`) };
}

const SHAPE = {
  port: key(integer(0, 9), "8", "a port"),
  name: optional(text(), "a name"),
  tags: many(list(text(), 3), "tags"),
  keys: many(oneOrMany(secret(text())), "keys"),
  times: section({ dial: key(duration(), "10s", "dialling") }, "times"),
};

describe("record()", () => {
  test("fills in what is missing or null", () => {
    const expected = { port: 8, name: null, tags: [], keys: [], times: { dial: 10_000 } };
    expect(run(record(SHAPE), "")).toEqual({ value: expected, problems: [] });
    expect(run(record(SHAPE), "port:\ntags: ~\ntimes:\n").value).toEqual(expected);
    expect(fallbacksOf(SHAPE)).toEqual(expected);
  });

  test("reads what is there", () => {
    const yaml = "port: 3\nname: n\ntags: [a]\nkeys: one\ntimes: {dial: 1s}\n";
    expect(run(record(SHAPE), yaml).value).toEqual({
      port: 3,
      name: "n",
      tags: ["a"],
      keys: ["one"],
      times: { dial: 1_000 },
    });
  });

  test("goes on after a problem and reports all of them", () => {
    const yaml = "prt: 1\nport: 99\ntags: [a, {}, c]\ntimes: 3\nkeys: [a, [hidden]]\n";
    expect(run(record(SHAPE), yaml).problems).toEqual([
      "prt: unknown key; did you mean port?",
      'port: must be a whole number from 0 to 9, not "99"',
      "tags[1]: must be text without control characters, not a map",
      "keys[1]: must be text without control characters, not a list",
      'times: must be a map, not "3"',
    ]);
  });

  test("names the known keys where none is close, if they are few", () => {
    expect(run(record({ a: SHAPE.port, b: SHAPE.name }), "zzzz: 1").problems).toEqual([
      "zzzz: unknown key; known are a, b",
    ]);
  });

  test("lets x-… and referenced anchors stand at the top, and nowhere else", () => {
    expect(run(record(SHAPE), "x-a: {b: 1}\nd: &d {dial: 1s}\ntimes: *d").problems).toEqual([]);
    expect(run(record(SHAPE), "d: &d {dial: 1s}").problems).toHaveLength(1);
    expect(run(record(SHAPE), "times: {x-a: 1}").problems).toHaveLength(1);
  });

  test("does not take a key from Object.prototype", () => {
    expect(run(record(SHAPE), "constructor: 1\n__proto__: 2").problems).toHaveLength(2);
  });

  test("reports a required key that is missing, at its place", () => {
    const rule = record({ type: required(text(), "its kind") });
    expect(run(rule, "")).toEqual({
      value: { type: null },
      problems: ["type: is missing: its kind"],
    });
  });
});

test("list() is bounded", () => {
  const rule = record({ tags: many(list(text(), 3), "") });
  expect(run(rule, "tags: [a, b, c, d]").problems).toEqual([
    "tags: must be a list of at most 3 values, not a list",
  ]);
});

test("table() reads free keys and checks both sides", () => {
  const rule = table(text("a word"), integer(0, 9));
  expect(run(rule, "a: 1\nb: 2").value).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  expect(run(rule, "a: x\n'': 2").problems).toHaveLength(2);
});

test("inherited() makes every key null when absent", () => {
  const keys = inherited(SHAPE.times.rule.parts.kind === "record" ? { dial: SHAPE.port } : {});
  expect(run(record(keys), "").value).toEqual({ dial: null });
  expect(run(record(keys), "dial: 2").value).toEqual({ dial: 2 });
});

test("key() refuses a default that its own rule refuses", () => {
  expect(() => key(integer(0, 9), "10", "")).toThrow(TypeError);
});
