/**
 * The nouns of sluice: what an exchange, a turn and its usage are made of.
 *
 * Owns: types and closed sets that more than one folder speaks of.
 * Does not own: behaviour. A verb belongs to the folder of its phase, their order to `gateway.ts`.
 * Invariant: every closed set is a snake_case string union whose members are at the same time the
 * log value, the metric label, the SQL value and the JSON value.
 */

/** The protocol family an upstream speaks. `forward` is relayed and never understood. */
export type ProviderType = "openai" | "anthropic" | "gemini" | "forward";

/** How a turn travelled. */
export type Transport = "http" | "sse" | "websocket";

/** What a turn did. */
export type TurnKind =
  | "response"
  | "transcription"
  | "translation"
  | "embedding"
  | "speech"
  | "image"
  | "moderation"
  | "compaction";

/**
 * How a turn ended. `interrupted`: no terminal event was seen. `error`: the upstream refused it.
 * `pending`: its usage can only come later (`background`).
 */
export type TurnStatus =
  "completed" | "incomplete" | "failed" | "cancelled" | "interrupted" | "error" | "pending";

/**
 * Where the numbers come from. `partial`: only some were seen; `missing`: none were;
 * `none_billed`: the upstream billed nothing.
 */
export type UsageSource = "upstream" | "partial" | "missing" | "none_billed";

/** Whose request it is, after authentication. */
export interface Principal {
  readonly kind: "token" | "static_key" | "open";
  readonly projectId: string;
  /** `jti` of the token, `static_<digest>` of a static key, null under `auth: open`. */
  readonly tokenId: string | null;
  /** Second since the epoch at which the token ends, as milliseconds; null without an end. */
  readonly expiresAtMs: number | null;
  /** Second since the epoch at which the token was issued, as milliseconds; null without one. */
  readonly issuedAtMs: number | null;
  /** What the token itself allows, as signed; null restricts nothing. */
  readonly restrictions: Restrictions | null;
  /** Present where a client secret of this principal's was shown, and not its own credential. */
  readonly clientSecret?: ClientSecret;
}

/** A key that a provider made for a browser, which has ours in its place. */
export interface ClientSecret {
  /** Name of the configured provider: what the key is set to is known there alone. */
  readonly provider: string;
  readonly key: string;
}

/**
 * What a token or a project may be used for. Null allows everything; lists hold exact names or
 * `prefix*`.
 */
export interface AllowLists {
  readonly models: readonly string[] | null;
  /** Path patterns as `/v1/responses`, or `/v1/audio/*`. */
  readonly endpoints: readonly string[] | null;
  readonly tiers: readonly string[] | null;
}

/** What a token or a project may be used for, and how much. */
export interface Restrictions extends AllowLists {
  readonly limits: Limits;
}

/** Lists together with whose they are: `token:<jti>` or `project:<id>`. */
export interface SubjectLists {
  readonly subject: string;
  readonly lists: AllowLists;
}

/**
 * The service tiers that are known. `standard_only` is Anthropic's, `standard` and `unspecified`
 * are Gemini's, the rest OpenAI's.
 */
export const KNOWN_TIERS = [
  "priority",
  "flex",
  "auto",
  "default",
  "scale",
  "ultrafast",
  "standard",
  "standard_only",
  "unspecified",
] as const;

/** Every limit there is, by its name in claims, JSON and SQL. All are whole numbers from 1. */
export const LIMIT_NAMES = [
  "requests_per_minute",
  "tokens_per_minute",
  "concurrent_exchanges",
  "concurrent_sessions",
  "max_requests",
  "budget_micros_per_day",
  "budget_micros_per_month",
  "budget_micros_total",
  "session_seconds",
  "session_idle_seconds",
  "session_turns",
  "session_tokens",
  "session_cost_micros",
] as const;

export type LimitName = (typeof LIMIT_NAMES)[number];

/**
 * Limits of a token or a project; absent is none. Turns of a WebSocket count as requests and as
 * exchanges. Money is in millionths of a dollar; days and months are UTC's.
 */
export type Limits = { readonly [N in LimitName]?: number };

/** Limits that are set, and as null those that are taken away; the others stay. */
export type LimitChanges = { readonly [N in LimitName]?: number | null };

/** Limits together with whom they count for: `token:<jti>` or `project:<id>`. */
export interface SubjectLimits {
  readonly subject: string;
  readonly limits: Limits;
}

/**
 * What was set aside for an exchange or a turn before it went upstream. One of its methods is
 * called, once; later calls do nothing.
 */
export interface Reservation {
  /** Of budgets, in micro-dollars: what counts where the real cost stays unknown. */
  readonly costMicros: number;
  /** It is over. Null: not known, and what was reserved counts. */
  settle(tokens: number | null, costMicros: number | null): void;
  /** Nothing of it reached the upstream. */
  release(): void;
}

