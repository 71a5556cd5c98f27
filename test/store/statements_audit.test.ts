import { expect, test } from "bun:test";

import { listAudit } from "../../src/store/statements_audit.ts";

test("listAudit() binds every value, in order, and asks for one row more", () => {
  const query = { limit: 10, actor: "a", action: "b", subject: "c", sinceMs: 1, untilMs: 2 };
  const { sql, parameters } = listAudit(query, 5);
  expect(parameters).toEqual(["a", "b", "c", 1, 2, 5, 11]);
  expect(sql).toEndWith("sequence < $6 ORDER BY sequence DESC LIMIT $7");
  expect(listAudit({ limit: 1 }, undefined).sql).not.toContain("WHERE");
});
