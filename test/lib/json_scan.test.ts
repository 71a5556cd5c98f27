import { describe, expect, test } from "bun:test";
import {
  byteText,
  editBytes,
  editText,
  insertField,
  literalAt,
  removeField,
  replaceValue,
  scanObject,
  scanElements,
  scanWithin,
  stringAt,
} from "../../src/lib/json_scan.ts";
import { systemClock } from "../../src/runtime/clock.ts";

function valueOf(text: string, key: string): string | null {
  const field = scanObject(text, [key])?.fields[0];
  return field ? text.slice(field.start, field.end) : null;
}

describe("scanObject()", () => {
  test.each([
    ['{"type":"a"}', '"a"'],
    ['{"x":{"type":"b"},"type":"a"}', '"a"'],
    ['{"\\u0074ype":"a"}', '"a"'],
    ['{"t\\u0079pe" : "a" }', '"a"'],
    ['{"x":"\\"type\\":\\"b\\"","type":"a"}', '"a"'],
    ['{"x":"\\\\","type":"a"}', '"a"'],
    ['{"type":"b","type":"a"}', '"a"'],
    ['\r\n\t {"type":[1,{"a":[]}],"y":0}', '[1,{"a":[]}]'],
    ['{"typ":1,"typee":2}', null],
    ["{}", null],
  ])("finds the value in %s", (text, wanted) => {
    expect(valueOf(text, "type")).toBe(wanted);
  });

  test.each([
    [""],
    ["{"],
    ['{"a"'],
    ['{"a":'],
    ['{"a":1'],
    ['{"a":1,}'],
    ['{"a":1}}'],
    ['{"a":1} x'],
    ['{"a" 1}'],
    ["{a:1}"],
    ['{"a":01}'],
    ['{"a":1.}'],
    ['{"a":+1}'],
    ['{"a":.5}'],
    ['{"a":NaN}'],
    ['{"a":tru}'],
    ['{"a":"\\x"}'],
    ['{"a":"\\u12g4"}'],
    ['{"a":"\n"}'],
    ['{"a\u0000":1}'],
    ['{"a":[1,]}'],
    ['{"a":[1}'],
    ['{"a":"b\\"}'],
    ["\ufeff{}"],
    ["\u00a0{}"],
    ["[]"],
    ['"a"'],
    ["null"],
  ])("refuses %j", (text) => {
    expect(scanObject(text, ["a"])).toBeNull();
  });

  test("names the first wanted key that stands twice, however it is spelt", () => {
    expect(scanObject('{"a":1,"\\u0061":2}', ["b", "a"])?.duplicate).toBe("a");
    expect(scanObject('{"c":1,"c":2}', ["b", "a"])?.duplicate).toBeNull();
  });

  test("does not recurse into depth", () => {
    const depth = 200_000;
    const text = `{"a":${"[".repeat(depth)}${"]".repeat(depth)},"b":1}`;
    expect(valueOf(text, "b")).toBe("1");
  });

  test("passes a long string without looking at each character", () => {
    const text = `{"audio":"${"QUJD".repeat(1536)}","type":"x"}`;
    scanObject(text, ["type"]);
    const startedMs = systemClock.monotonicMs();
    for (let round = 0; round < 2_000; round++) scanObject(text, ["type"]);
    const perScanUs = ((systemClock.monotonicMs() - startedMs) * 1_000) / 2_000;
    // 0.6 µs where nothing else runs; a look at each of the 6,144 characters takes 6.
    expect(perScanUs).toBeLessThan(5);
  });
});

