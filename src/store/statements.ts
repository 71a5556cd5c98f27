/**
 * The statements of projects, credentials, tokens, revocations, signing keys and policies,
 * for SQLite and PostgreSQL alike.
 *
 * Owns: the text of the SQL. Does not own: rows as objects (`rows.ts`), transactions
 * (`sql_store.ts`), and the statements of usage, sums and the audit (`statements_*.ts`).
 * Invariant: parameters are numbered in order of first use, because SQLite binds them so; no value
 * is ever part of a text.
 */

export const LIST_PROJECTS = "SELECT * FROM projects ORDER BY created_at, id";
export const GET_PROJECT = "SELECT * FROM projects WHERE id = $1";
export const INSERT_PROJECT = `INSERT INTO projects
  (id, name, is_active, created_at, updated_at, deactivated_at, models, endpoints, tiers, limits)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING id`;
export const UPDATE_PROJECT = `UPDATE projects
  SET name = $1, is_active = $2, updated_at = $3, deactivated_at = $4,
  models = $5, endpoints = $6, tiers = $7, limits = $8 WHERE id = $9 RETURNING *`;
export const IS_NAME_TAKEN = "SELECT id FROM projects WHERE name = $1 AND id <> $2";
export const HAS_USAGE = "SELECT event_id FROM usage_events WHERE project_id = $1 LIMIT 1";
export const DELETE_PROJECT = "DELETE FROM projects WHERE id = $1";
export const DELETE_CREDENTIALS_OF_PROJECT = "DELETE FROM credentials WHERE project_id = $1";
export const DELETE_TOKENS_OF_PROJECT = "DELETE FROM tokens WHERE project_id = $1";
export const DELETE_SPEND_OF_PROJECT = `DELETE FROM spend WHERE subject = 'project:' || $1
  OR subject IN (SELECT 'token:' || id FROM tokens WHERE project_id = $1)`;

export const LIST_CREDENTIALS = "SELECT * FROM credentials ORDER BY created_at, id";
export const FORGET_CREDENTIAL =
  "DELETE FROM credentials WHERE id = $1 OR (project_id = $2 AND provider = $3)";
export const INSERT_CREDENTIAL = `INSERT INTO credentials
  (id, project_id, provider, label, ciphertext, masked, created_at, updated_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`;
export const DELETE_CREDENTIAL = "DELETE FROM credentials WHERE id = $1 RETURNING id";
export const REPLACE_CREDENTIAL_CIPHERTEXT =
  "UPDATE credentials SET ciphertext = $1 WHERE id = $2 AND ciphertext = $3 RETURNING id";

export const GET_TOKEN = "SELECT * FROM tokens WHERE id = $1";
export const INSERT_TOKEN = `INSERT INTO tokens
  (id, project_id, label, created_at, expires_at, revoked_at,
  models, endpoints, tiers, limits, last_used_at, request_count, cache_hit_count)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`;
export const UPDATE_TOKEN = "UPDATE tokens SET label = $1 WHERE id = $2 RETURNING *";
export const REVOKE_TOKEN =
  "UPDATE tokens SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2 RETURNING *";
export const NEWEST_TOKEN_OF_PROJECT =
  "SELECT COALESCE(MAX(created_at), 0) AS created_at FROM tokens WHERE project_id = $1";
/** Some of those that the project's revocation is about. */
export const MARK_REVOKED_TOKENS = `UPDATE tokens SET revoked_at =
  (SELECT revoked_at FROM project_revocations WHERE project_id = $1)
  WHERE revoked_at IS NULL AND id IN (SELECT id FROM tokens WHERE project_id = $1
  AND revoked_at IS NULL AND expires_at > $2 AND created_at <=
  (SELECT issued_before FROM project_revocations WHERE project_id = $1) LIMIT $3) RETURNING id`;
export const ADD_TOKEN_USE = `UPDATE tokens
  SET request_count = request_count + $1, cache_hit_count = cache_hit_count + $2,
  last_used_at = CASE WHEN last_used_at > $3 THEN last_used_at ELSE $3 END WHERE id = $4`;

/** The first time stays; the later end wins, so that no revocation is forgotten too early. */
export const INSERT_REVOCATION = `INSERT INTO revocations (jti, revoked_at, expires_at, revision)
  VALUES ($1, $2, $3, $4) ON CONFLICT (jti) DO UPDATE SET revision = excluded.revision,
  expires_at = CASE WHEN excluded.expires_at > revocations.expires_at
  THEN excluded.expires_at ELSE revocations.expires_at END`;
