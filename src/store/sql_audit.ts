/**
 * The audit over a SQL database.
 *
 * Owns: giving entries their place, reading them, reading the chain for its check. Does not
 * own: the chain (`audit_chain.ts`).
 * Invariant: the revision `audit` is the number of the last entry, raised in the transaction that
 * writes it, and its row is the lock of the chain.
 */

import type { Clock } from "../runtime/clock.ts";
import { AuditCheck, auditHash, auditRecord, beginning, NO_HASH } from "./audit_chain.ts";
import { cutPage, decodeCursor } from "./cursor.ts";
import * as rows from "./rows.ts";
import type { SqlQueries, SqlRow } from "./sql_driver.ts";
import { GET_REVISION, RAISE_REVISION } from "./statements.ts";
import * as sql from "./statements_audit.ts";
import type { AuditEntry, AuditPage, AuditProgress, AuditQuery } from "./store.ts";

/** Entries that are checked at once: a few milliseconds. */
const CHECK_PAGE = 500;

type Queries = Pick<SqlQueries, "query">;

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
export async function listAudit(queries: Queries, query: AuditQuery): Promise<AuditPage> {
  const position =
    query.cursor === undefined
      ? undefined
      : decodeCursor(query.cursor, ([sequence]) =>
          typeof sequence === "number" ? sequence : null,
        );
  const statement = sql.listAudit(query, position);
  const found = await queries.query(statement.sql, statement.parameters);
  return cutPage(found, query.limit, rows.auditRow, ({ sequence }) => [sequence]);
}

/** See `Store.checkAudit`. */
export async function checkAudit(
  queries: Queries,
  progress: AuditProgress | null,
): Promise<AuditProgress> {
  const check = new AuditCheck(progress ?? beginning(await readRevision(queries)));
  const page = await queries.query(sql.READ_CHAIN, [check.last, check.expected, CHECK_PAGE]);
  for (const row of page) {
    try {
      check.add(rows.auditRecord(row), rows.text(row, "hash"));
    } catch (error) {
      return check.unreadable(error instanceof Error ? error.message : String(error));
    }
  }
  if (page.length === CHECK_PAGE) return check.progress;
  const [stray] = await queries.query(sql.FIND_STRAY, ["audit"]);
  return check.end(stray === undefined ? undefined : strayNumber(stray));
}

async function readRevision(queries: Queries): Promise<number> {
  const [revision = {}] = await queries.query(GET_REVISION, ["audit"]);
  return rows.number(revision, "revision");
}

function strayNumber({ sequence }: SqlRow): number | null {
  return typeof sequence === "number" ? sequence : null;
}
