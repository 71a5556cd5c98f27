import { expect, test } from "bun:test";

import { openSqlite } from "../../src/runtime/sqlite.ts";
import { type Migration, migrate, MIGRATIONS } from "../../src/store/migrate.ts";
import { USAGE_COLUMN_NAMES } from "../../src/store/rows.ts";
import { SqliteDriver } from "../../src/store/sqlite_driver.ts";

const ONE: Migration = { version: 1, name: "one", sql: "CREATE TABLE one (a TEXT)" };
const TWO: Migration = {
  version: 2,
  name: "two",
  sql: "CREATE TABLE two (a TEXT); INSERT INTO two VALUES ('x');",
};

function tables(driver: SqliteDriver): Promise<unknown[]> {
  return driver
    .query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    .then((rows) => rows.map((row) => row["name"]));
}

test("migrate() applies what is missing, in order, and nothing the next time", async () => {
  const driver = new SqliteDriver(openSqlite(":memory:"));
  expect(await migrate(driver, 5, [ONE])).toEqual(["one"]);
  expect(await migrate(driver, 6, [ONE, TWO])).toEqual(["two"]);
  expect(await migrate(driver, 7, [ONE, TWO])).toEqual([]);
  expect(await driver.query("SELECT * FROM schema_migrations ORDER BY version")).toEqual([
    { version: 1, name: "one", applied_at: 5 },
    { version: 2, name: "two", applied_at: 6 },
  ]);
});

test("migrate() leaves the version before a migration that fails", async () => {
  const driver = new SqliteDriver(openSqlite(":memory:"));
  const broken = { ...TWO, sql: `${TWO.sql} INSERT INTO nowhere VALUES (1);` };
  expect(await migrate(driver, 5, [ONE, broken]).catch(String)).toContain("nowhere");
  expect(await tables(driver)).toEqual(["one", "schema_migrations"]);
  expect(await migrate(driver, 6, [ONE, TWO])).toEqual(["two"]);
});

test("migrate() refuses a newer schema, says what to do, and changes nothing", async () => {
  const driver = new SqliteDriver(openSqlite(":memory:"));
  await migrate(driver, 5, [ONE, TWO]);
  const message = await migrate(driver, 6, [ONE]).catch(String);
  expect(message).toContain("schema version 2, and this sluice knows up to 1");
  expect(message).toContain("Start the newer sluice");
});

test("MIGRATIONS are numbered without gaps and make the columns of a usage event", async () => {
  expect(MIGRATIONS.map((each) => each.version)).toEqual(MIGRATIONS.map((_, index) => index + 1));
  const driver = new SqliteDriver(openSqlite(":memory:"));
  await migrate(driver, 5);
  const columns = await driver.query("SELECT name FROM pragma_table_info('usage_events')");
  expect(columns.map((row) => row["name"])).toEqual([...USAGE_COLUMN_NAMES]);
});
