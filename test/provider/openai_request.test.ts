import { describe, expect, test } from "bun:test";
import {
  injectStreamUsage,
  openaiRequest,
  requestedByForm,
} from "../../src/provider/openai_request.ts";

const utf8 = new TextEncoder();

function inject(text: string): string | null {
  const edited = injectStreamUsage(utf8.encode(text));
  return edited === null ? null : new TextDecoder().decode(edited);
}

describe("openaiRequest()", () => {
  test("reads what the client asked for, verbatim", () => {
    const body = '{"service_tier":"Fast","str\\u0065am":true,"model":"gpt-é","background":true}';
    expect(openaiRequest("openai_responses", body)).toEqual({
      model: "gpt-é",
      serviceTier: "Fast",
      stream: true,
      outputTokensMax: null,
      speed: null,
      includeUsage: false,
      background: true,
      previousResponseId: null,
      duplicate: null,
    });
  });

  test("reads null where a field is missing or no string", () => {
    const requested = openaiRequest("openai_chat", '{"service_tier":1}');
    expect(requested).toMatchObject({ model: null, serviceTier: null, stream: false });
  });

  test("sees whether the client asked for usage itself", () => {
    const body = '{"stream":true,"stream_options":{"include_usage":true}}';
    expect(openaiRequest("openai_chat", body)?.includeUsage).toBe(true);
  });

  test.each([
    ['{"model":"a","model":"b"}', "model"],
    ['{"service_tier":"a","service_tie\\u0072":"b"}', "service_tier"],
    ['{"stream_options":{"include_usage":true,"include_usage":false}}', "include_usage"],
  ])("reports a field that is named twice: %s", (body, field) => {
    expect(openaiRequest("openai_chat", body)?.duplicate).toBe(field);
  });

  test.each([
    ["openai_chat", '{"max_tokens":7}', 7],
    ["openai_chat", '{"max_tokens":7,"max_completion_tokens":0}', 0],
    ["openai_chat", '{"max_tokens":7,"max_completion_tokens":null}', 7],
    ["openai_completions", '{"max_tokens":7,"max_completion_tokens":8}', 7],
    ["openai_responses", '{"max_output_tokens":9}', 9],
    ["openai_responses", '{"max_output_tokens":-9}', null],
    ["openai_responses", '{"max_output_tokens":"9"}', null],
    ["openai_responses", '{"max_tokens":9}', null],
    ["openai_embeddings", '{"max_tokens":9}', null],
  ] as const)("reads the output limit of %s %s as %p", (dialect, body, limit) => {
    expect(openaiRequest(dialect, body)?.outputTokensMax).toBe(limit);
  });

  test("relies on no output limit that is named twice, and still sees another duplicate", () => {
    const twice = '{"max_tokens":7,"max_tokens":8,"model":"a"';
    const [alone, beside] = [`${twice}}`, `${twice},"model":"b"}`].map((body) =>
      openaiRequest("openai_chat", body),
    );
    expect(alone).toMatchObject({ model: "a", outputTokensMax: null, duplicate: null });
    expect(beside?.duplicate).toBe("model");
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
