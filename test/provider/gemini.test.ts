import { describe, expect, test } from "bun:test";
import { gemini } from "../../src/provider/gemini.ts";

describe("gemini.endpoint()", () => {
  test.each([
    [
      "POST",
      "/v1beta/models/gemini-3-flash:generateContent",
      "/v1beta/models/{model}:generateContent",
      true,
      "never",
    ],
    ["POST", "/v1/models/m:countTokens", "/v1/models/{model}:countTokens", false, "never"],
    ["GET", "/v1/models/m", "/v1beta/models/{model}", false, "never"],
    [
      "GET",
      "//ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent",
      "/ws/BidiGenerateContent",
      true,
      "only",
    ],
    ["POST", "/v1beta/openai/chat/completions", "/v1beta/openai/chat/completions", true, "never"],
  ] as const)("finds %s %s as %s", (method, path, name, billing, websocket) => {
    expect(gemini.endpoint(method, path)).toMatchObject({ name, billing, websocket });
  });

  test.each([
    ["POST", "/v1beta/models/m:train"],
    ["POST", "/v1beta/interactions"],
    ["PUT", "/v1beta/models/m:generateContent"],
    ["GET", "/v1beta/models/m:streamGenerateContent"],
    ["POST", "/v1beta/models/m;x:generateContent"],
    ["POST", "/v1beta/models/..%2fm:generateContent"],
    ["POST", "/v1beta/models"],
    ["GET", "/ws/google.ai.generativelanguage.v1.GenerativeService.Other"],
  ])("has no %s %s", (method, path) => {
    expect(gemini.endpoint(method, path)).toBeNull();
  });
});

describe("gemini.credentialHeaders()", () => {
  test.each([
    ["AIza1", "/v1beta/models/g:generateContent", "x-goog-api-key", "AIza1"],
    ["ya29.1", "/v1beta/models/g:generateContent", "authorization", "Bearer ya29.1"],
    ["AIza1", "/v1beta/openai/chat/completions", "authorization", "Bearer AIza1"],
    ["AIza1", "/v1/openai/models", "authorization", "Bearer AIza1"],
  ] as const)("puts %s for %s into %s", (key, path, name, value) => {
    expect(gemini.credentialHeaders(key, "query_key", "api_key", path)).toEqual([[name, value]]);
  });
});

describe("gemini.refusesCredential()", () => {
  test.each([
    [400, '{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}', true],
    [400, '{"error":{"status":"INVALID_ARGUMENT"}}', false],
  ])("of %d %s is %p", (status, body, refused) => {
    expect(gemini.refusesCredential(status, body)).toBe(refused);
  });
});

describe("gemini.has()", () => {
  test.each([
    "/v1beta/models",
    "/v1/models",
    "/v1/models/g:generateContent",
    "/v1alpha/files/f",
    "//ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
  ])("%s", (path) => {
    expect(gemini.has(path)).toBe(true);
  });

  test.each([
    "/v1/models/g:unknown",
    "/v1beta/models/..;:generateContent",
    "/v1/responses",
    "/ws/google.ai.generativelanguage.v1beta.GenerativeService.Other",
  ])("not %s", (path) => {
    expect(gemini.has(path)).toBe(false);
  });
});

describe("gemini.reaches()", () => {
  test.each(["/v1", "/v1/models", "/v1/models/gemini-pro:generateContent", "/v1beta", "/ws"])(
    "%s",
    (entry) => {
      expect(gemini.reaches(entry)).toBe(true);
    },
  );

  test.each(["/v1/chat", "/v1/models/g:unknown/x"])("not %s", (entry) => {
    expect(gemini.reaches(entry)).toBe(false);
  });
});
