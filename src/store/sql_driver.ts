/**
 * What the store needs of a database: the seam between `sql_store.ts` and the drivers.
 *
 * Does not own: statements. A driver runs what it is given and knows no table.
 * Invariant: queries inside `transaction` are atomic, and what others write meanwhile does not get
 * between them: they see none of it, or the transaction fails or is run again.
 */

import type { SqlValue } from "../runtime/runtime.ts";

export type SqlRow = Readonly<Record<string, SqlValue>>;

export interface SqlQueries {
  /** Runs one or more statements without parameters. */
  exec(sql: string): Promise<void>;
  /** Runs one statement with `$1` … numbered in order of first use, and returns its rows. */
  query(sql: string, parameters?: readonly SqlValue[]): Promise<SqlRow[]>;
  /**
   * Runs one statement once for every list of parameters, in order, and returns all rows. The lists
   * may become one INSERT, so that under `ON CONFLICT DO UPDATE` no two may mean the same row.
   */
  each(sql: string, parameterLists: readonly (readonly SqlValue[])[]): Promise<SqlRow[]>;
}

/**
 * Work that one node at a time may do; where the database has no lock of its own, an advisory one.
 */
export type LockName = "migrate" | "signing_key";

export interface SqlDriver extends SqlQueries {
  /**
   * Commits when `run` resolves, rolls back when it rejects. A `lock` is held until then. `run` is
   * called again where another transaction came in between, so it does nothing but query.
   */
  transaction<T>(lock: LockName | null, run: (queries: SqlQueries) => Promise<T>): Promise<T>;
  hasTable(name: string): Promise<boolean>;
  close(): Promise<void>;
}
