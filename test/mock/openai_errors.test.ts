import { expect, test } from "bun:test";

import { Fixtures } from "../../src/mock/fixtures.ts";
import {
  badField,
  errorAnswer,
  notFound,
  notJson,
  openaiError,
  scriptedError,
} from "../../src/mock/openai_errors.ts";
import { parseScript } from "../../src/mock/script.ts";

const fixtures = await Fixtures.load(null);

test.each([
  ["status=429", 429, "rate_limit_exceeded"],
  ["error=insufficient_quota", 429, "insufficient_quota"],
  ["status=401", 401, "invalid_api_key"],
  ["error=model_not_found", 404, "model_not_found"],
  ["error=context_length_exceeded", 400, "context_length_exceeded"],
  ["error=rate_limit", 429, "rate_limit_exceeded"],
  ["status=500", 500, null],
  ["status=503", 503, null],
  ["error=made_up", 400, "made_up"],
  ["status=418,error=model_not_found", 418, "model_not_found"],
])("scriptedError(%s) is %d %p", (script, status, code) => {
  const error = scriptedError(fixtures, parseScript(script));
  expect([error.status, error.error["code"] ?? null]).toEqual([status, code]);
  expect(error.headers).not.toHaveProperty("x-request-id");
});

test("scriptedError() keeps the recorded advice on when to retry", () => {
  const error = scriptedError(fixtures, parseScript("status=429"));
  expect(error.headers).toMatchObject({ "retry-after": "2", "retry-after-ms": "1898" });
});

test("errors have OpenAI's shape", () => {
  const answer = errorAnswer(openaiError(400, "c", "m", "p"));
  const error = { message: "m", type: "invalid_request_error", param: "p", code: "c" };
  expect(JSON.parse(String(answer.body))).toEqual({ error });
  expect(openaiError(503, null, "m").error["type"]).toBe("server_error");
  expect(notFound("GET", "/v1/x").status).toBe(404);
  expect(notJson().answer.status).toBe(400);
  expect(String(badField("model", "m").answer.body)).toContain('"param":"model"');
});
