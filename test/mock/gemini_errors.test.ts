import { expect, test } from "bun:test";

import { Fixtures } from "../../src/mock/fixtures.ts";
import {
  badKey,
  errorAnswer,
  geminiError,
  notJson,
  scriptedError,
} from "../../src/mock/gemini_errors.ts";
import { parseScript } from "../../src/mock/script.ts";

const fixtures = await Fixtures.load(null);

test.each([
  ["status=429", 429, "RESOURCE_EXHAUSTED"],
  ["error=resource_exhausted", 429, "RESOURCE_EXHAUSTED"],
  ["error=unavailable", 503, "UNAVAILABLE"],
  ["status=504", 504, "DEADLINE_EXCEEDED"],
  ["status=500", 500, "INTERNAL"],
  ["error=made_up", 400, "MADE_UP"],
])("scriptedError(%s) is %d %s", (script, code, status) => {
  const error = scriptedError(fixtures, parseScript(script));
  expect([error.code, error.error["status"]]).toEqual([code, status]);
});

test("badKey() is a 400 that says so", () => {
  const { code, error } = badKey(fixtures);
  expect([code, JSON.stringify(error)]).toEqual([400, expect.stringContaining("API_KEY_INVALID")]);
});

test("errors have Gemini's shape, in an array where the answer would have been one", () => {
  const error = { code: 404, message: "m", status: "NOT_FOUND" };
  const [alone, inArray] = [false, true].map((array) => errorAnswer(geminiError(404, "m"), array));
  expect(JSON.parse(String(alone?.body))).toEqual({ error });
  expect(JSON.parse(String(inArray?.body))).toEqual([{ error }]);
  expect(notJson().answer.status).toBe(400);
});
