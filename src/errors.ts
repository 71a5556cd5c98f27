/**
 * Everything sluice itself refuses, as one table, and how a refusal looks in each dialect.
 *
 * Owns: error codes, their HTTP status, WebSocket close code, fixed message and retry advice.
 * Does not own: errors an upstream made; they are relayed as they came.
 * Invariant: a refusal names no secret and nothing internal. The message of an authentication code is
 * fixed, so that a caller cannot learn which check failed.
 */

import type { ProviderType } from "./exchange.ts";

/** Whose fault it is: of the caller, of the upstream, or ours. */
type ErrorSource = "downstream" | "upstream" | "gateway";

interface ErrorEntry {
  /** Null: only ever happens where no HTTP answer is possible any more. */
  readonly status: number | null;
  /** Close code on a WebSocket; null: never reaches one. */
  readonly close: number | null;
  readonly source: ErrorSource;
  /** Seconds for `retry-after`; null: a retry will not help. */
  readonly retryAfterS: number | null;
  readonly message: string;
}

function entry(
  status: number | null,
  close: number | null,
  source: ErrorSource,
  retryAfterS: number | null,
  message: string,
): ErrorEntry {
  return { status, close, source, retryAfterS, message };
}

// prettier-ignore
const TABLE = {
  token_missing: entry(401, 1008, "downstream", null, "No token was sent. Send a sluice token or key as Authorization: Bearer; only auth: open lets anyone in"),
  token_invalid: entry(401, 1008, "downstream", null, "The token is not valid"),
  token_expired: entry(401, 1008, "downstream", null, "The token has expired. Mint a new one"),
  token_revoked: entry(401, 1008, "downstream", null, "The token was revoked"),
  project_inactive: entry(403, 1008, "downstream", null, "The project is inactive"),
  model_not_allowed: entry(403, 1008, "downstream", null, "The model is not allowed"),
  endpoint_not_allowed: entry(403, 1008, "downstream", null, "The endpoint is not allowed"),
  tier_blocked: entry(403, 1008, "downstream", null, "The service tier is not allowed"),
  origin_not_allowed: entry(403, 1008, "downstream", null, "The origin is not allowed"),
  bad_request: entry(400, 1008, "downstream", null, "The request is malformed"),
  invalid_json: entry(400, 1008, "downstream", null, "The body is not valid JSON"),
  ambiguous_json: entry(400, 1008, "downstream", null, "The JSON names a key twice"),
  param_not_allowed: entry(400, 1008, "downstream", null, "A parameter has a value that is not allowed"),
  endpoint_not_found: entry(404, null, "downstream", null, "No such endpoint"),
  method_not_allowed: entry(405, null, "downstream", null, "The method is not allowed here"),
  unsupported_encoding: entry(415, null, "downstream", null, "The content encoding is not supported here"),
  websocket_required: entry(426, null, "downstream", null, "WebSocket upgrade required (Upgrade: websocket)"),
  rate_limited: entry(429, 1013, "downstream", 1, "Too many requests"),
  quota_exhausted: entry(429, 1013, "downstream", null, "The token's quota is used up"),
  budget_exhausted: entry(429, 1013, "downstream", null, "The budget is used up"),
  too_many_sessions: entry(429, 1013, "downstream", 1, "Too many sessions are open"),
  body_too_large: entry(413, 1009, "downstream", null, "The body is too large"),
  frame_too_large: entry(null, 1009, "downstream", null, "The frame is too large"),
  headers_too_large: entry(431, null, "downstream", null, "The headers are too large"),
  no_provider: entry(404, 1013, "gateway", null, "No provider found"),
  no_healthy_provider: entry(503, 1013, "gateway", 5, "No healthy provider"),
  circuit_open: entry(503, 1013, "gateway", 5, "The provider is not taking requests at the moment"),
  node_full: entry(503, 1013, "gateway", 1, "The node has no room for another session"),
  ledger_unavailable: entry(503, 1013, "gateway", 5, "Usage cannot be recorded at the moment"),
  revocations_stale: entry(503, 1013, "gateway", 5, "The revocation list is out of date"),
  limits_unavailable: entry(503, 1013, "gateway", 5, "Limits cannot be checked at the moment"),
  upstream_unreachable: entry(502, 1011, "upstream", null, "The upstream cannot be reached"),
  upstream_timeout: entry(504, 1013, "upstream", null, "The upstream did not answer in time"),
  upstream_closed: entry(502, 1011, "upstream", null, "The upstream closed the connection"),
  upstream_unreadable: entry(502, null, "upstream", null, "The upstream's answer cannot be read"),
  upstream_auth_failed: entry(502, 1008, "upstream", null, "The upstream refused the gateway's credential"),
  idle_timeout: entry(null, 1008, "downstream", null, "client websocket idle timeout"),
  write_timeout: entry(null, 1008, "downstream", null, "client websocket write timeout"),
  first_frame_timeout: entry(null, 1008, "downstream", null, "missing first response.create message"),
  session_limit: entry(null, 1008, "downstream", null, "The session reached its limit"),
  draining: entry(503, 1012, "gateway", 1, "service restart"),
  internal: entry(500, 1011, "gateway", null, "Internal error"),
} satisfies Record<string, ErrorEntry>;

