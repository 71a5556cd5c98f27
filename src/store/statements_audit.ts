/**
 * The statements of the audit.
 *
 * Owns, does not own and invariant: as `statements.ts`.
 */

import { type BoundQuery, Conditions } from "./sql_conditions.ts";
import type { AuditQuery } from "./store.ts";

export const INSERT_AUDIT = `INSERT INTO audit (sequence, recorded_at, node_id, actor, action,
  subject, outcome, request_id, client_address, details, hash)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`;
export const GET_HASH = "SELECT hash FROM audit WHERE sequence = $1";
/** A page of the chain, in its order, up to an entry. */
export const READ_CHAIN = `SELECT * FROM audit WHERE sequence > $1 AND sequence <= $2
  ORDER BY sequence LIMIT $3`;
/** An entry outside the chain. SQLite takes NULL, and text, which is more than any number. */
export const FIND_STRAY = `SELECT sequence FROM audit WHERE sequence IS NULL OR sequence < 1
  OR sequence > (SELECT revision FROM revisions WHERE name = $1) LIMIT 1`;

/** The page of entries before `position`, newest first and one longer than asked for. */
export function listAudit(query: AuditQuery, position: number | undefined): BoundQuery {
  const conditions = new Conditions();
  conditions.when("actor =", query.actor);
  conditions.when("action =", query.action);
  conditions.when("subject =", query.subject);
  conditions.when("hash =", query.hash);
  conditions.when("recorded_at >=", query.sinceMs);
  conditions.when("recorded_at <", query.untilMs);
  // Always, because strays have no number, or none that can be read: the check finds those.
  conditions.when("sequence <", position ?? Number.MAX_SAFE_INTEGER);
  return conditions.select("audit", "sequence DESC", query.limit + 1);
}
