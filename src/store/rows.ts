/**
 * Rows as the database has them, as the objects of `store.ts`, and back.
 *
 * Owns: the columns of a usage event and the checking of what is read.
 * Does not own: SQL (`statements.ts`).
 * Invariant: what a database returns is checked for its type here, once; a wrong one is an error
 * that names the column, never a value that is half right.
 */

import { parseLimits } from "../config/limits.ts";
import type { Limits, Restrictions, UsageEvent } from "../exchange.ts";
import type { SqlValue } from "../runtime/runtime.ts";
import type { AuditRecord } from "./audit_chain.ts";
import type { SqlRow } from "./sql_driver.ts";
import type {
  AuditRow,
  CredentialRow,
  PolicyRow,
  PolicyVersion,
  ProjectRevocationRow,
  ProjectRow,
  RevocationRow,
  SigningKeyRow,
  Store,
  TokenOverrideRow,
  TokenRow,
} from "./store.ts";

type SpendRow = Awaited<ReturnType<Store["listSpend"]>>[number];

type ColumnType = "text" | "number" | "json";

/**
 * Complete by its type: a field that is added to UsageEvent must appear here. `event_id` is first.
 */
const USAGE_COLUMNS: Readonly<Record<keyof UsageEvent, ColumnType>> = {
  event_id: "text",
  recorded_at: "number",
  node_id: "text",
  project_id: "text",
  token_id: "text",
  session_id: "text",
  turn: "number",
  kind: "text",
  transport: "text",
  provider: "text",
  endpoint: "text",
  requested_model: "text",
  model: "text",
  requested_service_tier: "text",
  decided_service_tier: "text",
  service_tier: "text",
  status: "text",
  error_code: "text",
  http_status: "number",
  response_id: "text",
  upstream_request_id: "text",
  input_tokens: "number",
  cached_input_tokens: "number",
  cache_creation_input_tokens: "number",
  output_tokens: "number",
  reasoning_tokens: "number",
  audio_input_tokens: "number",
  audio_output_tokens: "number",
  audio_seconds: "number",
  web_search_requests: "number",
  usage_source: "text",
  details: "json",
  cost_micros: "number",
  settled_micros: "number",
  first_token_ms: "number",
  duration_ms: "number",
  frames_up: "number",
  frames_down: "number",
  bytes_up: "number",
  bytes_down: "number",
};

/** Columns of `usage_events`, `event_id` first. */
// `Object.keys` has forgotten which they are.
export const USAGE_COLUMN_NAMES = Object.keys(USAGE_COLUMNS) as readonly (keyof UsageEvent)[];

const USAGE_COLUMN_ENTRIES = Object.entries(USAGE_COLUMNS);

/** The values of an event in the order of `USAGE_COLUMN_NAMES`. */
export function usageParameters(event: UsageEvent): SqlValue[] {
  return USAGE_COLUMN_NAMES.map((name) => {
    if (name === "details") return JSON.stringify(event.details);
    return storable(event[name] ?? null);
  });
}

/** PostgreSQL has no NUL in text, and a name that someone made up must not hold up the ledger. */
function storable(value: SqlValue): SqlValue {
  return typeof value === "string" && value.includes("\0")
    ? value.replaceAll("\0", "\u{fffd}")
    : value;
}

export function usageEvent(row: SqlRow): UsageEvent {
  const event: Partial<Record<keyof UsageEvent, unknown>> = Object.fromEntries(
    USAGE_COLUMN_ENTRIES.map(([name, type]) => [name, column(row, name, type)]),
  );
  // Checked above by column type; the closed sets hold because only `usageParameters` writes them.
  return event as UsageEvent;
}

function column(row: SqlRow, name: string, type: ColumnType): unknown {
  if (type === "number") return numberOrNull(row, name);
  return type === "text" ? textOrNull(row, name) : JSON.parse(text(row, name));
}

export function projectRow(row: SqlRow): ProjectRow {
  return {
    id: text(row, "id"),
    name: text(row, "name"),
    is_active: number(row, "is_active") !== 0,
    created_at: number(row, "created_at"),
    updated_at: number(row, "updated_at"),
    deactivated_at: numberOrNull(row, "deactivated_at"),
    ...restrictions(row),
  };
}

export function credentialRow(row: SqlRow): CredentialRow {
  return {
    id: text(row, "id"),
    project_id: text(row, "project_id"),
    provider: text(row, "provider"),
    label: textOrNull(row, "label"),
    ciphertext: text(row, "ciphertext"),
    masked: text(row, "masked"),
    created_at: number(row, "created_at"),
    updated_at: number(row, "updated_at"),
  };
}

export function tokenRow(row: SqlRow): TokenRow {
  return {
    id: text(row, "id"),
    project_id: text(row, "project_id"),
    label: textOrNull(row, "label"),
    created_at: number(row, "created_at"),
    expires_at: number(row, "expires_at"),
    revoked_at: numberOrNull(row, "revoked_at"),
    ...restrictions(row),
    last_used_at: numberOrNull(row, "last_used_at"),
    request_count: number(row, "request_count"),
    cache_hit_count: number(row, "cache_hit_count"),
  };
}

/** The values of a project in the order of `INSERT_PROJECT`. */
export function projectParameters(row: ProjectRow): SqlValue[] {
  return [
    row.id,
    row.name,
    Number(row.is_active),
    row.created_at,
    row.updated_at,
    row.deactivated_at,
    ...restrictionParameters(row),
  ];
}

/** The values of a token in the order of `INSERT_TOKEN`. */
export function tokenParameters(row: TokenRow): SqlValue[] {
  return [
    row.id,
    row.project_id,
    row.label,
    row.created_at,
    row.expires_at,
    row.revoked_at,
    ...restrictionParameters(row),
    row.last_used_at,
    row.request_count,
    row.cache_hit_count,
  ];
}