export const INSERT_PROJECT_REVOCATION = `INSERT INTO project_revocations
  (project_id, issued_before, revoked_at, expires_at, revision) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (project_id) DO UPDATE SET
  issued_before = CASE WHEN excluded.issued_before > project_revocations.issued_before
  THEN excluded.issued_before ELSE project_revocations.issued_before END,
  revoked_at = excluded.revoked_at,
  expires_at = CASE WHEN excluded.expires_at > project_revocations.expires_at
  THEN excluded.expires_at ELSE project_revocations.expires_at END,
  revision = excluded.revision RETURNING *`;
export const PUT_TOKEN_OVERRIDE = `INSERT INTO token_overrides
  (jti, is_active, limits, changed_at, expires_at, revision) VALUES ($1, $2, $3, $4, $5, $6)
  ON CONFLICT (jti) DO UPDATE SET is_active = excluded.is_active, limits = excluded.limits,
  changed_at = excluded.changed_at, expires_at = excluded.expires_at, revision = excluded.revision`;
export const GET_TOKEN_OVERRIDE = "SELECT * FROM token_overrides WHERE jti = $1";
export const LIST_REVOCATIONS =
  "SELECT * FROM revocations WHERE revision > $1 AND expires_at > $2 ORDER BY revoked_at, jti";
export const LIST_PROJECT_REVOCATIONS = `SELECT * FROM project_revocations
  WHERE revision > $1 AND expires_at > $2 ORDER BY project_id`;
export const LIST_TOKEN_OVERRIDES =
  "SELECT * FROM token_overrides WHERE revision > $1 AND expires_at > $2 ORDER BY jti";

function forget(table: string, key: string): string {
  return `DELETE FROM ${table} WHERE (${key}) IN
    (SELECT ${key} FROM ${table} WHERE expires_at <= $1 LIMIT $2) RETURNING 1 AS one`;
}

/** Each with the time up to which rows are forgotten, and how many at most. */
export const FORGET_EXPIRED: readonly string[] = [
  forget("revocations", "jti"),
  forget("project_revocations", "project_id"),
  forget("token_overrides", "jti"),
  forget("spend", "subject, quantity, period"),
];
const EXPIRED_TOKENS =
  "SELECT id FROM tokens WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2";
/** With the same two. What tokens used is forgotten before them. */
export const FORGET_SPEND_OF_TOKENS = `DELETE FROM spend WHERE subject IN
  (SELECT 'token:' || id FROM (${EXPIRED_TOKENS}) AS expired)`;
export const FORGET_TOKENS = `DELETE FROM tokens
  WHERE id IN (${EXPIRED_TOKENS}) RETURNING 1 AS one`;

/** By how much, and which. */
export const RAISE_REVISION =
  "UPDATE revisions SET revision = revision + $1 WHERE name = $2 RETURNING revision";
export const GET_REVISION = "SELECT revision FROM revisions WHERE name = $1";

/** One row a revision, each with the time. @param nowMs the database's expression of it */
export function readRevisions(nowMs: string): string {
  return `SELECT name, revision, ${nowMs} AS now_ms FROM revisions`;
}

export const LIST_SIGNING_KEYS = "SELECT * FROM signing_keys ORDER BY created_at, kid";
export const INSERT_SIGNING_KEY = `INSERT INTO signing_keys
  (kid, algorithm, public_jwk, ciphertext, created_at) VALUES ($1, $2, $3, $4, $5)`;
export const DELETE_SIGNING_KEY = "DELETE FROM signing_keys WHERE kid = $1 RETURNING kid";
export const REPLACE_SIGNING_KEY_CIPHERTEXT =
  "UPDATE signing_keys SET ciphertext = $1 WHERE kid = $2 AND ciphertext = $3 RETURNING kid";

export const GET_POLICY = `SELECT version, document, created_at, actor FROM policies
  WHERE name = $1 ORDER BY version DESC LIMIT 1`;
export const GET_POLICY_VERSION = `SELECT version, document, created_at, actor FROM policies
  WHERE name = $1 AND version = $2`;
/** Those before a version, newest first. */
export const LIST_POLICY_VERSIONS = `SELECT version, created_at, actor,
  CASE WHEN document IS NULL THEN 1 ELSE 0 END AS is_reset FROM policies
  WHERE name = $1 AND version < $2 ORDER BY version DESC LIMIT $3`;
export const INSERT_POLICY = `INSERT INTO policies (name, version, document, created_at, actor)
  VALUES ($1, $2, $3, $4, $5)`;
