import { expect, test } from "bun:test";

import { Conditions } from "../../src/store/sql_conditions.ts";

test("select() has the conditions that were asked for, with their values as parameters", () => {
  const conditions = new Conditions();
  conditions.when("a =", "'; DROP TABLE t");
  conditions.when("b >", undefined);
  conditions.whenAll("(c, d) <", [0, null]);
  expect(conditions.select("t", "c DESC", 5)).toEqual({
    sql: "SELECT * FROM t WHERE a = $1 AND (c, d) < ($2, $3) ORDER BY c DESC LIMIT $4",
    parameters: ["'; DROP TABLE t", 0, null, 5],
  });
});

test("select() without conditions takes everything", () => {
  expect(new Conditions().select("t", "c", 5)).toEqual({
    sql: "SELECT * FROM t ORDER BY c LIMIT $1",
    parameters: [5],
  });
});