export function revocationRow(row: SqlRow): RevocationRow {
  return {
    jti: text(row, "jti"),
    revoked_at: number(row, "revoked_at"),
    expires_at: number(row, "expires_at"),
  };
}

export function projectRevocationRow(row: SqlRow): ProjectRevocationRow {
  return {
    project_id: text(row, "project_id"),
    issued_before: number(row, "issued_before"),
    revoked_at: number(row, "revoked_at"),
    expires_at: number(row, "expires_at"),
  };
}

export function tokenOverrideRow(row: SqlRow): TokenOverrideRow {
  return {
    jti: text(row, "jti"),
    is_active: number(row, "is_active") !== 0,
    limits: limits(row),
    changed_at: number(row, "changed_at"),
    expires_at: number(row, "expires_at"),
  };
}

export function spendRow(row: SqlRow): SpendRow {
  return {
    // Only `ADD_SPEND` writes it, with a quantity.
    quantity: text(row, "quantity") as SpendRow["quantity"],
    period: text(row, "period"),
    used: number(row, "used"),
  };
}

export function auditRow(row: SqlRow): AuditRow {
  const { details, ...record } = auditRecord(row);
  // Only `auditParameters` writes them, from an entry's.
  const parsed = JSON.parse(details) as AuditRow["details"];
  return { ...record, details: parsed, hash: text(row, "hash") };
}

export function auditRecord(row: SqlRow): AuditRecord {
  return {
    sequence: number(row, "sequence"),
    recorded_at: number(row, "recorded_at"),
    node_id: text(row, "node_id"),
    actor: text(row, "actor"),
    action: text(row, "action"),
    subject: text(row, "subject"),
    outcome: outcome(row),
    request_id: text(row, "request_id"),
    client_address: text(row, "client_address"),
    details: text(row, "details"),
  };
}

/** The values of a record in the order of `INSERT_AUDIT`, which ends with the hash. */
export function auditParameters(record: AuditRecord): SqlValue[] {
  return [
    record.sequence,
    record.recorded_at,
    record.node_id,
    record.actor,
    record.action,
    record.subject,
    record.outcome,
    record.request_id,
    record.client_address,
    record.details,
  ];
}

function outcome(row: SqlRow): AuditRow["outcome"] {
  const value = text(row, "outcome");
  if (value === "done" || value === "refused" || value === "failed") return value;
  throw wrongType("outcome", "done, refused or failed");
}

export function signingKeyRow(row: SqlRow): SigningKeyRow {
  return {
    kid: text(row, "kid"),
    algorithm: text(row, "algorithm"),
    public_jwk: text(row, "public_jwk"),
    ciphertext: text(row, "ciphertext"),
    created_at: number(row, "created_at"),
  };
}

export function policyRow(row: SqlRow): PolicyRow {
  return {
    version: number(row, "version"),
    document: textOrNull(row, "document"),
    created_at: number(row, "created_at"),
    actor: text(row, "actor"),
  };
}

export function policyVersion(row: SqlRow): PolicyVersion {
  return {
    version: number(row, "version"),
    created_at: number(row, "created_at"),
    actor: text(row, "actor"),
    is_reset: number(row, "is_reset") !== 0,
  };
}

/** @throws when the column is no text, or null */
export function text(row: SqlRow, name: string): string {
  const value = textOrNull(row, name);
  if (value === null) throw wrongType(name, "text");
  return value;
}

function textOrNull(row: SqlRow, name: string): string | null {
  const value = row[name];
  if (value === null || typeof value === "string") return value;
  throw wrongType(name, "text or null");
}

/** @throws when the column is no number, or null */
export function number(row: SqlRow, name: string): number {
  const value = numberOrNull(row, name);
  if (value === null) throw wrongType(name, "a number");
  return value;
}

/**
 * PostgreSQL's drivers return BIGINT as text or bigint, because it can exceed 2^53; ours never do.
 */
function numberOrNull(row: SqlRow, name: string): number | null {
  const value = row[name];
  if (value === null) return null;
  const result = value === undefined || value === "" ? NaN : Number(value);
  if (Number.isNaN(result)) throw wrongType(name, "a number or null");
  return result;
}

/** The first row, if there is one. */
export function first<T>(found: readonly SqlRow[], read: (row: SqlRow) => T): T | null {
  const row = found[0];
  return row === undefined ? null : read(row);
}

function limits(row: SqlRow): Limits {
  return parseLimits(JSON.parse(text(row, "limits")));
}

function listOrNull(row: SqlRow, name: string): string[] | null {
  const value = textOrNull(row, name);
  if (value === null) return null;
  const list: unknown = JSON.parse(value);
  if (!Array.isArray(list) || !list.every((each) => typeof each === "string")) {
    throw wrongType(name, "a JSON list of texts or null");
  }
  return list;
}

function restrictions(row: SqlRow): Restrictions {
  return {
    models: listOrNull(row, "models"),
    endpoints: listOrNull(row, "endpoints"),
    tiers: listOrNull(row, "tiers"),
    limits: limits(row),
  };
}

/** Models, endpoints, tiers and limits, as columns. */
export function restrictionParameters(of: Restrictions): SqlValue[] {
  const lists = [of.models, of.endpoints, of.tiers].map(listText);
  return [...lists, JSON.stringify(of.limits)];
}

function listText(list: readonly string[] | null): string | null {
  return list === null ? null : JSON.stringify(list);
}

function wrongType(name: string, expected: string): TypeError {
  return new TypeError(`Database column ${name} is not ${expected}`);
}
