/**
 * The configuration as the rest of sluice sees it: parsed, validated, defaulted, every quantity in
 * the unit its name ends in. Parsed once at the edge (`parse.ts`) and trusted afterwards.
 *
 * Owns: the shape and the meaning of each key. Does not own: the text of the file.
 * Invariant: a value of this type is immutable and complete; a reload swaps it whole.
 */

import type { ProviderType } from "../exchange.ts";
import type { Glob } from "../lib/glob.ts";

export interface Config {
  readonly http: EndpointConfig | null;
  /** TLS beside or instead of cleartext. */
  readonly https: (EndpointConfig & { readonly certFile: string; readonly keyFile: string }) | null;
  /** Request line and headers together. Beyond: 431. */
  readonly headerBytesMax: number;
  readonly admin: EndpointConfig & { readonly token: string | null };
  /** Those with names of their own, beside `admin.token`. */
  readonly admins: readonly AdminConfig[];
  readonly dataDir: string;
  /** Null: SQLite in `dataDir`. */
  readonly database: DatabaseConfig | null;
  readonly workers: number;
  /** Newest first; the rest only decrypt. Empty: made in `dataDir` (SQLite only). */
  readonly encryptionKeys: readonly EncryptionKeyConfig[];
  readonly auth: AuthMode;
  readonly authOpenAnywhere: boolean;
  readonly authKeys: readonly string[];
  /** Age of the revocation list from which tokens are refused; 0: never. */
  readonly revocationStalenessMaxMs: number;
  readonly tokens: TokensConfig;
  readonly providers: readonly ProviderConfig[];
  /** Name of the provider that takes what host and path do not decide; null: none. */
  readonly defaultProvider: string | null;
  readonly timeouts: TimeoutsConfig;
  readonly limits: LimitsConfig;
  readonly gracefulShutdownTimeoutMs: number;
  readonly retry: RetryConfig;
  readonly cors: CorsConfig;
  /** Null: providers are not asked whether they are healthy. */
  readonly healthCheck: HealthCheckConfig | null;
  /**
   * As it is written, in the shape that `parseServiceTierPolicy` of `policy/` takes; null: none is
   * configured.
   */
  readonly serviceTierPolicy: object | null;
  readonly usage: UsageConfig;
  readonly timingHeaders: boolean;
  readonly log: LogConfig;
}

/** Who may use the management API. */
export interface AdminConfig {
  readonly name: string;
  readonly token: string;
  /** A viewer only reads. */
  readonly role: "admin" | "viewer";
}

