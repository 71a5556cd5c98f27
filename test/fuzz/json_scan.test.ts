/**
 * `scanObject()` against `JSON.parse` on seeded texts: valid ones in every spelling, and the same
 * ones damaged.
 */

import { describe, expect, test } from "bun:test";
import {
  byteText,
  editText,
  insertField,
  removeField,
  replaceValue,
  scanObject,
  scanElements,
  scanWithin,
} from "../../src/lib/json_scan.ts";
import { Prng } from "../support/prng.ts";

const KEYS = ["type", "model", "usage", "x", ""];
const OTHER_KEYS = ["typ", "types", "Type", 'ty"pe', "\\", "ключ", "a\nb", "__proto__"];
const STRINGS = ["", "delta", 'a"b', "\\", "\\\\", '\\"', "line\nfeed", "é😀", "\u2028", "{", "}]"];
const NUMBERS = ["0", "-0", "1.5", "-12e3", "1E+2", "9007199254740993", "0.1e-7"];
const SPACES = ["", "", "", " ", "\n", "\t ", "\r\n"];
const DAMAGE = [
  "",
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "0",
  "-",
  ".",
  "e",
  "\u0000",
  "\ufeff",
];

function quoted(prng: Prng, text: string): string {
  let out = "";
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    const escape = prng.int(0, 5) === 0;
    if (escape) out += `\\u${code.toString(16).padStart(4, "0")}`;
    else out += JSON.stringify(text[index]).slice(1, -1);
  }
  return `"${out}"`;
}

function value(prng: Prng, depth: number): string {
  const kind = prng.int(0, depth > 3 ? 3 : 5);
  if (kind === 0) return quoted(prng, prng.pick(STRINGS));
  if (kind === 1) return prng.pick(NUMBERS);
  if (kind === 2) return prng.pick(["true", "false", "null"]);
  if (kind === 3) return prng.pick(["{}", "[]", "[ ]", "{\n}"]);
  const gap = () => prng.pick(SPACES);
  if (kind === 4) return object(prng, depth + 1);
  const items = Array.from(
    { length: prng.int(1, 4) },
    () => gap() + value(prng, depth + 1) + gap(),
  );
  return `[${items.join(",")}]`;
}

function object(prng: Prng, depth: number): string {
  const gap = () => prng.pick(SPACES);
  const fields = Array.from({ length: prng.int(0, 6) }, () => {
    const key = prng.pick(prng.int(0, 1) === 0 ? KEYS : OTHER_KEYS);
    return `${gap()}${quoted(prng, key)}${gap()}:${gap()}${value(prng, depth)}${gap()}`;
  });
  return `{${fields.join(",")}${fields.length === 0 ? gap() : ""}}`;
}

