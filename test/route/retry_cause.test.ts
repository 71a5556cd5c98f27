import { describe, expect, test } from "bun:test";

import type { RetryCause } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import { causeOfError, causeOfStatus, isOfKey } from "../../src/route/retry_cause.ts";

test.each([
  [200, null],
  [400, null],
  [401, null],
  [429, "429"],
  [499, null],
  [500, "5xx"],
  [503, "5xx"],
] as const)("causeOfStatus(%d) is %p", (status, cause) => {
  expect(causeOfStatus(status)).toBe(cause);
});

describe("causeOfError()", () => {
  test.each([
    ["upstream_unreachable", "connect"],
    ["upstream_closed", "5xx"],
    ["circuit_open", "connect"],
    ["upstream_timeout", "timeout"],
    ["upstream_auth_failed", "connect"],
    ["token_revoked", null],
  ] as const)("of %s is %p", (code, cause) => {
    expect(causeOfError(new GatewayError(code))).toBe(cause);
  });

  test("is null for what is no refusal of ours", () => {
    expect(causeOfError(new Error("gone"))).toBeNull();
  });
});

describe("isOfKey()", () => {
  test.each<[RetryCause, unknown, boolean]>([
    ["429", null, true],
    ["5xx", null, false],
    ["connect", new GatewayError("upstream_unreachable"), false],
    ["connect", new GatewayError("circuit_open"), false],
    ["connect", new GatewayError("upstream_auth_failed"), true],
    ["timeout", new GatewayError("upstream_timeout"), false],
  ])("of %s and %p is told from both", (cause, thrown, expected) => {
    expect(isOfKey(cause, thrown)).toBe(expected);
  });
});
