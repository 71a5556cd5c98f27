/**
 * SQLite as a `SqlDriver`.
 *
 * Owns: transactions. Does not own: statements, threads.
 * Invariant: it blocks, and everything has happened when a call returns its promise. Whoever uses
 * it runs one operation of a store at a time, so no statement slips into another operation's
 * transaction.
 */

import type { SqlDatabase, SqlValue } from "../runtime/runtime.ts";
import type { SqlDriver, SqlQueries, SqlRow, TransactionKind } from "./sql_driver.ts";

const HAS_TABLE = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1";

export class SqliteDriver implements SqlDriver {
  readonly nowMs = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
  readonly announcement = null;
  /** No need to wait: everything is one by one already (`sqlite.ts`). */
  readonly views = this;
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  async exec(sql: string): Promise<void> {
    this.#database.exec(sql);
  }

  async query(sql: string, parameters: readonly SqlValue[] = []): Promise<SqlRow[]> {
    return this.#database.query(sql, parameters);
  }

  async each(sql: string, parameterLists: readonly (readonly SqlValue[])[]): Promise<SqlRow[]> {
    return parameterLists.flatMap((parameters) => this.#database.query(sql, parameters));
  }

  /** The database has one writer at a time, which is every lock there could be. */
  async transaction<T>(
    kind: TransactionKind,
    run: (queries: SqlQueries) => Promise<T>,
  ): Promise<T> {
    // Not deferred where it may write: a read that later wants to write fails at once when another
    // process wrote meanwhile.
    this.#database.exec(kind === "read" ? "BEGIN" : "BEGIN IMMEDIATE");
    try {
      const result = await run(this);
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#rollback();
      throw error;
    }
  }

  /** Differs from the last answer once another connection has committed something. */
  dataVersion(): number {
    return Number(this.#database.query("PRAGMA data_version", [])[0]?.["data_version"]);
  }

  async hasTable(name: string): Promise<boolean> {
    return this.#database.query(HAS_TABLE, [name]).length > 0;
  }

  async close(): Promise<void> {
    this.#database.close();
  }

  #rollback(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch {
      // A full disk or an I/O error has rolled back already; the first error is the one to tell.
    }
  }
}
