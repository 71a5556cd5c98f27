/**
 * What the management API answers, as JSON Schemas for `openapi.json`.
 *
 * Owns: the shapes of answers. Does not own: those of requests, which are made of what reads them
 * (`fields.ts`).
 * Invariant: every property that is described is always there, and no other one is, but where it
 * says so.
 */

import { LIMIT_NAMES } from "../exchange.ts";
import { type JsonSchema, object } from "./json_schema.ts";
import { POLICY_SCHEMAS } from "./policy_schemas.ts";

const TEXT = { type: "string" };
const TEXT_OR_NULL = { type: ["string", "null"] };
const NUMBER = { type: "number" };
const NUMBER_OR_NULL = { type: ["number", "null"] };
const INTEGER = { type: "integer" };
const INTEGER_OR_NULL = { type: ["integer", "null"] };
const BOOLEAN = { type: "boolean" };
const TIME = { type: "string", format: "date-time" };
const TIME_OR_NULL = { type: ["string", "null"], format: "date-time" };
const NAMES_OR_NULL = { type: ["array", "null"], items: TEXT };
/** Properties that differ from node to node or from row to row. */
const ANY_OBJECT = { type: "object" };

/** The schema of this name in `components`. */
export function ref(name: keyof typeof SCHEMAS): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** A bare array. */
export function arrayOf(name: keyof typeof SCHEMAS): JsonSchema {
  return { type: "array", items: ref(name) };
}