/** The closed set of codes. */
export type ErrorCode = keyof typeof TABLE;

/** Every code with its row, for the tests and the documentation that walk the table. */
export const ERROR_TABLE: Readonly<Record<ErrorCode, ErrorEntry>> = TABLE;

export interface GatewayErrorOptions {
  /** Replaces the table's message. Shown to the caller: no secrets. */
  readonly message?: string;
  /** The request field concerned. */
  readonly param?: string;
  /** The WebSocket close reason where it differs from the message. */
  readonly closeReason?: string;
  /** Replaces the table's close code. */
  readonly closeCode?: number;
  /** Replaces the table's HTTP status. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** What a WebSocket client is sent in place of the error event. */
  readonly events?: readonly string[];
  /** A session whose message is refused goes on, where its client can be told. */
  readonly goesOn?: boolean;
  /** Whom it is about, as `token:<jti>` or `project:<id>`, for the audit. Not shown to the caller. */
  readonly subject?: string;
  readonly cause?: unknown;
}

/** A refusal by sluice. Thrown by a phase, turned into an answer at the edge. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly closeReason: string;
  readonly closeCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly events: readonly string[];
  readonly goesOn: boolean;
  readonly subject: string | null;
  readonly #status: number | null;

  constructor(code: ErrorCode, options: GatewayErrorOptions = {}) {
    const row = ERROR_TABLE[code];
    super(options.message ?? row.message, { cause: options.cause });
    this.code = code;
    this.param = options.param ?? null;
    this.closeReason = options.closeReason ?? this.message;
    this.closeCode = options.closeCode ?? row.close ?? 1011;
    this.headers = options.headers ?? {};
    this.events = options.events ?? [];
    this.goesOn = options.goesOn ?? false;
    this.subject = options.subject ?? null;
    this.#status = options.status ?? row.status;
  }

  /** HTTP status; for codes that only end sockets, the status their error event carries. */
  get status(): number {
    return this.#status ?? (this.code === "frame_too_large" ? 413 : 408);
  }
}

/** Anything thrown, as a GatewayError: what is not one already is `internal`. */
export function asGatewayError(thrown: unknown): GatewayError {
  return thrown instanceof GatewayError ? thrown : new GatewayError("internal", { cause: thrown });
}

/** `error.type` of OpenAI's error body, by status. */
function openaiType(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "api_error" : "invalid_request_error";
}

/** `error.code` as OpenAI's clients know it, where they know one. */
function openaiCode(code: ErrorCode): string {
  if (code === "tier_blocked") return "policy_violation";
  if (code === "rate_limited") return "rate_limit_exceeded";
  if (code === "quota_exhausted" || code === "budget_exhausted") return "insufficient_quota";
  return code;
}

/** `error.type` of Anthropic's error body (their error reference), by status. */
function anthropicType(status: number): string {
  const known: Record<number, string> = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
  };
  return known[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
}

/** `error.status` of Google's error body (google.rpc.Code), by HTTP status. */
function geminiStatus(status: number): string {
  const known: Record<number, string> = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
  };
  return known[status] ?? "INVALID_ARGUMENT";
}

/** The JSON body of a refusal, in the dialect of the protocol that was called. */
export function errorBody(error: GatewayError, dialect: ProviderType, requestId: string): string {
  const { status, message } = error;
  if (dialect === "anthropic") {
    const type = anthropicType(status);
    return JSON.stringify({ type: "error", error: { type, message }, request_id: requestId });
  }
  if (dialect === "gemini") {
    return JSON.stringify({ error: { code: status, message, status: geminiStatus(status) } });
  }
  return JSON.stringify({ error: openaiError(error) });
}

function openaiError(error: GatewayError): Record<string, string | null> {
  return {
    message: error.message,
    type: error.code === "tier_blocked" ? "forbidden_error" : openaiType(error.status),
    param: error.param,
    code: openaiCode(error.code),
  };
}

/** The HTTP answer to a refusal. Adds `retry-after` and `x-should-retry` where the table says so. */
export function errorResponse(
  error: GatewayError,
  dialect: ProviderType,
  requestId: string,
): Response {
  const row = ERROR_TABLE[error.code];
  const headers = new Headers({
    "content-type": "application/json",
    "x-sluice-request-id": requestId,
    ...error.headers,
  });
  if (row.retryAfterS !== null && !headers.has("retry-after")) {
    headers.set("retry-after", String(row.retryAfterS));
  }
  // The SDKs retry every 5xx; our rejected credential is not mended by asking again.
  if (error.code === "upstream_auth_failed") headers.set("x-should-retry", "false");
  return new Response(errorBody(error, dialect, requestId), { status: error.status, headers });
}

/**
 * The event that precedes every close that sluice starts. Carries a numeric `status`, because Codex
 * ignores an error event without one and hangs.
 */
export function errorEvent(error: GatewayError, eventId: string): string {
  return JSON.stringify({
    event_id: eventId,
    type: "error",
    // Codex stops on 400; on 403 it would reconnect, and then fall back to POST.
    status: error.code === "tier_blocked" ? 400 : error.status,
    error: openaiError(error),
  });
}
