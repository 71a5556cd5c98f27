/**
 * Revocations and overrides over a SQL database.
 *
 * Owns: how they are written, read and forgotten, the last with tokens and sums. Does not own:
 * what nodes make of them (`auth/`).
 * Invariant: a row carries the revision that its transaction made, so that whoever has read up to a
 * revision finds what is newer by it.
 */

import { changeLimits } from "../config/limits.ts";
import type { LimitChanges } from "../exchange.ts";
import * as rows from "./rows.ts";
import type { Change } from "./sql_change.ts";
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";
import * as sql from "./statements.ts";
import type {
  AuditEntry,
  ProjectRevocationRow,
  RevocationChanges,
  RevocationRow,
  Store,
  TokenOverrideRow,
  TokenRow,
} from "./store.ts";

/** Few enough to take no other's time. */
const MARKED_AT_ONCE = 1_000;
const FORGOTTEN_AT_ONCE = 1_000;
/** For how long an expired token is still listed. */
const TOKEN_KEPT_MS = 30 * 86_400_000;

/** What changes of a token's override, beside the entry of the audit. */
interface OverrideChange {
  readonly token: Pick<TokenRow, "id" | "expires_at">;
  readonly is_active?: boolean;
  readonly limits?: LimitChanges;
  readonly nowMs: number;
}

/** See `Store.insertRevocation`. */
export async function insertRevocation(
  change: Change,
  row: RevocationRow,
  by: AuditEntry,
): Promise<void> {
  const revision = await change.complete("revocations", by);
  const parameters = [row.jti, row.revoked_at, row.expires_at, revision];
  await change.queries.query(sql.INSERT_REVOCATION, parameters);
}

/** See `Store.revokeToken`. */
export async function revokeToken(
  change: Change,
  id: string,
  nowMs: number,
  by: AuditEntry,
): Promise<TokenRow | null> {
  const found = await change.queries.query(sql.REVOKE_TOKEN, [nowMs, id]);
  const token = rows.first(found, rows.tokenRow);
  if (token === null) return null;
  const row = { jti: id, revoked_at: token.revoked_at ?? nowMs, expires_at: token.expires_at };
  await insertRevocation(change, row, by);
  return token;
}

/** See `Store.insertProjectRevocation`. */
export async function insertProjectRevocation(
  change: Change,
  row: Parameters<Store["insertProjectRevocation"]>[0],
  by: AuditEntry,
): Promise<ProjectRevocationRow> {
  const { project_id, revoked_at, expires_at } = row;
  const revision = await change.complete("revocations", by);
  const issuedBefore = row.issued_before ?? (await newest(change, project_id, revoked_at));
  const parameters = [project_id, issuedBefore, revoked_at, expires_at, revision];
  const [held = {}] = await change.queries.query(sql.INSERT_PROJECT_REVOCATION, parameters);
  return rows.projectRevocationRow(held);
}

/** When the last token of the project was issued, on whichever node; `nowMs` at the least. */
async function newest(change: Change, projectId: string, nowMs: number): Promise<number> {
  const [row = {}] = await change.queries.query(sql.NEWEST_TOKEN_OF_PROJECT, [projectId]);
  return Math.max(nowMs, rows.number(row, "created_at"));
}

/** See `Store.markRevokedTokens`. */
export async function markRevokedTokens(
  queries: Pick<SqlQueries, "query">,
  projectId: string,
  nowMs: number,
): Promise<number> {
  const marked = await queries.query(sql.MARK_REVOKED_TOKENS, [projectId, nowMs, MARKED_AT_ONCE]);
  return marked.length;
}

/** See `Store.changeTokenOverride`. */
export async function changeTokenOverride(
  change: Change,
  { token, is_active, limits, nowMs }: OverrideChange,
  by: AuditEntry,
): Promise<TokenOverrideRow> {
  const revision = await change.complete("revocations", by);
  const found = await change.queries.query(sql.GET_TOKEN_OVERRIDE, [token.id]);
  const former = rows.first(found, rows.tokenOverrideRow);
  const row: TokenOverrideRow = {
    jti: token.id,
    is_active: is_active ?? former?.is_active ?? true,
    limits: changeLimits(former?.limits ?? {}, limits ?? {}),
    changed_at: Math.max(nowMs, (former?.changed_at ?? 0) + 1),
    expires_at: token.expires_at,
  };
  await change.queries.query(sql.PUT_TOKEN_OVERRIDE, [
    row.jti,
    Number(row.is_active),
    JSON.stringify(row.limits),
    row.changed_at,
    row.expires_at,
    revision,
  ]);
  return row;
}

/** See `Store.forgetExpired`. */
export async function forgetExpired(queries: SqlQueries, nowMs: number): Promise<number> {
  let forgotten = 0;
  const forget = async (statement: string, untilMs: number) => {
    forgotten += (await queries.query(statement, [untilMs, FORGOTTEN_AT_ONCE])).length;
  };
  for (const statement of sql.FORGET_EXPIRED) await forget(statement, nowMs);
  await queries.query(sql.FORGET_SPEND_OF_TOKENS, [nowMs - TOKEN_KEPT_MS, FORGOTTEN_AT_ONCE]);
  await forget(sql.FORGET_TOKENS, nowMs - TOKEN_KEPT_MS);
  return forgotten;
}

/** See `Store.listRevocations`. */
export function listRevocations(
  driver: SqlDriver,
  afterRevision: number,
  nowMs: number,
): Promise<RevocationChanges> {
  return driver.transaction("read", async (queries) => {
    const newer = [afterRevision, nowMs];
    const [revision = {}] = await queries.query(sql.GET_REVISION, ["revocations"]);
    const tokens = await queries.query(sql.LIST_REVOCATIONS, newer);
    const projects = await queries.query(sql.LIST_PROJECT_REVOCATIONS, newer);
    const overrides = await queries.query(sql.LIST_TOKEN_OVERRIDES, newer);
    return {
      revision: rows.number(revision, "revision"),
      tokens: tokens.map(rows.revocationRow),
      projects: projects.map(rows.projectRevocationRow),
      overrides: overrides.map(rows.tokenOverrideRow),
    };
  });
}
