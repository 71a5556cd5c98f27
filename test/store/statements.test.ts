import { describe, expect, test } from "bun:test";

import * as statements from "../../src/store/statements.ts";

const TEXTS = Object.entries(statements).flatMap(([name, value]): [string, string][] =>
  typeof value === "string" ? [[name, value]] : [],
);

/** Numbers of the parameters in the order in which they first appear. */
function firstUses(sql: string): number[] {
  return [...new Set([...sql.matchAll(/\$(\d+)/g)].map((match) => Number(match[1])))];
}

describe("statements", () => {
  test.each(TEXTS)("%s numbers its parameters in order of first use", (_, sql) => {
    const uses = firstUses(sql);
    expect(uses).toEqual(uses.map((_number, index) => index + 1));
  });
});

test("listUsage() binds every value, in order, and asks for one row more", () => {
  const query = { limit: 10, projectId: "p", tokenId: "t", sessionId: "s", sinceMs: 1, untilMs: 2 };
  const { sql, parameters } = statements.listUsage(query, { recordedAtMs: 5, eventId: "e" });
  expect(parameters).toEqual(["p", "t", "s", 1, 2, 5, "e", 11]);
  expect(firstUses(sql)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(statements.listUsage({ limit: 1 }, null).sql).not.toContain("WHERE");
});
