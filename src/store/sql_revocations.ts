/**
 * Revocations and overrides over a SQL database.
 *
 * Owns: how they are written and read. Does not own: what nodes make of them (`auth/`).
 * Invariant: a row carries the revision that its transaction made, so that whoever has read up to a
 * revision finds what is newer by it.
 */

import * as rows from "./rows.ts";
import type { Change } from "./sql_change.ts";
import type { SqlDriver } from "./sql_driver.ts";
import * as sql from "./statements.ts";
import type {
  AuditEntry,
  ProjectRevocationRow,
  RevocationChanges,
  RevocationRow,
  TokenOverrideRow,
  TokenRow,
} from "./store.ts";

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
  row: ProjectRevocationRow,
  by: AuditEntry,
): Promise<TokenRow[]> {
  const { project_id, issued_before, revoked_at, expires_at } = row;
  const revision = await change.complete("revocations", by);
  const parameters = [project_id, issued_before, revoked_at, expires_at, revision];
  const [held = {}] = await change.queries.query(sql.INSERT_PROJECT_REVOCATION, parameters);
  const marked = [revoked_at, project_id, rows.number(held, "issued_before")];
  return (await change.queries.query(sql.REVOKE_TOKENS_OF_PROJECT, marked)).map(rows.tokenRow);
}

/** See `Store.putTokenOverride`. */
export async function putTokenOverride(
  change: Change,
  row: TokenOverrideRow,
  by: AuditEntry,
): Promise<void> {
  const revision = await change.complete("revocations", by);
  await change.queries.query(sql.PUT_TOKEN_OVERRIDE, [
    row.jti,
    Number(row.is_active),
    JSON.stringify(row.limits),
    row.changed_at,
    row.expires_at,
    revision,
  ]);
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
