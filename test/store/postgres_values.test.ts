import { expect, test } from "bun:test";

import { INSERT_REVOCATION, UPDATE_TOKEN } from "../../src/store/statements.ts";
import { INSERT_USAGE } from "../../src/store/statements_usage.ts";
import { USAGE_COLUMN_NAMES } from "../../src/store/rows.ts";
import { insertMany } from "../../src/store/postgres_values.ts";

test("insertMany() makes one statement of many rows and keeps what surrounds them", () => {
  const sql = "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING a";
  const lists = [
    [1, "x"],
    [2, null],
  ];
  expect(insertMany(sql, lists)).toEqual([
    {
      text: "INSERT INTO t (a, b) VALUES ($1,$2), ($3,$4) ON CONFLICT DO NOTHING RETURNING a",
      parameters: [1, "x", 2, null],
    },
  ]);
  expect(insertMany(sql, [])).toEqual([]);
});

test("insertMany() stays within the parameters of one statement", () => {
  const width = USAGE_COLUMN_NAMES.length;
  const lists = Array.from({ length: 2_500 }, () => Array.from({ length: width }, () => 0));
  const statements = insertMany(INSERT_USAGE, lists) ?? [];
  expect(statements.map(({ parameters }) => parameters.length / width)).toEqual([1000, 1000, 500]);
  for (const { parameters } of statements) expect(parameters.length).toBeLessThan(65_536);
});

test("insertMany() rewrites a statement that updates on conflict", () => {
  const [statement] = insertMany(INSERT_REVOCATION, [["a", 1, 2, 3]]) ?? [];
  expect(statement?.text).toContain("VALUES ($1,$2,$3,$4) ON CONFLICT (jti) DO UPDATE");
});

test.each([
  [UPDATE_TOKEN, [["l", "t"]]],
  ["INSERT INTO t (a, b) VALUES ($2, $1)", [[1, 2]]],
  ["INSERT INTO t (a, b) VALUES ($1, now())", [[1]]],
  ["INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = $2", [[1, 2]]],
  ["INSERT INTO t (a, b) VALUES ($1, $2)", [[1]]],
  ["WITH x AS (VALUES ($1)) INSERT INTO t (a) VALUES ($2)", [[1, 2]]],
])("insertMany() leaves alone %p", (sql, lists) => {
  expect(insertMany(sql, lists)).toBeNull();
});
