import { expect, test } from "bun:test";

import { insertMany } from "../../src/store/postgres_values.ts";
import * as sql from "../../src/store/statements_spend.ts";

test.each([
  ["ADD_SPEND", sql.ADD_SPEND, 5],
  ["READ_SPEND", sql.READ_SPEND, 2],
  ["ADD_LEASE", sql.ADD_LEASE, 4],
  ["REDUCE_LEASE", sql.REDUCE_LEASE, 4],
])("%s is one statement for many rows", (_, text, width) => {
  const row = Array.from({ length: width }, () => 1);
  expect(insertMany(text, [row, row, row])).toHaveLength(1);
});

test("noteNode() and deleteDeadNodes() go by the clock that they are given", () => {
  expect(sql.noteNode("now()")).toContain("VALUES ($1, now())");
  expect(sql.deleteDeadNodes("now()")).toContain("seen_at <= now() - 30000");
});
