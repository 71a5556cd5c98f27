import { describe, expect, test } from "bun:test";

import {
  asGatewayError,
  ERROR_TABLE,
  type ErrorCode,
  errorBody,
  errorEvent,
  errorResponse,
  GatewayError,
} from "../src/errors.ts";

/** Code, HTTP status and close code, as the outside contract states them. */
const CONTRACT: [ErrorCode, number | null, number | null][] = [
  ["token_missing", 401, 1008],
  ["token_invalid", 401, 1008],
  ["token_expired", 401, 1008],
  ["token_revoked", 401, 1008],
  ["project_inactive", 403, 1008],
  ["model_not_allowed", 403, 1008],
  ["endpoint_not_allowed", 403, 1008],
  ["tier_blocked", 403, 1008],
  ["origin_not_allowed", 403, 1008],
  ["bad_request", 400, 1008],
  ["invalid_json", 400, 1008],
  ["ambiguous_json", 400, 1008],
  ["param_not_allowed", 400, 1008],
  ["endpoint_not_found", 404, null],
  ["method_not_allowed", 405, null],
  ["unsupported_encoding", 415, null],
  ["websocket_required", 426, null],
  ["rate_limited", 429, 1013],
  ["quota_exhausted", 429, 1013],
  ["budget_exhausted", 429, 1013],
  ["too_many_sessions", 429, 1013],
  ["body_too_large", 413, 1009],
  ["frame_too_large", null, 1009],
  ["headers_too_large", 431, null],
  ["no_provider", 404, 1013],
  ["no_healthy_provider", 503, 1013],
  ["circuit_open", 503, 1013],
  ["node_full", 503, 1013],
  ["ledger_unavailable", 503, 1013],
  ["revocations_stale", 503, 1013],
  ["limits_unavailable", 503, 1013],
  ["upstream_unreachable", 502, 1011],
  ["upstream_unreadable", 502, null],
  ["upstream_timeout", 504, 1013],
  ["upstream_closed", 502, 1011],
  ["upstream_auth_failed", 502, 1008],
  ["idle_timeout", null, 1008],
  ["write_timeout", null, 1008],
  ["first_frame_timeout", null, 1008],
  ["session_limit", null, 1008],
  ["draining", 503, 1012],
  ["internal", 500, 1011],
];

describe("ERROR_TABLE", () => {
  test("holds the contract's codes and no others", () => {
    expect(Object.keys(ERROR_TABLE).sort()).toEqual(CONTRACT.map(([code]) => code).sort());
  });

  test.each(CONTRACT)("%s answers HTTP %p and closes with %p", (code, status, close) => {
    expect([ERROR_TABLE[code].status, ERROR_TABLE[code].close]).toEqual([status, close]);
  });

  test("advises a retry for every 503 and every refusal that passes by itself", () => {
    for (const row of Object.values(ERROR_TABLE)) {
      if (row.status === 503) expect(row.retryAfterS).toBeGreaterThan(0);
    }
  });
});

describe.each(CONTRACT)("%s in each dialect", (code, status) => {
  const error = new GatewayError(code, { param: "model" });

  test("openai", () => {
    const body = JSON.parse(errorBody(error, "openai", "req"));
    expect(Object.keys(body.error).sort()).toEqual(["code", "message", "param", "type"]);
    expect(body.error.message).toBe(ERROR_TABLE[code].message);
    expect(body.error.param).toBe("model");
  });

  test("anthropic", () => {
    const body = JSON.parse(errorBody(error, "anthropic", "req"));
    expect(body).toEqual({
      type: "error",
      error: { type: expect.stringMatching(/_(error|large)$/), message: error.message },
      request_id: "req",
    });
  });

  test("gemini", () => {
    const body = JSON.parse(errorBody(error, "gemini", "req"));
    expect(body.error.code).toBe(error.status);
    expect(body.error.status).toMatch(/^[A-Z_]+$/);
  });

  test("as a WebSocket event that carries a numeric status", () => {
    const event = JSON.parse(errorEvent(error, "evt_1"));
    expect([event.event_id, event.type]).toEqual(["evt_1", "error"]);
    // Codex stops on 400, and goes on with POST on 403.
    const expected = code === "tier_blocked" ? 400 : (status ?? error.status);
    expect(event.status).toBe(expected);
    expect(event.error.message).toBe(error.message);
  });

  test("as an HTTP answer", async () => {
    const response = errorResponse(error, "openai", "req");
    expect(response.status).toBe(error.status);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("x-sluice-request-id")).toBe("req");
    expect(await response.json()).toHaveProperty("error.message", error.message);
  });
});

test.each<[ErrorCode, string, string]>([
  ["token_invalid", "authentication_error", "token_invalid"],
  ["tier_blocked", "forbidden_error", "policy_violation"],
  ["rate_limited", "rate_limit_error", "rate_limit_exceeded"],
  ["quota_exhausted", "rate_limit_error", "insufficient_quota"],
  ["budget_exhausted", "rate_limit_error", "insufficient_quota"],
  ["body_too_large", "invalid_request_error", "body_too_large"],
  ["upstream_timeout", "api_error", "upstream_timeout"],
])("errorBody() gives %s OpenAI's type %s and code %s", (code, type, wireCode) => {
  const { error } = JSON.parse(errorBody(new GatewayError(code), "openai", "req"));
  expect([error.type, error.code]).toEqual([type, wireCode]);
});

test("errorResponse() tells the SDKs not to retry a rejected credential", () => {
  const response = errorResponse(new GatewayError("upstream_auth_failed"), "openai", "req");
  expect(response.headers.get("x-should-retry")).toBe("false");
});

test("errorResponse() lets an error's own retry-after win over the table's", () => {
  const error = new GatewayError("rate_limited", { headers: { "retry-after": "38" } });
  expect(errorResponse(error, "openai", "req").headers.get("retry-after")).toBe("38");
});

test("asGatewayError() hides what an unexpected error says", () => {
  const error = asGatewayError(new Error("secret in a stack"));
  expect([error.code, error.message]).toEqual(["internal", "Internal error"]);
  expect(asGatewayError(error)).toBe(error);
});

test("GatewayError takes the close reason from its own message unless one is given", () => {
  expect(new GatewayError("draining").closeReason).toBe("service restart");
  const error = new GatewayError("upstream_timeout", { closeReason: "late", closeCode: 1000 });
  expect([error.closeReason, error.closeCode]).toEqual(["late", 1000]);
});
