import { describe, expect, test } from "bun:test";
import {
  glance,
  isOtherString,
  NAMES_NONE,
  NAMES_SOME,
  namesNone,
  namesOf,
} from "../../src/lib/json_glance.ts";

const utf8 = new TextEncoder();

const NAMES = namesOf(["model", "service_tier", "type"], "type");

/** Longer than the longest key in escapes. */
const LONG = "A".repeat(121);

/** The answer, which is the same for text and for bytes. */
function none(json: string): boolean {
  const answer = namesNone(json, NAMES);
  expect(namesNone(utf8.encode(json), NAMES)).toBe(answer);
  return answer;
}

describe("namesNone()", () => {
  test.each([
    "{}",
    '{"type":"a"}',
    '{"a":"model ","b":" model","c":"modal","d":"models"}',
    '{"a":"service_tier: fast"}',
    '{"a":"\\n","b":"\\\\","c":"\\"\\/\\t"}',
    '{"a":"\\"","b":",\\"model\\":1"}',
    `{"a":"${LONG}\\",\\"b\\":1"}`,
    '{"a":[-1.5E+3,true,false,null]}',
    '{ "event_id" : "e" ,\n "type" : "x", "audio": "AAAA" }',
    `{"a":"${"model ".repeat(2000)}","type":"b"}`,
    `{"a":"${LONG}\\n\\u00e9 ","b":"${LONG}\\tA","type":"b"}`,
  ])("is true of %j, which has none of the keys", (json) => {
    expect(none(json)).toBe(true);
  });

  test.each([
    '{"model":1}',
    '{"a":{"b":[{"model":1}]}}',
    '{"a":"b", "service_tier" : "fast"}',
    `{"a":"${"A".repeat(9000)}","service_tier":"fast"}`,
    '{"é":"😀","model":1}',
    '{"Model":1}',
    '{"SERVICE_tier":"fast"}',
  ])("is false of %j, which has one", (json) => {
    expect(none(json)).toBe(false);
  });

  test.each(['{"ſervice_tier":1}', '{"мodel":1}'])(
    "is false of %j, which has one in letters that somebody may take for small ones",
    (json) => {
      expect(namesNone(json, NAMES)).toBe(false);
    },
  );

  test.each([
    '{"Type":"a"}',
    '{"type":"a","Type":"b"}',
    '{"type":"a","type":"b"}',
    '{"type":"a","b":{"type":1}}',
    '{"type":"type"}',
  ])("is false of %j, which has one twice that may stand there once", (json) => {
    expect(none(json)).toBe(false);
  });

  test.each([
    '{"mod\\u0065l":1}',
    '{"a":"\\"","model":1}',
    '{"a":"\\\\","model":1}',
    '{"serv\\ice_tier":1}',
    '{"a":"\\\\u"}',
    `{"a":"${LONG}\\"","model":1}`,
    `{"a":"${LONG}\\\\","model":1}`,
    `{"mod\\u0065l":1,"a":"${LONG}"}`,
    `{"a":"${LONG}","mod\\u0065l":1}`,
    `{"a":"${LONG}","mod\\u0065l":1,"b":"${LONG}"}`,
    `{"${[..."service_tier"].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join("")}":1}`,
  ])("does not tell what the escapes in %j hide", (json) => {
    expect(none(json)).toBe(false);
  });

  test("does not tell of a text with a string that has no end, or with very many strings", () => {
    expect(none('{"a":"b}')).toBe(false);
    const strings = (count: number) => `{"a":${JSON.stringify(Array(count - 1).fill("b"))}}`;
    expect(none(strings(32))).toBe(true);
    expect(none(strings(33))).toBe(false);
  });

  test.each([
    "",
    "[]",
    '"a"',
    '{"a":1',
    ' {"a":1}',
    "{'service_tier':1}",
    "{service_tier:1}",
    '{"a":1 /*"*/,"b":2}',
    '{"a":1 //"\n}',
    '{"a":NaN}',
    `{"a":${" ".repeat(65)}1}`,
  ])("does not tell of %j, in which somebody might read more than JSON", (json) => {
    expect(none(json)).toBe(false);
  });

  test("tells of what is no JSON, but has the strings that it seems to have", () => {
    expect(none('{"a":"b"],}')).toBe(true);
  });

  test("does not tell of what is no ASCII, but for the rest of a long string in text", () => {
    expect(none('{"клю":"a"}')).toBe(false);
    expect(none('{"a":"mé"}')).toBe(false);
    const text = `{"a":"${LONG}é"}`;
    expect([namesNone(text, NAMES), namesNone(utf8.encode(text), NAMES)]).toEqual([true, false]);
  });

  test.each(['{"mod\u0000el":1}', '{"\nmodel":1}', '{"model\u007f":1}', '{"mo\u200bdel":1}'])(
    "does not tell of %j, out of which somebody might leave a character",
    (json) => {
      expect(none(json)).toBe(false);
    },
  );
});

describe("glance()", () => {
  test("says where the one key stands that may, in text and in bytes", () => {
    const text = '{"audio":"AAAA","type":"x"}';
    for (const json of [text, utf8.encode(text)]) {
      expect(glance(json, NAMES)).toBe(text.indexOf(':"x"'));
    }
    expect(glance('{"a":"b"}', NAMES)).toBe(NAMES_NONE);
    expect(glance('{"model":"b"}', NAMES)).toBe(NAMES_SOME);
  });
});

describe("isOtherString()", () => {
  const behind = (text: string) =>
    [text, utf8.encode(text)].map((json) => isOtherString(json, text.indexOf('"', 2) + 1, "a.b"));

  test.each(['{"type":"a"}', '{"type" :\n "a.bc"}', '{"type":""}', '{"type":"xa.b"}'])(
    "is true of %j",
    (text) => {
      expect(behind(text)).toEqual([true, true]);
    },
  );

  test.each([
    '{"type":"a.b"}',
    '{"type"\t:  "a.b" }',
    '{"type":1}',
    '{"type"}',
    '{"type","a"}',
    '{"type":"\\u0061\\u002e\\u0062"}',
    '{"type":"a.\\u0062"}',
    '{"type":"\\U00000061\\U0000002e\\U00000062"}',
  ])("is false of %j", (text) => {
    expect(behind(text)).toEqual([false, false]);
  });
});
