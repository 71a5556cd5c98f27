/**
 * Brings a database to this version's schema.
 *
 * Owns: the list of migrations and which of them a database has.
 * Does not own: the schema itself, which is the SQL in `sql/`.
 * Invariant: forward only. Each migration and its entry in `schema_migrations` are one transaction,
 * so a database is never between two versions.
 */

import init from "../../sql/0001_init.sql" with { type: "text" };
import controlPlane from "../../sql/0002_control_plane.sql" with { type: "text" };
import policies from "../../sql/0003_policies.sql" with { type: "text" };
import projectLists from "../../sql/0004_project_lists.sql" with { type: "text" };
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";

export interface Migration {
  /** 1, 2, 3 … without gaps. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** Every migration there is, in order. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: "init", sql: init },
  { version: 2, name: "control_plane", sql: controlPlane },
  { version: 3, name: "policies", sql: policies },
  { version: 4, name: "project_lists", sql: projectLists },
];

const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS schema_migrations (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)`;
const CURRENT = "SELECT COALESCE(MAX(version), 0) AS version FROM schema_migrations";
const LIST = "SELECT version, name, applied_at FROM schema_migrations ORDER BY version";
const RECORD = "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)";

/** One of the migrations that this version or the database knows. */
interface MigrationStatus {
  readonly version: number;
  readonly name: string;
  /** Null: not applied yet. */
  readonly appliedAtMs: number | null;
}

/** What a database has and lacks, in order. Changes nothing. */
export async function migrationStatus(
  driver: SqlDriver,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<MigrationStatus[]> {
  const rows = (await driver.hasTable("schema_migrations")) ? await driver.query(LIST) : [];
  const applied = rows.map((row) => ({
    version: Number(row["version"]),
    name: String(row["name"]),
    appliedAtMs: Number(row["applied_at"]),
  }));
  const missing = migrations.slice(applied.length);
  return [
    ...applied,
    ...missing.map(({ version, name }) => ({ version, name, appliedAtMs: null })),
  ];
}

/** For a database that nodes do not migrate themselves. @throws Error saying what to do */
export async function refuseOtherSchema(
  driver: SqlDriver,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<void> {
  const status = await migrationStatus(driver, migrations);
  const version = status.filter(({ appliedAtMs }) => appliedAtMs !== null).length;
  if (version > migrations.length) throw new Error(newerSchema(version, migrations.length));
  if (version === migrations.length) return;
  const has = version === 0 ? "no schema yet" : `schema version ${version}`;
  throw new Error(
    `The database has ${has}, and this sluice needs version ${migrations.length}. ` +
      "Bring it there, with the same configuration: sluice migrate",
  );
}

/**
 * Applies what is missing and returns the names of what was applied.
 * @throws when the database has a schema newer than this version knows; nothing was changed then
 */
export async function migrate(
  driver: SqlDriver,
  nowMs: number,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<string[]> {
  const applied: string[] = [];
  for (;;) {
    const name = await driver.transaction("migrate", (queries) =>
      applyNext(queries, nowMs, migrations),
    );
    if (name === null) return applied;
    applied.push(name);
  }
}

async function applyNext(
  queries: SqlQueries,
  nowMs: number,
  migrations: readonly Migration[],
): Promise<string | null> {
  await queries.exec(CREATE_TABLE);
  const version = await schemaVersion(queries);
  if (version > migrations.length) {
    throw new Error(newerSchema(version, migrations.length));
  }
  const next = migrations[version];
  if (next === undefined) return null;
  await queries.exec(next.sql);
  await queries.query(RECORD, [next.version, next.name, nowMs]);
  return next.name;
}

function newerSchema(version: number, known: number): string {
  return (
    `The database has schema version ${version}, and this sluice knows up to ${known}. ` +
    "Start the newer sluice that migrated it, or an older backup."
  );
}

/** The version a migrated database has. */
async function schemaVersion(queries: SqlQueries): Promise<number> {
  const rows = await queries.query(CURRENT);
  return Number(rows[0]?.["version"]);
}
