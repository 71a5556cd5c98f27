import { describe, expect, test } from "bun:test";
import {
  WireObject,
  errorCodeOfBody,
  isDelta,
  isDeltaAt,
  storable,
  textOf,
  typeAtFront,
} from "../../src/provider/wire_text.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("isDelta()", () => {
  test.each([
    ['{"type":"response.output_text.delta","delta":"x"}', true],
    ['{"type":"a.delta"}', true],
    ['{"type":"response.completed","x":"y.delta"}', false],
    ['{"type":"response.completed\\".delta"}', false],
    ['{"type":"delta"}', false],
    ['{"x":1,"type":"a.delta"}', false],
    ['{"type":".delta', false],
    ['{"type"', false],
    ["", false],
  ])("of %s is %p, as text and as bytes", (text, wanted) => {
    expect([isDelta(text), isDelta(bytes(text))]).toEqual([wanted, wanted]);
    const within = bytes(`data: ${text}{"type":"a.delta"}`);
    expect(isDeltaAt(within, 6, 6 + text.length)).toBe(wanted);
  });
});

describe("typeAtFront()", () => {
  test.each([
    ['{"type":"response.done","x":1}', "response.done"],
    ['{ "type":"a"}', ""],
    ['{"x":1,"type":"a"}', ""],
    ['{"type":"\\u0061"}', ""],
    ['{"type":"a', ""],
    ["[]", ""],
  ])("of %s is %j, as text and as bytes", (text, wanted) => {
    expect([typeAtFront(text), typeAtFront(bytes(text))]).toEqual([wanted, wanted]);
  });
});

describe("textOf()", () => {
  test("reads UTF-8 only, and keeps a byte order mark", () => {
    expect(textOf(bytes("é"))).toBe("é");
    expect(textOf(Uint8Array.of(0xff))).toBeNull();
    expect(textOf(bytes("\ufeff{}"))).toBe("\ufeff{}");
  });
});

describe("WireObject", () => {
  const text = '{"a":"x","b":{"c":true,"d":false},"n":12,"z":null,"m":-1}';
  const object = WireObject.read(text, ["a", "b", "n", "z", "m", "none"]);

  test("reads each value as what it is, and nothing as anything else", () => {
    expect(object?.string("a")).toBe("x");
    expect(object?.string("n")).toBeNull();
    expect([object?.integer("n"), object?.integer("m"), object?.integer("a")]).toEqual([
      12,
      null,
      null,
    ]);
    expect([object?.has("z"), object?.has("a"), object?.has("none")]).toEqual([false, true, false]);
    const inner = object?.object("b", ["c", "d"]);
    expect([inner?.isTrue("c"), inner?.isFalse("d"), inner?.isTrue("d")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(object?.object("a", [])).toBeNull();
  });

  test("cuts a string that is too long to be kept", () => {
    const long = WireObject.read(JSON.stringify({ model: "m".repeat(5000) }), ["model"]);
    expect(long?.string("model")?.length).toBe(256);
  });
});

describe("errorCodeOfBody()", () => {
  test.each([
    ['{"error":{"code":"c","type":"t"}}', "c"],
    ['{"error":{"code":null,"type":"t"}}', "t"],
    ['{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}', "RESOURCE_EXHAUSTED"],
    ['{"error":"text"}', null],
    ["<html>", null],
  ])("of %s is %p", (body, code) => {
    expect(errorCodeOfBody(body)).toBe(code);
  });
});

describe("storable()", () => {
  test.each([
    ["a\0b", "a\ufffdb"],
    ["\ud800", "\ufffd"],
    [`${"x".repeat(255)}😀`, `${"x".repeat(255)}\ufffd`],
    ["x".repeat(300), "x".repeat(256)],
    ["gpt-5.5 é😀", "gpt-5.5 é😀"],
  ])("of %j is %j", (value, wanted) => {
    expect(storable(value)).toBe(wanted);
    expect(WireObject.read(JSON.stringify({ value }), ["value"])?.string("value")).toBe(wanted);
  });
});