/** A text with one small thing wrong, perhaps. */
function damaged(prng: Prng, text: string): string {
  const at = prng.int(0, text.length);
  const kind = prng.int(0, 3);
  if (kind === 0) return text.slice(0, at);
  if (kind === 1) return text.slice(0, at) + prng.pick(DAMAGE) + text.slice(at);
  if (kind === 2) return text.slice(0, at) + text.slice(at + 1);
  return text + prng.pick(DAMAGE);
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const result: unknown = JSON.parse(text);
    const isObject = typeof result === "object" && result !== null && !Array.isArray(result);
    return isObject ? (result as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function own(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** The scan says what the parse says: the same verdict, and the same value under every key. */
function expectAgreement(text: string): void {
  const object = parsed(text);
  const scan = scanObject(text, KEYS);
  if ((scan === null) !== (object === null)) {
    throw new Error(`scan ${scan === null ? "refuses" : "accepts"} ${JSON.stringify(text)}`);
  }
  if (scan === null || object === null) return;
  for (const [index, key] of KEYS.entries()) {
    const field = scan.fields[index] ?? null;
    const found = field === null ? undefined : JSON.parse(text.slice(field.start, field.end));
    expect(found).toEqual(own(object, key));
    if (field !== null)
      expect(JSON.parse(`{${text.slice(field.keyStart, field.end)}}`)).toEqual({ [key]: found });
  }
}

describe("scanObject()", () => {
  test("agrees with JSON.parse on 20,000 valid texts", () => {
    const prng = new Prng(1);
    for (let round = 0; round < 20_000; round++) {
      const gap = prng.pick(SPACES);
      const text = gap + object(prng, 0) + gap;
      expect(parsed(text)).not.toBeNull();
      expectAgreement(text);
    }
  });

  test("agrees with JSON.parse on 40,000 damaged texts", () => {
    const prng = new Prng(2);
    let refused = 0;
    for (let round = 0; round < 40_000; round++) {
      const text = damaged(prng, object(prng, 0));
      expectAgreement(text);
      if (scanObject(text, []) === null) refused++;
    }
    expect(refused).toBeGreaterThan(20_000);
  });

  test("reports a wanted key exactly when it stands twice, or in other letter case", () => {
    const prng = new Prng(3);
    const names = [...KEYS, "other", "TYPE", "uſage", "uzage"];
    for (let round = 0; round < 10_000; round++) {
      const keys = Array.from({ length: prng.int(0, 5) }, () => prng.pick(names));
      const text = `{${keys.map((key) => `${quoted(prng, key)}:1`).join(",")}}`;
      const isOther = (key: string) =>
        (key === "type" && keys.includes("TYPE")) || (key === "usage" && keys.includes("uſage"));
      const twice = KEYS.filter(
        (key) => isOther(key) || keys.filter((each) => each === key).length > 1,
      );
      const { duplicate } = scanObject(text, KEYS) ?? { duplicate: "none" };
      if (twice.length === 0) expect(duplicate).toBeNull();
      else expect(twice).toContain(duplicate ?? "none");
    }
  });

  test("gives byte offsets on byteText()", () => {
    const prng = new Prng(4);
    for (let round = 0; round < 5_000; round++) {
      const text = object(prng, 0);
      const bytes = new TextEncoder().encode(text);
      const latin = byteText(bytes) ?? "";
      const [wide, narrow] = [scanObject(text, KEYS), scanObject(latin, KEYS)];
      for (const index of KEYS.keys()) {
        const [a, b] = [wide?.fields[index] ?? null, narrow?.fields[index] ?? null];
        const fromText = a && text.slice(a.start, a.end);
        const fromBytes = b && new TextDecoder().decode(bytes.subarray(b.start, b.end));
        expect(fromBytes).toBe(fromText);
      }
    }
  });
});

describe("edits", () => {
  test("insertField(), replaceValue() and removeField() change what they say, no more", () => {
    const prng = new Prng(5);
    for (let round = 0; round < 10_000; round++) {
      const text = object(prng, 0);
      const scan = scanObject(text, ["model"]);
      if (scan === null) throw new Error("The generator made no object");
      const before = parsed(text) ?? {};
      const inserted = editText(text, insertField(text, scan.span, "new", '{"a":[1]}'));
      expect(parsed(inserted)).toEqual({ ...before, new: { a: [1] } });
      const [field] = scan.fields;
      if (!field || scan.duplicate !== null) continue;
      expect(parsed(editText(text, replaceValue(field, "7")))).toEqual({ ...before, model: 7 });
      const { model: _, ...without } = before;
      expect(parsed(editText(text, removeField(text, field)))).toEqual(without);
    }
  });

  test("scanWithin() finds in a nested object what JSON.parse finds there", () => {
    const prng = new Prng(6);
    for (let round = 0; round < 10_000; round++) {
      const text = `{"a":[${value(prng, 0)}],"inner":${object(prng, 0)}}`;
      const outer = scanObject(text, ["inner"])?.fields[0];
      const scan = outer ? scanWithin(text, outer, KEYS) : null;
      const inner = (parsed(text) ?? {})["inner"] as Record<string, unknown>;
      for (const [index, key] of KEYS.entries()) {
        const field = scan?.fields[index] ?? null;
        const found = field === null ? undefined : JSON.parse(text.slice(field.start, field.end));
        expect(found).toEqual(own(inner, key));
      }
    }
  });

  test("scanElements() finds in an array what JSON.parse finds there", () => {
    const prng = new Prng(7);
    for (let round = 0; round < 10_000; round++) {
      const values = Array.from({ length: prng.int(0, 3) }, () => value(prng, 0));
      const text = `{"inner": [${values.join(" , ")} ]}`;
      const field = scanObject(text, ["inner"])?.fields[0];
      const spans = field ? scanElements(text, field) : null;
      const found = spans?.map(({ start, end }) => JSON.parse(text.slice(start, end)));
      expect(found).toEqual((parsed(text) ?? {})["inner"] as unknown[]);
    }
  });
});
