import { expect, test } from "bun:test";

import { listAudit } from "../../src/store/statements_audit.ts";

test("listAudit() binds every value, in order, and asks for one row more", () => {
  const times = { sinceMs: 1, untilMs: 2 };
  const query = { limit: 10, actor: "a", action: "b", subject: "c", hash: "d", ...times };
  const { sql, parameters } = listAudit(query, 5);
  expect(parameters).toEqual(["a", "b", "c", "d", 1, 2, 5, 11]);
  expect(sql).toEndWith("sequence < $7 ORDER BY sequence DESC LIMIT $8");
  expect(listAudit({ limit: 1 }, undefined).parameters).toEqual([Number.MAX_SAFE_INTEGER, 2]);
});
