/**
 * What the store needs of a database: the seam between `sql_store.ts` and the drivers.
 *
 * Does not own: statements. A driver runs what it is given and knows no table.
 * Invariant: queries inside `transaction` are atomic.
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
   * may become one `VALUES`, so that in a statement that changes rows no two may mean the same one.
   */
  each(sql: string, parameterLists: readonly (readonly SqlValue[])[]): Promise<SqlRow[]>;
}

/**
 * Work that one node at a time may do; where the database has no lock of its own, an advisory one.
 * `control`: management changes, which a node makes one by one too. `limits`: leases.
 */
export type LockName = "migrate" | "control" | "limits";

/**
 * How a transaction gets on with others. A lock is held until it ends, and what was committed under
 * the lock before is seen. `latest`: each statement sees what was committed before it began, and
 * rows are locked as they are written. `audit`: the same, for what would wait for a change of this
 * node anyway. `brief`: the same, and given up where it waits, or this node is silent, for a second
 * or so, because other nodes wait for it; `limits` too. `read`: all statements see one moment, and
 * none writes.
 */
export type TransactionKind = LockName | "latest" | "brief" | "audit" | "read";

export interface SqlDriver extends SqlQueries {
  /** Expression of the database's own clock, in whole milliseconds since the epoch. */
  readonly nowMs: string;
  /** Statement that tells those who watch, when it is committed; null: they see it anyway. */
  readonly announcement: string | null;
  /**
   * For what people ask to see: where that is much it waits, and what the node asks for itself does
   * not wait for it.
   */
  readonly views: Pick<SqlQueries, "query">;
  /**
   * Commits when `run` resolves, rolls back when it rejects. `run` is called again where another
   * transaction came in between, so it does nothing but query.
   */
  transaction<T>(kind: TransactionKind, run: (queries: SqlQueries) => Promise<T>): Promise<T>;
  hasTable(name: string): Promise<boolean>;
  close(): Promise<void>;
}
