import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/errors.ts";
import { readRequestedTurn } from "../../src/provider/request.ts";

const utf8 = new TextEncoder();
const PATH = "/v1/chat/completions";

describe("readRequestedTurn()", () => {
  test.each([
    ["openai_responses", "/v1/responses", '{"model":"m","max_output_tokens":5}'],
    ["anthropic_messages", "/v1/messages", '{"model":"m","max_tokens":5}'],
    [
      "gemini_generate",
      "/v1/models/m:generateContent",
      '{"generationConfig":{"maxOutputTokens":5}}',
    ],
  ] as const)("reads a request in the format %s", (dialect, path, body) => {
    const requested = readRequestedTurn(dialect, utf8.encode(body), path);
    expect(requested).toMatchObject({ model: "m", outputTokensMax: 5, duplicate: null });
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
    const read = () => readRequestedTurn("openai_chat", utf8.encode(body), PATH);
    expect(read).toThrow(GatewayError);
    expect(read).toThrow(words);
  });

  test("refuses bytes that are not UTF-8 as invalid_json", () => {
    const bytes = Uint8Array.of(...utf8.encode('{"model":"'), 0xff, ...utf8.encode('"}'));
    expect(() => readRequestedTurn("openai_chat", bytes, PATH)).toThrow("UTF-8");
  });
});