describe("scanElements()", () => {
  test.each(["[]", "[ ]", "[1]", '[ {"a":[1,"]"]} , "b,c" ,[[]], null ]', "[[1,2],3]"])(
    "finds the elements of %s",
    (array) => {
      const text = `{"a": ${array} }`;
      const [field] = scanObject(text, ["a"])?.fields ?? [];
      const spans = field ? scanElements(text, field) : null;
      const found = spans?.map(({ start, end }) => JSON.parse(text.slice(start, end)));
      expect(found).toEqual(JSON.parse(array));
    },
  );

  test.each(["{}", '"[]"', "1", "null"])("finds none in %s, which is no array", (value) => {
    const text = `{"a":${value}}`;
    const [field] = scanObject(text, ["a"])?.fields ?? [];
    expect(field && scanElements(text, field)).toBeNull();
  });
});

describe("scanWithin()", () => {
  test("finds fields of a nested object, and none in what is no object", () => {
    const text = '{"a":{"b":{"c":1}},"d":[]}';
    const [a, d] = scanObject(text, ["a", "d"])?.fields ?? [];
    if (!a || !d) throw new Error("The fields are there");
    const b = scanWithin(text, a, ["b"])?.fields[0];
    expect(b && text.slice(b.start, b.end)).toBe('{"c":1}');
    expect(scanWithin(text, d, ["b"])).toBeNull();
  });
});

describe("stringAt() and literalAt()", () => {
  test("read a value as what it is", () => {
    const text = '{"a":"x\\u00e9","b":true,"c":1}';
    const [a, b, c] = scanObject(text, ["a", "b", "c"])?.fields ?? [];
    expect([stringAt(text, a), stringAt(text, b), stringAt(text, null)]).toEqual([
      "xé",
      null,
      null,
    ]);
    expect([literalAt(text, b, "true"), literalAt(text, c, "true")]).toEqual([true, false]);
  });
});

describe("byteText()", () => {
  test("has one character a byte, and refuses what is not UTF-8", () => {
    expect(byteText(new TextEncoder().encode("é"))).toBe("Ã©");
    expect(byteText(Uint8Array.of(0xc3))).toBeNull();
  });
});

describe("edits", () => {
  const text = '{ "a" : 1 , "b":"é", "c" :[2] }';

  test.each([
    ["a", '{ "b":"é", "c" :[2] }'],
    ["b", '{ "a" : 1 , "c" :[2] }'],
    ["c", '{ "a" : 1 , "b":"é" }'],
  ])("removeField() takes %s out with its comma", (key, wanted) => {
    const field = scanObject(text, [key])?.fields[0];
    if (!field) throw new Error("The field is there");
    expect(editText(text, removeField(text, field))).toBe(wanted);
  });

  test("removeField() empties an object of one field", () => {
    const field = scanObject('{ "a":1 }', ["a"])?.fields[0];
    if (!field) throw new Error("The field is there");
    expect(editText('{ "a":1 }', removeField('{ "a":1 }', field))).toBe("{  }");
  });

  test("insertField() needs no comma in an empty object", () => {
    expect(editText("{ }", insertField("{ }", { start: 0, end: 3 }, "a", "1"))).toBe('{"a":1 }');
  });

  test("editBytes() counts in bytes", () => {
    const bytes = new TextEncoder().encode(text);
    const latin = byteText(bytes) ?? "";
    const field = scanObject(latin, ["c"])?.fields[0];
    if (!field) throw new Error("The field is there");
    const edited = editBytes(bytes, replaceValue(field, '"ü"'));
    expect(new TextDecoder().decode(edited)).toBe('{ "a" : 1 , "b":"é", "c" :"ü" }');
  });
});

test("scanWithin() costs what its value is long, however long the text is", () => {
  const text = JSON.stringify({ a: Array(20_000).fill({ pad: "x".repeat(200), b: 1 }) });
  const [list] = scanObject(text, ["a"])?.fields ?? [];
  const startMs = performance.now();
  const found = scanElements(text, list!)?.map((one) => scanWithin(text, one, ["b"])?.fields[0]);
  expect(performance.now() - startMs).toBeLessThan(1_000);
  expect(found?.every((field) => text.slice(field?.start, field?.end) === "1")).toBe(true);
});
