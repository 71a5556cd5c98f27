import { describe, expect, test } from "bun:test";
import { anthropic } from "../../src/provider/anthropic.ts";

describe("anthropic.endpoint()", () => {
  test.each([
    ["POST", "/v1/messages", "/v1/messages", true, "never"],
    ["POST", "/v1/messages/count_tokens", "/v1/messages/count_tokens", false, "never"],
  ] as const)("finds %s %s as %s", (method, path, name, billing, websocket) => {
    expect(anthropic.endpoint(method, path)).toMatchObject({ name, billing, websocket });
  });

  test.each([
    ["POST", "/v1/chat/completions"],
    ["PUT", "/v1/messages"],
    ["GET", "/v1/messages"],
    ["POST", "/v1/messages/batches/b;x/cancel"],
  ])("has no %s %s", (method, path) => {
    expect(anthropic.endpoint(method, path)).toBeNull();
  });
});

describe("anthropic.credentialHeaders()", () => {
  test.each([
    ["sk-ant-api", "x_api_key", "x-api-key", "sk-ant-api"],
    ["sk-ant-api", "authorization", "authorization", "Bearer sk-ant-api"],
  ] as const)("puts %s, the token sent as %s, into %s", (key, style, name, value) => {
    expect(anthropic.credentialHeaders(key, style, "api_key", "")).toEqual([[name, value]]);
  });
});

test("credentialHeaders() puts an OAuth token as Bearer, with its beta", () => {
  for (const style of ["x_api_key", "authorization"] as const) {
    expect(anthropic.credentialHeaders("sk-ant-oat01", style, "api_key", "")).toEqual([
      ["authorization", "Bearer sk-ant-oat01"],
      ["anthropic-beta", "oauth-2025-04-20"],
    ]);
  }
});

test("credentialHeaders() goes by the configured kind where a key does not show its own", () => {
  const headersOf = (key: string, kind: "api_key" | "oauth") =>
    anthropic.credentialHeaders(key, "x_api_key", kind, "").map(([name]) => name);
  expect(headersOf("opaque", "oauth")).toEqual(["authorization", "anthropic-beta"]);
  expect(headersOf("opaque", "api_key")).toEqual(["x-api-key"]);
  expect(headersOf("sk-ant-api03-x", "oauth")).toEqual(["x-api-key"]);
});

describe("anthropic.refusesCredential()", () => {
  test.each([[401, "", true]])("of %d %s is %p", (status, body, refused) => {
    expect(anthropic.refusesCredential(status, body)).toBe(refused);
  });
});

describe("anthropic.has()", () => {
  test.each(["/v1/messages", "/v1/messages/batches/b1/results"])("%s", (path) => {
    expect(anthropic.has(path)).toBe(true);
  });

  test.each(["/v1/responses", "/v1/messages/x"])("not %s", (path) => {
    expect(anthropic.has(path)).toBe(false);
  });
});

describe("anthropic.reaches()", () => {
  test.each(["/v1", "/v1/messages"])("%s", (entry) => {
    expect(anthropic.reaches(entry)).toBe(true);
  });

  test.each(["/v1/chat"])("not %s", (entry) => {
    expect(anthropic.reaches(entry)).toBe(false);
  });
});