/** A page of a list, under the name of what it holds; `more` is said beside it. */
export function pageOf(
  field: string,
  name: keyof typeof SCHEMAS,
  more: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema {
  return object({ ...more, [field]: arrayOf(name), next_cursor: TEXT_OR_NULL });
}

const LIMITS = {
  type: "object",
  description:
    "Each limit that is set; whole numbers from 1. Money is in millionths of a dollar, days and " +
    "months are UTC's.",
  additionalProperties: false,
  properties: Object.fromEntries(LIMIT_NAMES.map((name) => [name, { ...INTEGER, minimum: 1 }])),
};

const CREDENTIAL = object({
  id: TEXT,
  project_id: TEXT,
  provider: TEXT,
  label: TEXT_OR_NULL,
  api_key: { ...TEXT, description: "Masked: at most its first and last four characters." },
  created_at: TIME,
  updated_at: TIME,
});

const PROJECT = {
  id: TEXT,
  name: TEXT,
  is_active: BOOLEAN,
  created_at: TIME,
  updated_at: TIME,
  deactivated_at: TIME_OR_NULL,
  models: NAMES_OR_NULL,
  endpoints: NAMES_OR_NULL,
  tiers: NAMES_OR_NULL,
  limits: { $ref: "#/components/schemas/Limits" },
  credentials: { type: "array", items: { $ref: "#/components/schemas/Credential" } },
};

const TOKEN = {
  id: { ...TEXT, description: "The token's `jti`." },
  project_id: TEXT,
  label: TEXT_OR_NULL,
  is_active: BOOLEAN,
  created_at: TIME,
  expires_at: TIME,
  revoked_at: TIME_OR_NULL,
  last_used_at: TIME_OR_NULL,
  request_count: INTEGER,
  cache_hit_count: INTEGER,
  max_requests: INTEGER_OR_NULL,
  models: NAMES_OR_NULL,
  endpoints: NAMES_OR_NULL,
  tiers: NAMES_OR_NULL,
  limits: { $ref: "#/components/schemas/Limits" },
};

const SPEND = { spend: { $ref: "#/components/schemas/Spend" } };

const USAGE_EVENT = object({
  event_id: TEXT,
  recorded_at: TIME,
  node_id: TEXT,
  project_id: TEXT,
  token_id: TEXT_OR_NULL,
  session_id: TEXT,
  turn: INTEGER,
  kind: TEXT,
  transport: { ...TEXT, enum: ["http", "sse", "websocket"] },
  provider: TEXT,
  endpoint: TEXT,
  requested_model: TEXT_OR_NULL,
  model: TEXT_OR_NULL,
  requested_service_tier: TEXT_OR_NULL,
  decided_service_tier: TEXT_OR_NULL,
  service_tier: TEXT_OR_NULL,
  status: TEXT,
  error_code: TEXT_OR_NULL,
  http_status: INTEGER_OR_NULL,
  response_id: TEXT_OR_NULL,
  upstream_request_id: TEXT_OR_NULL,
  input_tokens: INTEGER_OR_NULL,
  cached_input_tokens: INTEGER_OR_NULL,
  cache_creation_input_tokens: INTEGER_OR_NULL,
  output_tokens: INTEGER_OR_NULL,
  reasoning_tokens: INTEGER_OR_NULL,
  audio_input_tokens: INTEGER_OR_NULL,
  audio_output_tokens: INTEGER_OR_NULL,
  audio_seconds: NUMBER_OR_NULL,
  web_search_requests: INTEGER_OR_NULL,
  usage_source: { ...TEXT, enum: ["upstream", "partial", "missing", "none_billed"] },
  details: ANY_OBJECT,
  cost_micros: INTEGER_OR_NULL,
  settled_micros: INTEGER_OR_NULL,
  first_token_ms: NUMBER_OR_NULL,
  duration_ms: NUMBER_OR_NULL,
  frames_up: INTEGER,
  frames_down: INTEGER,
  bytes_up: INTEGER,
  bytes_down: INTEGER,
});

const AUDIT_ENTRY = object({
  sequence: INTEGER,
  recorded_at: TIME,
  node_id: TEXT,
  actor: TEXT,
  action: TEXT,
  subject: TEXT,
  outcome: { ...TEXT, enum: ["done", "refused", "failed"] },
  request_id: TEXT,
  client_address: TEXT,
  details: ANY_OBJECT,
  hash: TEXT,
});

const SESSION = object({
  id: TEXT,
  transport: { ...TEXT, enum: ["http", "sse", "websocket"] },
  project_id: TEXT,
  token_id: TEXT_OR_NULL,
  provider: TEXT,
  endpoint: TEXT,
  started_at: TIME,
  remote_address: TEXT,
  turns: INTEGER,
});

const PROVIDER = object({
  name: TEXT,
  type: { ...TEXT, enum: ["openai", "anthropic", "gemini", "forward"] },
  host: TEXT_OR_NULL,
  path_prefix: TEXT,
  upstream: TEXT,
  weight: NUMBER,
  priority: NUMBER,
  is_fallback: BOOLEAN,
  auth: TEXT,
  api_keys: { ...INTEGER, description: "How many." },
  auth_keys: { ...INTEGER, description: "How many." },
});

/** Every schema by its name in `components`. */
export const SCHEMAS = {
  Error: object(
    {
      error: TEXT,
      code: TEXT,
      description: { ...TEXT, description: "What to do about it." },
      problems: {
        type: "array",
        items: object({ path: TEXT, message: TEXT }),
        description: "Where several things are wrong with a document: each of them.",
      },
    },
    ["error", "code", "description"],
  ),
  Limits: LIMITS,
  Spend: object({
    requests: { ...INTEGER, description: "Counted for `max_requests`." },
    cost_micros: object({ today: INTEGER, this_month: INTEGER, total: INTEGER }),
  }),
  Credential: CREDENTIAL,
  Project: object(PROJECT),
  ProjectWithSpend: object({ ...PROJECT, ...SPEND }),
  Token: object(TOKEN),
  TokenWithSpend: object({ ...TOKEN, ...SPEND }),
  MintedToken: object({
    id: TEXT,
    token: { ...TEXT, description: "Shown this once." },
    expires_at: TIME,
  }),
  RevokedCount: object({ revoked: INTEGER }),
  Revocation: {
    oneOf: [
      object({ jti: TEXT, revoked_at: TIME, expires_at: TIME }),
      object({ project_id: TEXT, issued_before: TIME, revoked_at: TIME, expires_at: TIME }),
    ],
  },
  SigningKey: object({
    kid: TEXT,
    algorithm: TEXT,
    created_at: TIME,
    signs: { ...BOOLEAN, description: "Whether new tokens are signed with it now." },
    public_jwk: { type: ["object", "null"], description: "Null where there is no public half." },
  }),
  RotatedSigningKey: object({ kid: TEXT, algorithm: TEXT, signs_from: TIME }),
  KeyRotation: {
    type: "object",
    description: "What was encrypted anew under which key, and what could not be.",
    properties: {
      key_id: TEXT,
      failures: { type: "array", items: ANY_OBJECT },
      kept_key_id: {
        ...TEXT_OR_NULL,
        description: "Not needed any more, and kept in data_dir until the next rotation.",
      },
    },
  },
  ...POLICY_SCHEMAS,
  UsageEvent: USAGE_EVENT,
  Session: SESSION,
  Provider: PROVIDER,
  Status: {
    type: "object",
    required: ["version", "uptime_seconds", "sessions"],
    properties: { version: TEXT, uptime_seconds: INTEGER, sessions: INTEGER },
  },
  AuditEntry: AUDIT_ENTRY,
  AuditVerification: object({
    entries: INTEGER,
    head: { ...TEXT_OR_NULL, description: "Hash of the last entry, to be noted elsewhere." },
    broken: {
      ...object({
        sequence: { ...INTEGER_OR_NULL, description: "Null: which one is not known." },
        reason: TEXT,
      }),
      type: ["object", "null"],
    },
  }),
  OpenApi: ANY_OBJECT,
} as const;
