/**
 * The audit over a SQL database.
 *
 * Owns: giving entries their place, reading them, reading the whole chain for its check. Does not
 * own: the chain (`audit_chain.ts`).
 * Invariant: the revision `audit` is the number of the last entry, raised in the transaction that
 * writes it, and its row is the lock of the chain.
 */

import type { Clock } from "../runtime/clock.ts";
import { AuditCheck, auditHash, auditRecord, NO_HASH } from "./audit_chain.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import * as rows from "./rows.ts";
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";
import { GET_REVISION, RAISE_REVISION } from "./statements.ts";
import * as sql from "./statements_audit.ts";
import type { AuditEntry, AuditPage, AuditQuery, AuditVerification } from "./store.ts";

/** Entries that are read at once for the check. */
const CHECK_PAGE = 1_000;

/** Appends entries in order; inside a transaction that sees what was committed before. */
export async function appendAudit(
  queries: SqlQueries,
  entries: readonly AuditEntry[],
  origin: { readonly nodeId: string; readonly clock: Pick<Clock, "nowMs"> },
): Promise<void> {
  if (entries.length === 0) return;
  const [raised = {}] = await queries.query(RAISE_REVISION, [entries.length, "audit"]);
  const before = rows.number(raised, "revision") - entries.length;
  const [last] = await queries.query(sql.GET_HASH, [before]);
  // Missing where somebody removed it: the check finds that.
  let hash = last === undefined ? NO_HASH : rows.text(last, "hash");
  const lists = entries.map((entry, index) => {
    const record = auditRecord(entry, {
      sequence: before + index + 1,
      recorded_at: origin.clock.nowMs(),
      node_id: origin.nodeId,
    });
    hash = auditHash(hash, record);
    return [...rows.auditParameters(record), hash];
  });
  await queries.each(sql.INSERT_AUDIT, lists);
}

/** @throws GatewayError `bad_request` when the cursor is not one of ours */
export async function listAudit(queries: SqlQueries, query: AuditQuery): Promise<AuditPage> {
  const position =
    query.cursor === undefined
      ? undefined
      : decodeCursor(query.cursor, ([sequence]) =>
          typeof sequence === "number" ? sequence : null,
        );
  const statement = sql.listAudit(query, position);
  const found = await queries.query(statement.sql, statement.parameters);
  const entries = found.slice(0, query.limit).map(rows.auditRow);
  const last = found.length > query.limit ? entries.at(-1) : undefined;
  return { entries, nextCursor: last === undefined ? null : encodeCursor([last.sequence]) };
}

/** Reads all of it, as of one moment. */
export function verifyAudit(driver: SqlDriver): Promise<AuditVerification> {
  return driver.transaction("read", async (queries) => {
    const [revision = {}] = await queries.query(GET_REVISION, ["audit"]);
    const check = new AuditCheck(rows.number(revision, "revision"));
    let last = Number.MIN_SAFE_INTEGER;
    for (;;) {
      const page = await queries.query(sql.READ_CHAIN, [last, CHECK_PAGE]);
      for (const row of page) {
        try {
          const record = rows.auditRecord(row);
          check.add(record, rows.text(row, "hash"));
          last = record.sequence;
        } catch (error) {
          return check.unreadable(error instanceof Error ? error.message : String(error));
        }
      }
      if (page.length < CHECK_PAGE) return check.end();
    }
  });
}
