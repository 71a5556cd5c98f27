import { expect, test } from "bun:test";

import { openSqlite } from "../../src/runtime/sqlite.ts";
import { SqliteDriver } from "../../src/store/sqlite_driver.ts";

async function open(): Promise<SqliteDriver> {
  const driver = new SqliteDriver(openSqlite(":memory:"));
  await driver.exec("CREATE TABLE t (a INTEGER UNIQUE)");
  return driver;
}

test("each() runs a statement once a list of parameters and returns all rows", async () => {
  const driver = await open();
  const sql = "INSERT INTO t VALUES ($1) ON CONFLICT DO NOTHING RETURNING a";
  expect(await driver.each(sql, [[1], [2], [1]])).toEqual([{ a: 1 }, { a: 2 }]);
  expect(await driver.each(sql, [])).toEqual([]);
});

test("transaction() commits what resolves and rolls back what rejects", async () => {
  const driver = await open();
  const insert = "INSERT INTO t VALUES ($1)";
  expect(await driver.transaction("latest", async (each) => each.query(insert, [1]))).toEqual([]);
  const failed = driver.transaction("latest", async (each) => {
    await each.query(insert, [2]);
    await each.query(insert, [1]);
  });
  expect(await failed.catch(String)).toContain("UNIQUE");
  expect(await driver.query("SELECT a FROM t")).toEqual([{ a: 1 }]);
  await driver.transaction("latest", async (each) => each.query(insert, [3]));
  expect(await driver.query("SELECT a FROM t ORDER BY a")).toHaveLength(2);
});
