import { expect, test } from "bun:test";

import { openSqlite } from "../../src/runtime/sqlite.ts";
import {
  type Migration,
  migrate,
  MIGRATIONS,
  migrationStatus,
  refuseOtherSchema,
} from "../../src/store/migrate.ts";
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

test("migrationStatus() says what was applied and what is not, and changes nothing", async () => {
  const driver = new SqliteDriver(openSqlite(":memory:"));
  expect(await migrationStatus(driver, [ONE])).toEqual([
    { version: 1, name: "one", appliedAtMs: null },
  ]);
  expect(await tables(driver)).toEqual([]);
  await migrate(driver, 5, [ONE]);
  expect(await migrationStatus(driver, [ONE, TWO])).toEqual([
    { version: 1, name: "one", appliedAtMs: 5 },
    { version: 2, name: "two", appliedAtMs: null },
  ]);
});

test("refuseOtherSchema() takes this version's only, and says what to do", async () => {
  const driver = new SqliteDriver(openSqlite(":memory:"));
  expect(await refuseOtherSchema(driver, [ONE]).catch(String)).toContain("no schema yet");
  await migrate(driver, 5, [ONE]);
  await refuseOtherSchema(driver, [ONE]);
  const behind = await refuseOtherSchema(driver, [ONE, TWO]).catch(String);
  expect(behind).toContain("schema version 1, and this sluice needs version 2");
  expect(behind).toContain("sluice migrate");
  await migrate(driver, 6, [ONE, TWO]);
  const newer = await refuseOtherSchema(driver, [ONE]).catch(String);
  expect(newer).toContain("schema version 2, and this sluice knows up to 1");
});

test("MIGRATIONS are numbered without gaps and make the columns of a usage event", async () => {
  expect(MIGRATIONS.map((each) => each.version)).toEqual(MIGRATIONS.map((_, index) => index + 1));
  const driver = new SqliteDriver(openSqlite(":memory:"));
  await migrate(driver, 5);
  const columns = await driver.query("SELECT name FROM pragma_table_info('usage_events')");
  // A column that came later stands at the end.
  const names = columns.map((row) => String(row["name"]));
  expect(names.toSorted()).toEqual(USAGE_COLUMN_NAMES.toSorted());
});
