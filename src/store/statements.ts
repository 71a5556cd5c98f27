/**
 * Every statement of the store, for SQLite and PostgreSQL alike.
 *
 * Owns: the text of the SQL. Does not own: rows as objects (`rows.ts`), transactions
 * (`sql_store.ts`).
 * Invariant: parameters are numbered in order of first use, because SQLite binds them so; no value
 * is ever part of a text.
 */

import type { SqlValue } from "../runtime/runtime.ts";
import { USAGE_COLUMN_NAMES } from "./rows.ts";
import type { UsageQuery } from "./store.ts";

export const LIST_PROJECTS = "SELECT * FROM projects ORDER BY created_at, id";
export const GET_PROJECT = "SELECT * FROM projects WHERE id = $1";
export const INSERT_PROJECT = `INSERT INTO projects
  (id, name, is_active, created_at, updated_at, deactivated_at)
  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id`;
export const UPDATE_PROJECT = `UPDATE projects
  SET name = $1, is_active = $2, updated_at = $3, deactivated_at = $4 WHERE id = $5 RETURNING *`;
export const IS_NAME_TAKEN = "SELECT id FROM projects WHERE name = $1 AND id <> $2";
export const HAS_USAGE = "SELECT event_id FROM usage_events WHERE project_id = $1 LIMIT 1";
export const DELETE_PROJECT = "DELETE FROM projects WHERE id = $1";
export const DELETE_CREDENTIALS_OF_PROJECT = "DELETE FROM credentials WHERE project_id = $1";
export const DELETE_TOKENS_OF_PROJECT = "DELETE FROM tokens WHERE project_id = $1";

export const LIST_CREDENTIALS = "SELECT * FROM credentials ORDER BY created_at, id";
export const FORGET_CREDENTIAL =
  "DELETE FROM credentials WHERE id = $1 OR (project_id = $2 AND provider = $3)";
export const INSERT_CREDENTIAL = `INSERT INTO credentials
  (id, project_id, provider, label, ciphertext, masked, created_at, updated_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`;
export const DELETE_CREDENTIAL = "DELETE FROM credentials WHERE id = $1 RETURNING id";

export const LIST_TOKENS = "SELECT * FROM tokens ORDER BY created_at, id";
export const LIST_TOKENS_OF_PROJECT =
  "SELECT * FROM tokens WHERE project_id = $1 ORDER BY created_at, id";
export const GET_TOKEN = "SELECT * FROM tokens WHERE id = $1";
export const INSERT_TOKEN = `INSERT INTO tokens
  (id, project_id, label, created_at, expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6)`;
export const UPDATE_TOKEN = "UPDATE tokens SET label = $1 WHERE id = $2 RETURNING *";
export const REVOKE_TOKEN =
  "UPDATE tokens SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2 RETURNING *";
export const REVOKE_TOKENS_OF_PROJECT =
  "UPDATE tokens SET revoked_at = $1 WHERE project_id = $2 AND revoked_at IS NULL RETURNING *";

export const LIST_REVOCATIONS =
  "SELECT * FROM revocations WHERE expires_at > $1 ORDER BY revoked_at, jti";
/** The first time stays; the later end wins, so that no revocation is forgotten too early. */
export const INSERT_REVOCATION = `INSERT INTO revocations (jti, revoked_at, expires_at)
  VALUES ($1, $2, $3) ON CONFLICT (jti) DO UPDATE SET expires_at =
  CASE WHEN excluded.expires_at > revocations.expires_at
  THEN excluded.expires_at ELSE revocations.expires_at END`;

export const LIST_SIGNING_KEYS = "SELECT * FROM signing_keys ORDER BY created_at, kid";
export const INSERT_SIGNING_KEY = `INSERT INTO signing_keys
  (kid, algorithm, public_jwk, ciphertext, created_at) VALUES ($1, $2, $3, $4, $5)`;

export const INSERT_USAGE = `INSERT INTO usage_events (${USAGE_COLUMN_NAMES.join(", ")})
  VALUES (${USAGE_COLUMN_NAMES.map((_, index) => `$${index + 1}`).join(", ")})
  ON CONFLICT (event_id) DO NOTHING RETURNING event_id`;
export const FIND_PENDING_USAGE = `SELECT * FROM usage_events
  WHERE response_id = $1 AND provider = $2 AND status = 'pending'
  ORDER BY recorded_at DESC LIMIT 1`;
/** Its parameters are those of `INSERT_USAGE` with the id moved to the end. */
export const COMPLETE_USAGE = `UPDATE usage_events
  SET ${USAGE_COLUMN_NAMES.slice(1)
    .map((name, index) => `${name} = $${index + 1}`)
    .join(", ")}
  WHERE event_id = $${USAGE_COLUMN_NAMES.length} AND status = 'pending' RETURNING event_id`;

/** Position in the list of usage events: that of the last event already handed out. */
export interface UsagePosition {
  readonly recordedAtMs: number;
  readonly eventId: string;
}

/** The page after `position`, one row longer than asked for, so that its end is seen. */
export function listUsage(
  query: UsageQuery,
  position: UsagePosition | null,
): { sql: string; parameters: SqlValue[] } {
  const parameters: SqlValue[] = [];
  const conditions: string[] = [];
  const bind = (value: SqlValue) => `$${parameters.push(value)}`;
  const when = (value: SqlValue | undefined, test: string) => {
    if (value !== undefined) conditions.push(`${test} ${bind(value)}`);
  };
  when(query.projectId, "project_id =");
  when(query.tokenId, "token_id =");
  when(query.sessionId, "session_id =");
  when(query.sinceMs, "recorded_at >=");
  when(query.untilMs, "recorded_at <");
  if (position !== null) {
    const [time, id] = [bind(position.recordedAtMs), bind(position.eventId)];
    conditions.push(`(recorded_at, event_id) < (${time}, ${id})`);
  }
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")} `;
  const order = "ORDER BY recorded_at DESC, event_id DESC";
  const sql = `SELECT * FROM usage_events ${where}${order} LIMIT ${bind(query.limit + 1)}`;
  return { sql, parameters };
}
