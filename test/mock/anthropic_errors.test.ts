import { expect, test } from "bun:test";

import {
  anthropicError,
  badField,
  errorAnswer,
  notJson,
  scriptedError,
} from "../../src/mock/anthropic_errors.ts";
import { Fixtures } from "../../src/mock/fixtures.ts";
import { parseScript } from "../../src/mock/script.ts";

const fixtures = await Fixtures.load(null);

test.each([
  ["status=429", 429, "rate_limit_error"],
  ["error=overloaded_error", 529, "overloaded_error"],
  ["error=enforced_spend_limit_reached", 429, "rate_limit_error"],
  ["status=504", 504, "timeout_error"],
  ["status=599", 599, "api_error"],
  ["error=made_up", 400, "made_up"],
])("scriptedError(%s) is %d %s", (script, status, type) => {
  const error = scriptedError(fixtures, parseScript(script));
  expect([error.status, error.error["type"]]).toEqual([status, type]);
});

test("scriptedError() keeps the recorded advice on when to retry", () => {
  const { headers } = scriptedError(fixtures, parseScript("status=429"));
  expect(headers).toMatchObject({ "retry-after": "7", "x-should-retry": "true" });
});

test("errors have Anthropic's shape", () => {
  const answer = errorAnswer(anthropicError(404, "m"));
  const error = { type: "not_found_error", message: "m" };
  expect(JSON.parse(String(answer.body))).toEqual({ type: "error", error, request_id: "req_mock" });
  expect(notJson().answer.status).toBe(400);
  expect(String(badField("model", "m").answer.body)).toContain("model: m");
});
