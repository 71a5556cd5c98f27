import { expect, test } from "bun:test";

import { listUsage } from "../../src/store/statements_usage.ts";

test("listUsage() binds every value, in order, and asks for one row more", () => {
  const query = { limit: 10, projectId: "p", tokenId: "t", sessionId: "s", sinceMs: 1, untilMs: 2 };
  const { sql, parameters } = listUsage(query, { recordedAtMs: 5, eventId: "e" });
  expect(parameters).toEqual(["p", "t", "s", 1, 2, 5, "e", 11]);
  expect(sql).toContain("(recorded_at, event_id) < ($6, $7) ORDER BY");
  expect(listUsage({ limit: 1 }, null).sql).not.toContain("WHERE");
});
