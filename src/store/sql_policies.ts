/**
 * Policies over a SQL database.
 *
 * Owns: how their versions are numbered, written and read. Does not own: what a document means
 * (`policy/`).
 * Invariant: a version is never changed or removed; the newest one of a name is in force.
 */

import * as rows from "./rows.ts";
import type { Change } from "./sql_change.ts";
import type { SqlQueries } from "./sql_driver.ts";
import * as sql from "./statements.ts";
import type { AuditEntry, PolicyRow, PolicyVersion } from "./store.ts";

/** See `Store.getPolicy`. */
export async function getPolicy(queries: SqlQueries, name: string): Promise<PolicyRow | null> {
  return rows.first(await queries.query(sql.GET_POLICY, [name]), rows.policyRow);
}

/** See `Store.getPolicyVersion`. */
export async function getPolicyVersion(
  queries: Pick<SqlQueries, "query">,
  name: string,
  version: number,
): Promise<PolicyRow | null> {
  return rows.first(await queries.query(sql.GET_POLICY_VERSION, [name, version]), rows.policyRow);
}

/** See `Store.listPolicyVersions`. */
export async function listPolicyVersions(
  queries: Pick<SqlQueries, "query">,
  name: string,
  limit: number,
  before: number | null,
): Promise<PolicyVersion[]> {
  const parameters = [name, before ?? Number.MAX_SAFE_INTEGER, limit];
  return (await queries.query(sql.LIST_POLICY_VERSIONS, parameters)).map(rows.policyVersion);
}

/** What is put, beside the entry of the audit. */
interface NewPolicy {
  readonly name: string;
  readonly document: string | null;
  readonly expectedVersion: number | null;
  readonly nowMs: number;
}

/** See `Store.putPolicy`. */
export async function putPolicy(
  change: Change,
  { name, document, expectedVersion, nowMs }: NewPolicy,
  by: AuditEntry,
): Promise<{ version: number } | "stale"> {
  const newest = await getPolicy(change.queries, name);
  const current = newest?.version ?? 0;
  if (expectedVersion !== null && expectedVersion !== current) return "stale";
  if (document === null && (newest?.document ?? null) === null) return { version: current };
  const version = current + 1;
  const parameters = [name, version, document, nowMs, by.actor];
  await change.queries.query(sql.INSERT_POLICY, parameters);
  await change.complete("policies", { ...by, details: { ...by.details, version } });
  return { version };
}