/**
 * What one turn used. `inputTokens` and `outputTokens` are inclusive totals, the others subsets of
 * them. Null is unknown, and is never written as 0.
 */
export interface Usage {
  inputTokens: number | null;
  cachedInputTokens: number | null;
  cacheCreationInputTokens: number | null;
  outputTokens: number | null;
  reasoningTokens: number | null;
  audioInputTokens: number | null;
  audioOutputTokens: number | null;
  audioSeconds: number | null;
  webSearchRequests: number | null;
  /** Fields of the usage event's `details`, by their name there. */
  details: UsageDetails;
}

/** What a usage event says beside its columns. Absent is unknown. */
export interface UsageDetails {
  stream_id?: string;
  warmup?: boolean;
  /** `settled_micros` is what was reserved, because what the turn used is not known. */
  settled_at_reserve?: boolean;
  speed?: string;
  image_input_tokens?: number;
  cached_audio_input_tokens?: number;
  cached_image_input_tokens?: number;
  cache_creation_5m_input_tokens?: number;
  cache_creation_1h_input_tokens?: number;
  extra_iterations?: number;
}

/** One row of the ledger: the same names in SQL, JSON, sinks and the API. */
export interface UsageEvent {
  event_id: string;
  /** Milliseconds since the epoch. */
  recorded_at: number;
  node_id: string;
  project_id: string;
  token_id: string | null;
  session_id: string;
  turn: number;
  kind: TurnKind;
  transport: Transport;
  provider: string;
  endpoint: string;
  requested_model: string | null;
  model: string | null;
  requested_service_tier: string | null;
  decided_service_tier: string | null;
  service_tier: string | null;
  status: TurnStatus;
  error_code: string | null;
  http_status: number | null;
  response_id: string | null;
  upstream_request_id: string | null;
  input_tokens: number | null;
  cached_input_tokens: number | null;
  cache_creation_input_tokens: number | null;
  output_tokens: number | null;
  reasoning_tokens: number | null;
  audio_input_tokens: number | null;
  audio_output_tokens: number | null;
  audio_seconds: number | null;
  web_search_requests: number | null;
  usage_source: UsageSource;
  details: UsageDetails;
  cost_micros: number | null;
  /** What it counted for against budgets; null: before there were budgets. */
  settled_micros: number | null;
  first_token_ms: number | null;
  duration_ms: number | null;
  frames_up: number;
  frames_down: number;
  bytes_up: number;
  bytes_down: number;
}

/**
 * Where turns are written before the client sees them end. `open` takes the row as it must read if
 * this process dies now (status `interrupted`); `close` the row as it is. Both have reached the
 * kernel when they return; a promise is returned only where the caller must also wait for the disk
 * before it forwards the terminal event (`usage.durability: power_loss`). Both throw `GatewayError`
 * `ledger_unavailable` when the record cannot be kept.
 */
export interface Ledger {
  open(event: UsageEvent): void;
  close(event: UsageEvent): Promise<void> | undefined;
}

/** The facts of an exchange that every one of its turns repeats. */
export interface ExchangeContext {
  readonly sessionId: string;
  readonly projectId: string;
  readonly tokenId: string | null;
  /** Name of the configured provider. */
  readonly provider: string;
  /** Path pattern of the endpoint, such as `/v1/responses`. */
  readonly endpoint: string;
  readonly upstreamRequestId: string | null;
}

/** A WebSocket message: text as a string, binary as a view of the received bytes. */
export type Message = string | Uint8Array;

/**
 * Sees each message of a session before it is forwarded. A returned promise holds back this message
 * and those behind it in its direction until it resolves.
 */
export interface SessionTap {
  /** @returns what goes upstream: the very message, unless a policy rewrote it */
  clientMessage(message: Message): Message | Promise<Message>;
  /** @returns what goes downstream: the very message, unless it names a model by another name */
  upstreamMessage(message: Message): Message | Promise<Message>;
  /** Whether a turn has begun and not ended. */
  readonly turnsRunning: number;
  /** Turns begun so far. */
  readonly turns: number;
  /** Ends what is still running as `interrupted`. Called once, last. */
  end(): Promise<void> | undefined;
}

/**
 * Sees each chunk of a response body and returns what is to be forwarded: the same view, a part of
 * it, or null for nothing (yet).
 */
export interface BodyTap {
  chunk(bytes: Uint8Array): Uint8Array | null | Promise<Uint8Array | null>;
  /** The upstream's body is complete. Returns what was held back, or null. */
  end(): Uint8Array | null | Promise<Uint8Array | null>;
  /** The exchange was cut: by the client, by the upstream, or by a decision of ours. */
  abort(): void;
}
