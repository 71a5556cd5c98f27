/**
 * Management changes: one at a time, each with its entry in the audit and the revision that tells
 * other nodes of it.
 *
 * Owns: the lock, the revisions and the announcement. Does not own: what is changed
 * (`sql_store.ts`), the chain (`audit_chain.ts`).
 * Invariant: change, revision, entry and announcement are one transaction, and revisions rise in
 * the order in which changes become visible.
 */

import type { Clock } from "../runtime/clock.ts";
import { appendAudit } from "./sql_audit.ts";
import { number } from "./rows.ts";
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";
import * as sql from "./statements.ts";
import type { AuditEntry, Revisions } from "./store.ts";

type RevisionName = Exclude<keyof Revisions, "nowMs">;

/** Whose store it is: what the audit says of where and when. */
export interface StoreOrigin {
  readonly nodeId: string;
  readonly clock: Pick<Clock, "nowMs">;
}

/** A change under way. */
export class Change {
  readonly queries: SqlQueries;
  readonly #driver: SqlDriver;
  readonly #origin: StoreOrigin;

  constructor(queries: SqlQueries, driver: SqlDriver, origin: StoreOrigin) {
    this.queries = queries;
    this.#driver = driver;
    this.#origin = origin;
  }

  /** Writes the entry. */
  record(by: AuditEntry): Promise<void> {
    return appendAudit(this.queries, [by], this.#origin);
  }

  /**
   * Something changed that nodes keep in memory.
   * @returns the revision that it makes
   */
  async raise(name: RevisionName): Promise<number> {
    const [row = {}] = await this.queries.query(sql.RAISE_REVISION, [1, name]);
    const { announcement } = this.#driver;
    if (announcement !== null) await this.queries.exec(announcement);
    return number(row, "revision");
  }

  /** Both. */
  async complete(name: RevisionName, by: AuditEntry): Promise<number> {
    await this.record(by);
    return this.raise(name);
  }
}

/** Runs a change, alone among all nodes. */
export function runChange<T>(
  driver: SqlDriver,
  origin: StoreOrigin,
  run: (change: Change) => Promise<T>,
): Promise<T> {
  return driver.transaction("control", (queries) => run(new Change(queries, driver, origin)));
}
