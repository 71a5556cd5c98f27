import { expect, test } from "bun:test";

import { insertMany } from "../../src/store/postgres_values.ts";
import * as sql from "../../src/store/statements_spend.ts";

test.each([
  ["ADD_SPEND", sql.ADD_SPEND, 5],
  ["readSpend()", sql.readSpend("now()"), 4],
  ["SET_LEASE", sql.SET_LEASE, 5],
])("%s is one statement for many rows", (_, text, width) => {
  const row = Array.from({ length: width }, () => 1);
  expect(insertMany(text, [row, row, row])).toHaveLength(1);
});

test("noteNode(), readSpend() and deleteGoneNodes() go by the clock that they are given", () => {
  expect(sql.noteNode("now()")).toContain("VALUES ($1, now())");
  expect(sql.readSpend("now()")).toContain("seen_at > now() - 30000");
  expect(sql.deleteGoneNodes("now()")).toContain("seen_at <= now() - 86400000");
});
