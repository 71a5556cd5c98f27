import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { Principal } from "../../src/exchange.ts";
import { admitSession, sessionsForOpenFiles } from "../../src/policy/admit.ts";

const principal: Principal = {
  kind: "token",
  projectId: "p",
  tokenId: "t",
  expiresAtMs: null,
  issuedAtMs: null,
  restrictions: null,
};

function code(run: () => void): string {
  try {
    run();
    return "admitted";
  } catch (error) {
    return error instanceof GatewayError ? error.code : "other";
  }
}

test.each([
  { sessions: 9, ofToken: 0, perToken: 0, expected: "admitted" },
  { sessions: 10, ofToken: 0, perToken: 0, expected: "node_full" },
  { sessions: 5, ofToken: 2, perToken: 3, expected: "admitted" },
  { sessions: 5, ofToken: 3, perToken: 3, expected: "too_many_sessions" },
  { sessions: 5, ofToken: 900, perToken: 0, expected: "admitted" },
])("admitSession() gives $expected with $sessions sessions, $ofToken of the token", (row) => {
  const occupancy = { sessions: row.sessions, sessionsOf: () => row.ofToken };
  const limits = { sessionsMax: 10, sessionsPerTokenMax: row.perToken };
  expect(code(() => admitSession(principal, occupancy, limits))).toBe(row.expected);
});

test("admitSession() does not count sessions that have no token", () => {
  const occupancy = { sessions: 1, sessionsOf: () => 99 };
  const limits = { sessionsMax: 10, sessionsPerTokenMax: 1 };
  expect(code(() => admitSession({ ...principal, tokenId: null }, occupancy, limits))).toBe(
    "admitted",
  );
});

test.each([
  [20_000, 9_750],
  [1_024, 262],
  [100, 1],
])("sessionsForOpenFiles() keeps files back: %d allow %d", (openFiles, sessions) => {
  expect(sessionsForOpenFiles(openFiles)).toBe(sessions);
});
