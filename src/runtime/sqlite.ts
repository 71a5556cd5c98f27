/**
 * SQLite on Bun, and locks on files made from it.
 *
 * Owns: the driver behind `SqlDatabase` and `FileLock`. Does not own: statements, schema, threads.
 * Invariant: a `FileLock` is held by at most one holder of all processes of the machine, and the
 * kernel frees it when its process dies, however it dies.
 */

import { Database } from "bun:sqlite";

import type { SqlDatabase, SqlValue } from "./runtime.ts";

class BunDatabase implements SqlDatabase {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  exec(sql: string): void {
    this.#database.run(sql);
  }

  query(sql: string, parameters: readonly SqlValue[]): Record<string, SqlValue>[] {
    const statement = this.#database.query<Record<string, SqlValue>, SqlValue[]>(sql);
    return statement.all(...parameters);
  }

  close(): void {
    this.#database.close();
  }
}

/**
 * Opens or creates the database at `path`. Blocks the thread in every call.
 * @throws when the file is no database or cannot be opened
 */
export function openSqlite(path: string): SqlDatabase {
  // The store has more statements than the default of 20 keeps prepared.
  Database.MAX_QUERY_CACHE_SIZE = 128;
  return new BunDatabase(new Database(path, { create: true, readwrite: true }));
}

/** A held lock. */
export interface FileLock {
  release(): void;
}

/**
 * Takes the lock on `path`, a file that is made for this and stays empty; waits up to `waitMs` for
 * it (blocking). Null: someone else holds it. It is SQLite's own lock on a database (fcntl on Linux
 * and macOS), because a process id written in a file says nothing in another container or after the
 * id was used again.
 * @throws when the file cannot be made
 */
export function lockFile(path: string, waitMs: number): FileLock | null {
  const database = new Database(path, { create: true, readwrite: true });
  try {
    // In memory, so that no second file ever appears beside the lock.
    database.run(`PRAGMA busy_timeout = ${waitMs}`);
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (isBusy(error)) return null;
    throw error;
  }
  return { release: () => database.close() };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}
