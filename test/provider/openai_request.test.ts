import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/errors.ts";
import {
  injectStreamUsage,
  readRequestedTurn,
  requestedByForm,
} from "../../src/provider/openai_request.ts";

const utf8 = new TextEncoder();

function inject(text: string): string | null {
  const edited = injectStreamUsage(utf8.encode(text));
  return edited === null ? null : new TextDecoder().decode(edited);
}

describe("readRequestedTurn()", () => {
  test("reads what the client asked for, verbatim", () => {
    const body = '{"service_tier":"Fast","str\\u0065am":true,"model":"gpt-é","background":true}';
    expect(readRequestedTurn("openai_responses", utf8.encode(body))).toEqual({
      model: "gpt-é",
      serviceTier: "Fast",
      stream: true,
      includeUsage: false,
      background: true,
      duplicate: null,
    });
  });

  test("reads null where a field is missing or no string", () => {
    const requested = readRequestedTurn("openai_chat", utf8.encode('{"service_tier":1}'));
    expect([requested.model, requested.serviceTier, requested.stream]).toEqual([null, null, false]);
  });

  test("sees whether the client asked for usage itself", () => {
    const body = '{"stream":true,"stream_options":{"include_usage":true}}';
    expect(readRequestedTurn("openai_chat", utf8.encode(body)).includeUsage).toBe(true);
  });

  test.each([
    ['{"model":"a","model":"b"}', "model"],
    ['{"service_tier":"a","service_tie\\u0072":"b"}', "service_tier"],
    ['{"stream_options":{"include_usage":true,"include_usage":false}}', "include_usage"],
  ])("reports a field that is named twice: %s", (body, field) => {
    expect(readRequestedTurn("openai_chat", utf8.encode(body)).duplicate).toBe(field);
  });

  test.each([
    ["nothing", "", "empty"],
    ["a byte order mark", '\ufeff{"model":"a"}', "byte order mark"],
    ["a cut-off body", '{"model":"a"', "cut off"],
    ["trailing text", '{"model":"a"} x', "not valid JSON"],
    ["single quotes", "{'model':'a'}", "not valid JSON"],
    ["an array", "[]", "not a JSON object"],
    ["a string", '"model"', "not a JSON object"],
  ])("refuses %s as invalid_json", (_, body, words) => {
    const read = () => readRequestedTurn("openai_chat", utf8.encode(body));
    expect(read).toThrow(GatewayError);
    expect(read).toThrow(words);
  });

  test("refuses bytes that are not UTF-8 as invalid_json", () => {
    const bytes = Uint8Array.of(...utf8.encode('{"model":"'), 0xff, ...utf8.encode('"}'));
    expect(() => readRequestedTurn("openai_chat", bytes)).toThrow("UTF-8");
  });
});

describe("requestedByForm()", () => {
  test("reads the fields of a form", () => {
    const fields = new Map([
      ["model", "whisper-1"],
      ["stream", "true"],
    ]);
    expect(requestedByForm(fields)).toMatchObject({ model: "whisper-1", stream: true });
  });

  test("replaces what cannot be stored", () => {
    const fields = new Map([["model", "a\0b"]]);
    expect(requestedByForm(fields).model).toBe("a\ufffdb");
  });
});

describe("injectStreamUsage()", () => {
  const asked = '"stream_options":{"include_usage":true}';
  test.each([
    ['{"stream":true}', `{${asked},"stream":true}`],
    [' {\n  "stream" : true } ', ` {${asked},\n  "stream" : true } `],
    ['{"stream":true,"stream_options":null}', `{"stream":true,${asked}}`],
    ['{"stream":true,"stream_options":{}}', `{"stream":true,${asked}}`],
    [
      '{"stream":true,"stream_options":{"a":"é"}}',
      '{"stream":true,"stream_options":{"include_usage":true,"a":"é"}}',
    ],
    [
      '{"é":"ü","stream_options":{"include_usage":false},"stream":true}',
      '{"é":"ü","stream_options":{"include_usage":true},"stream":true}',
    ],
  ])("changes one field and no other byte: %s", (before, after) => {
    expect(inject(before)).toBe(after);
  });

  test.each([
    ['{"stream":false}'],
    ["{}"],
    ['{"stream":"true"}'],
    ['{"stream":true,"stream_options":{"include_usage":true}}'],
    ['{"stream":true,"stream_options":{"include_\\u0075sage":true}}'],
    ['{"stream":true,"stream_options":[]}'],
    ["not JSON"],
  ])("leaves alone %s", (body) => {
    expect(inject(body)).toBeNull();
  });

  test.each([
    ['{"stream":true,"stream":false}'],
    ['{"stream":true,"stream_options":{},"stream_options":null}'],
    ['{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}'],
  ])("refuses as ambiguous_json what would escape the meter: %s", (body) => {
    expect(() => inject(body)).toThrow("twice");
  });
});
