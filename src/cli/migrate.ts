/**
 * `sluice migrate`: brings PostgreSQL to this version's schema, or says what it lacks.
 *
 * Owns: the command. Does not own: the migrations (`store/migrate.ts`).
 * Invariant: `--status` changes nothing. SQLite is not touched: a node migrates its own.
 */

import { systemClock } from "../runtime/clock.ts";
import { migrate as applyMigrations, migrationStatus, MIGRATIONS } from "../store/migrate.ts";
import { openPostgres } from "../store/postgres.ts";
import type { SqlDriver } from "../store/sql_driver.ts";
import { type Command, parseArguments } from "./command.ts";
import type { Io } from "./io.ts";
import { say } from "./print.ts";
import { readConfig } from "./serve.ts";
import { renderTable } from "./table.ts";

const OPTIONS = {
  config: { type: "string", short: "c" },
  status: { type: "boolean" },
} as const;

export const migrate: Command = {
  name: "migrate",
  summary: "bring the database to this version's schema",
  usage: `Usage: sluice migrate [--status] [-c FILE]

  -c, --config FILE   the configuration; without it the environment decides: DATABASE_URL
  --status            only say what has been applied and what has not

Exit code 0: the schema is this version's. 1: it is not. Several may run at once: one migrates, the
others wait for it. Nodes that run go on; start new ones afterwards.`,
  run: runMigrate,
};

async function runMigrate(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArguments(args, OPTIONS);
  const { config } = await readConfig(values.config ?? null, io);
  if (config.database === null) {
    return say(io, `There is no database_url: a node migrates its SQLite in ${config.dataDir}`);
  }
  // A migration takes the time it takes.
  const database = { ...config.database, poolSize: 1, statementTimeoutMs: 0 };
  const report = (message: string) => io.stderr.write(`${message}\n`);
  const driver = await openPostgres({ config: database, clock: systemClock, report });
  try {
    return values.status === true ? await status(driver, io) : await apply(driver, io);
  } finally {
    await driver.close();
  }
}

async function apply(driver: SqlDriver, io: Io): Promise<number> {
  const names = await applyMigrations(driver, systemClock.nowMs());
  for (const name of names) say(io, `Applied ${name}`);
  return say(io, `The schema has version ${MIGRATIONS.length}, which is this sluice's`);
}

async function status(driver: SqlDriver, io: Io): Promise<number> {
  const migrations = await migrationStatus(driver);
  const rows = migrations.map(({ version, name, appliedAtMs }) => [
    version,
    name,
    appliedAtMs === null ? "no" : new Date(appliedAtMs).toISOString(),
  ]);
  io.stdout.write(renderTable(["VERSION", "NAME", "APPLIED"], rows));
  const isCurrent =
    migrations.length === MIGRATIONS.length &&
    migrations.every(({ appliedAtMs }) => appliedAtMs !== null);
  return isCurrent ? 0 : 1;
}