export interface EndpointConfig {
  /** IPv6 without brackets. */
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** PostgreSQL. */
export interface DatabaseConfig {
  /** IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly name: string;
  /** What the server shows for our connections. */
  readonly applicationName: string;
  /** Null: cleartext. Without `caFile` the machine's own authorities are trusted. */
  readonly tls: {
    readonly verify: boolean;
    readonly caFile: string | null;
    readonly serverName: string;
  } | null;
  /** Connections of one node. */
  readonly poolSize: number;
  /** Until a connection can be used, waiting for a free one included. */
  readonly connectTimeoutMs: number;
  /** 0 is off. */
  readonly statementTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** A connection is ours for one transaction only, so nothing is set on it. */
  readonly transactionPooler: boolean;
}

export interface EncryptionKeyConfig {
  readonly id: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

/** `open` lets anyone in; it is written out, never inferred. */
export type AuthMode = "required" | "open";

export interface TokensConfig {
  readonly issuer: string;
  readonly audience: string;
  /** Signs; tokens of the other are taken as long as its keys are there. */
  readonly algorithm: "EdDSA" | "HS256";
  readonly maxLifetimeMs: number;
  /** Clock difference that `exp` and `nbf` forgive. */
  readonly leewayMs: number;
}

export interface ProviderConfig {
  readonly name: string;
  readonly type: ProviderType;
  /** Lower-cased host without port that this provider serves; null: any. */
  readonly host: string | null;
  /** Path prefix without trailing slash, removed before forwarding; "" for none. */
  readonly pathPrefix: string;
  readonly upstream: UpstreamConfig;
  /** Share among equals; of a provider with several keys, what they weigh together. May be 0. */
  readonly weight: number;
  readonly priority: number;
  readonly isFallback: boolean;
  readonly apiKeys: readonly ApiKeyConfig[];
  /** Replaces where the credential goes (jisr's `auth_header`); null: as the provider does. */
  readonly authHeader: string | null;
  /** Replaces the whole header value; "" injects nothing, null: as the provider does. */
  readonly authValue: CredentialConfig | null;
  readonly auth: AuthMode;
  readonly authKeys: readonly string[];
  readonly headersStrip: readonly string[];
  readonly headersInject: Readonly<Record<string, string>>;
  readonly timeouts: TimeoutsConfig;
  readonly retry: RetryConfig;
  readonly circuitBreaker: CircuitBreakerConfig;
  /** Null: that a connection opens shows that it is healthy. */
  readonly probe: ProbeConfig | null;
  /** The upstream's name of a model, by the caller's. */
  readonly models: ReadonlyMap<string, string>;
  /** Null: all. */
  readonly allowedModels: readonly string[] | null;
  /** Paths, each with what lies below it; `*` stands for one segment. Null: all. */
  readonly allowedEndpoints: readonly string[] | null;
  /** Null: all. */
  readonly allowedMethods: readonly string[] | null;
  /** As in `CorsConfig`, which it replaces; empty: none. Null: that one holds. */
  readonly allowedOrigins: readonly string[] | null;
  /** The values that a header may have, by its lower-cased name; none: any but an empty one. */
  readonly requiredHeaders: ReadonlyMap<string, readonly string[]>;
  /** What a request parameter may be, by its name. */
  readonly paramWhitelist: ReadonlyMap<string, readonly Glob[]>;
  /** Of the upstream's credential, for rules that are about one of them. */
  readonly credentialKind: "api_key" | "oauth";
  readonly injectStreamUsage: boolean;
  readonly xForwardedFor: "strip" | "pass" | "append";
  readonly connection: ConnectionConfig;
  /** Null: the upstream is reached directly. */
  readonly egressProxy: EgressProxyConfig | null;
  /** Names of files. */
  readonly certificateFiles: CertificatesConfig;
  /** What these files hold, in PEM, once they have been read. */
  readonly certificates: CertificatesConfig;
}

/** Connections to an upstream that are kept for the next request. */
export interface ConnectionConfig {
  /** 0: none is kept. */
  readonly idleMax: number;
  readonly idleTimeoutMs: number;
}

export interface EgressProxyConfig {
  /** IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** The value of `Proxy-Authorization`; null: none. */
  readonly authorization: string | null;
}

/** For TLS with an upstream. */
export interface CertificatesConfig {
  /** Who signs the upstream's certificate; null: the authorities that are trusted otherwise. */
  readonly ca: string | null;
  /** The client certificate and its key; both or none. */
  readonly cert: string | null;
  readonly key: string | null;
}

export interface UpstreamConfig {
  /** Lower-cased; IPv6 in brackets, as in a URL. */
  readonly hostname: string;
  readonly port: number;
  readonly tls: boolean;
  /** Put before the path, without trailing slash; "" for none. */
  readonly basePath: string;
}

/** A credential as it is, or the command that prints it, which keeps its identity. */
export type CredentialConfig = string | CommandConfig;

export interface CommandConfig {
  /** For the shell. May hold a secret, so it is shown nowhere. */
  readonly command: string;
  /** How long what it printed is used. */
  readonly ttlMs: number;
}

export interface ApiKeyConfig {
  readonly key: CredentialConfig;
  readonly weight: number;
}

/** 0 turns a timeout off. */
export interface TimeoutsConfig {
  readonly requestMs: number;
  readonly dialMs: number;
  readonly responseHeaderMs: number;
  readonly idleMs: number;
  readonly writeMs: number;
  readonly firstFrameMs: number;
  readonly betweenTurnsMs: number;
  readonly pingMs: number;
  readonly drainAfterDisconnectMs: number;
}

/** 0 turns a limit off. */
interface LimitsConfig {
  readonly bodyBytesMax: number;
  readonly inspectBodyBytesMax: number;
  readonly inspectMemoryBytesMax: number;
  readonly frameBytesMax: number;
  readonly frameQueueBytesMax: number;
  /** Null: (open-file limit - 500) / 2. */
  readonly sessionsMax: number | null;
  readonly sessionsPerTokenMax: number;
  readonly headerCountMax: number;
  readonly onStoreDown: "allow" | "deny";
  /** Output tokens that are reserved for a turn that names no maximum. */
  readonly reserveOutputTokens: number;
}

/** What browsers are told, and held to. */
export interface CorsConfig {
  /** As browsers write them, `https://*.host` for any one label, or `*`. Empty: not limited. */
  readonly allowedOrigins: readonly string[];
  /** Empty: all of them. */
  readonly allowedMethods: readonly string[];
  /** Lower-cased. Empty: those that are asked for. */
  readonly allowedHeaders: readonly string[];
  readonly allowCredentials: boolean;
  readonly maxAgeMs: number;
}

export interface RetryConfig {
  readonly attempts: number;
  readonly on: readonly RetryCause[];
}

/** When an upstream is left alone for a while. */
export interface CircuitBreakerConfig {
  /** In a row. */
  readonly failures: number;
  readonly cooldownMs: number;
  /** Answers that count as failures. */
  readonly statuses: readonly number[];
}

interface HealthCheckConfig {
  readonly intervalMs: number;
}

/** The request that shows that a provider is healthy. */
export interface ProbeConfig {
  readonly method: string;
  /** At the upstream, without its base path; may have a query. */
  readonly path: string;
  readonly body: string | null;
  readonly headers: readonly (readonly [string, string])[];
}

export type RetryCause = "connect" | "timeout" | "429" | "5xx";

export interface UsageConfig {
  readonly fsyncIntervalMs: number;
  readonly shipIntervalMs: number;
  readonly shipBatch: number;
  /** `process` survives any death of the process, `power_loss` also of the machine. */
  readonly durability: "process" | "power_loss";
  readonly spoolBytesMax: number;
  readonly spoolKeepMs: number;
  readonly retentionMs: number;
}

interface LogConfig {
  readonly level: LogLevel;
  readonly format: "json" | "pretty";
  /** `-` is standard error. */
  readonly file: string;
}

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";
