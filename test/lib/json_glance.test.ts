import { describe, expect, test } from "bun:test";
import { namesNone, namesOf } from "../../src/lib/json_glance.ts";

const utf8 = new TextEncoder();

const NAMES = namesOf(["model", "service_tier", "type"], "type");

/** Longer than the longest key in escapes. */
const LONG = "A".repeat(73);

/** The answer, which is the same for text and for bytes. */
function glance(json: string): boolean {
  const answer = namesNone(json, NAMES);
  expect(namesNone(utf8.encode(json), NAMES)).toBe(answer);
  return answer;
}

describe("namesNone()", () => {
  test.each([
    "{}",
    '{"type":"a"}',
    '{"a":"model ","b":" model","c":"Model","d":"models"}',
    '{"a":"service_tier: fast","ключ":"model é"}',
    '{ "event_id" : "e" ,\n "type" : "x", "audio": "AAAA" }',
    `{"a":"${"model ".repeat(2000)}","type":"b"}`,
    `{"a":"${LONG}\\n\\u00e9 ","b":"${LONG}\\tA","type":"b"}`,
  ])("is true of %j, which has none of the keys", (json) => {
    expect(glance(json)).toBe(true);
  });

  test.each([
    '{"model":1}',
    '{"a":{"b":[{"model":1}]}}',
    '{"a":"b", "service_tier" : "fast"}',
    `{"a":"${"A".repeat(9000)}","service_tier":"fast"}`,
    '{"é":"😀","model":1}',
  ])("is false of %j, which has one", (json) => {
    expect(glance(json)).toBe(false);
  });

  test.each(['{"type":"a","type":"b"}', '{"type":"a","b":{"type":1}}', '{"type":"type"}'])(
    "is false of %j, which has one twice that may stand there once",
    (json) => {
      expect(glance(json)).toBe(false);
    },
  );

  test.each([
    '{"mod\\u0065l":1}',
    '{"a":"\\"","model":1}',
    '{"a":"\\\\","model":1}',
    '{"a":"\\"","b":",\\"model\\":1"}',
    '{"a":"\\n"}',
    `{"a":"${LONG}\\"","model":1}`,
    `{"a":"${LONG}\\\\","model":1}`,
    `{"a":"${LONG}\\",\\"b\\":1"}`,
    `{"mod\\u0065l":1,"a":"${LONG}"}`,
    `{"a":"${LONG}","mod\\u0065l":1}`,
    `{"a":"${LONG}","mod\\u0065l":1,"b":"${LONG}"}`,
    `{"${[..."service_tier"].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join("")}":1}`,
  ])("does not tell what the escapes in %j hide", (json) => {
    expect(glance(json)).toBe(false);
  });

  test("does not tell of a text with a string that has no end, or with very many strings", () => {
    expect(glance('{"a":"b')).toBe(false);
    expect(glance(JSON.stringify(Array.from({ length: 32 }, () => "a")))).toBe(true);
    expect(glance(JSON.stringify(Array.from({ length: 33 }, () => "a")))).toBe(false);
  });

  test("does not tell whether it is JSON", () => {
    expect(glance("")).toBe(true);
    expect(glance('{"a":"b"]')).toBe(true);
  });
});
