import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { missingFirstMessage, readFirstMessage } from "../../src/provider/first_message.ts";

test.each([
  ["openai_responses", { type: "response.create", model: "m" }, "m", null],
  ["openai_responses", { previous_response_id: "resp_1", type: "response.create" }, null, "resp_1"],
  ["openai_responses", { type: "response.cancel" }, null, null],
  ["gemini_live", { setup: { model: "models/g" } }, "g", null],
  ["gemini_live", { setup: {} }, null, null],
  ["gemini_live", { clientContent: {} }, null, null],
] as const)("readFirstMessage() of %s %j is %p, %p", (dialect, message, model, response) => {
  const text = JSON.stringify(message);
  const expected = { model, previousResponseId: response };
  expect(readFirstMessage(dialect, text)).toEqual(expected);
  expect(readFirstMessage(dialect, new TextEncoder().encode(text))).toEqual(expected);
});

test.each([
  ["openai_responses", "no JSON", "invalid_json"],
  ["openai_responses", '{"model":"a","model":"b"}', "ambiguous_json"],
  ["openai_responses", '{"previous_response_id":"a","previous_response_id":"b"}', "ambiguous_json"],
  ["gemini_live", '{"setup":{"model":"a","model":"b"}}', "ambiguous_json"],
  ["gemini_live", '{"setup":{},"setup":{}}', "ambiguous_json"],
] as const)("readFirstMessage() of %s refuses %s as %s", (dialect, text, code) => {
  try {
    readFirstMessage(dialect, text);
  } catch (thrown) {
    expect(thrown instanceof GatewayError && thrown.code).toBe(code);
    return;
  }
  throw new Error("It was taken");
});

test("missingFirstMessage() names what was waited for", () => {
  expect(missingFirstMessage("gemini_live")).toBe("missing first setup message");
  expect(missingFirstMessage("openai_responses")).toBe("missing first response.create message");
});
