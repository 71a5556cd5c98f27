/**
 * Every key of the configuration file: name, rule, default, meaning. A new key is one line here and
 * one field in `config.ts`.
 *
 * Owns: the contract with whoever writes the file; the README's table is checked against it.
 * Does not own: providers' keys (`provider_schema.ts`), what keys mean together (`parse.ts`).
 * Invariant: a name once given keeps its meaning.
 */

import { KNOWN_TIERS } from "../exchange.ts";
import {
  API_KEYS,
  BREAKER_KEYS,
  METHOD,
  origins,
  PROVIDER_KEYS,
  PROVIDER_NAME,
  RETRY_KEYS,
  secretUrl,
  TIMEOUT_KEYS,
} from "./provider_schema.ts";
import {
  key,
  list,
  many,
  oneOrMany,
  optional,
  record,
  required,
  type Rule,
  scalar,
  secret,
  section,
  table,
  type Values,
} from "./rule.ts";
import {
  address,
  choice,
  duration,
  encryptionKey,
  flag,
  headerName,
  headerSecret,
  headerValue,
  integer,
  port,
  size,
  text,
  url,
} from "./scalars.ts";

const TOKENS = {
  issuer: key(text(), "sluice", "`iss` of our tokens"),
  audience: key(text(), "sluice", "`aud` of our tokens"),
  algorithm: key(choice(["EdDSA", "HS256"]), "EdDSA", "they are signed with"),
  max_lifetime: key(duration("1s", "3650d"), "365d", "longest that a token may live"),
  leeway: key(duration("0", "10m"), "5s", "clock difference that is forgiven"),
};

const sessions = scalar("auto, or a whole number", (value): number | "auto" | undefined => {
  return value.trim().toLowerCase() === "auto" ? "auto" : integer(0, 10_000_000).convert(value);
});

const LIMITS = {
  body: key(size(), "1GiB", "bytes of a request body"),
  inspect_body: key(size(), "64MiB", "of a JSON body that is held whole; beyond: 413"),
  inspect_memory: key(size(), "512MiB", "of all of these together"),
  frame: key(size("0", "4095MiB"), "64MiB", "of a WebSocket message"),
  frame_queue: key(size(), "4MiB", "waiting in each direction of a session"),
  sessions: key(sessions, "auto", "open at once; auto: (open-file limit - 500) / 2"),
  sessions_per_token: key(integer(0, 10_000_000), "0", "open at once with one token"),
  header_count: key(integer(0, 100_000), "200", "request headers"),
  on_store_down: key(
    choice(["allow", "deny"]),
    "allow",
    "what a token or project with limits may do when they cannot be checked",
  ),
  reserve_output: key(
    integer(0, 10_000_000),
    "1000",
    "output tokens reserved for a turn that names no maximum",
  ),
};

const ADMIN = {
  name: required(text("a name"), "who it is, for the audit"),
  token: required(secret(headerSecret), "Bearer token of the management API"),
  role: key(choice(["admin", "viewer"]), "admin", "viewer: reads only"),
};

const HEALTH_CHECK = {
  enabled: key(flag(), "false", "ask every provider whether it is healthy"),
  interval: optional(duration("1s"), "between two rounds", "60s"),
};

const CORS = {
  allowed_origins: origins("of pages that may call: exact, or https://*.preview.example.com"),
  allowed_methods: many(list(METHOD, 100), "methods that a preflight allows; [] is all of them"),
  allowed_headers: many(
    list(headerName, 100),
    "headers that a preflight allows; [] is those it asks for",
  ),
  allow_credentials: key(flag(), "false", "whether a browser may send cookies along"),
  max_age: key(duration(), "24h", "how long a browser may remember a preflight"),
};

const FAST = { fast: "priority" } as const;
const tier = choice(KNOWN_TIERS, FAST);
const action = choice(["pass", "filter", "block", "force"]);

const TIER_RULE = {
  service_tier: required(choice(["priority", "flex", "all"], FAST), "priority, flex or all"),
  action: required(action, "pass, filter, block or force"),
  force_tier: optional(tier, "sent upstream where the action is force"),
  scope: key(choice(["all", "oauth", "apikey"]), "all", "credentials it holds for"),
  projects: many(list(text()), "that it is about"),
  tokens: many(list(text()), "that it is about"),
  model_whitelist: many(list(text()), "models, exact or ending in *, the action is for"),
  fallback_action: optional(action, "for every other model", "pass"),
  error_message: optional(text(), "of a block"),
  fallback_error_message: optional(text(), "of a block by fallback_action"),
  on_block: key(choice(["close", "fail_turn"]), "close", "what a WebSocket session does"),
  shadow: key(flag(), "false", "decide and count, change nothing"),
};

const TIER_POLICY = {
  rules: required(
    list(record(TIER_RULE), 1_000),
    "the first that matches decides; [] lets every tier pass",
  ),
  unknown_tier: key(choice(["pass", "filter", "block"]), "pass", "for a tier nobody knows"),
};

const JSONL_SINK = { path: required(text(), "a file, or - for standard output") };
const CLOUDWATCH_SINK = {
  group: required(text(), "the log group"),
  stream: required(text(), "the log stream"),
  region: optional(text(), "the region", "AWS_REGION"),
  endpoint: optional(url(["http", "https"]), "another address of the service"),
};
const sinkType = choice(["jsonl", "cloudwatch"]);

/** A sink is what its `type` says. */
const sink: Rule<unknown> = {
  expects: "a map with type jsonl or cloudwatch",
  parts: { kind: "record", keys: {} },
  read(node, reader) {
    if (node.kind !== "map") return reader.refuse(node, this.expects);
    const type = required(sinkType, "jsonl or cloudwatch");
    const named = node.entries.get("type");
    const isCloudwatch = named?.kind === "scalar" && named.text === "cloudwatch";
    const keys = isCloudwatch ? { type, ...CLOUDWATCH_SINK } : { type, ...JSONL_SINK };
    return record(keys).read(node, reader);
  },
};

const DATABASE = {
  pool_size: key(integer(1, 1_000), "5", "connections of one node"),
  connect_timeout: key(duration("100ms", "5m"), "5s", "until there is a connection to use"),
  statement_timeout: key(duration("100ms", "1h"), "10s", "of one statement"),
  idle_timeout: key(duration("1s", "24h"), "5m", "after which an unused connection is closed"),
  tls: optional(
    choice(["off", "on", "no_verify"]),
    "off, on, or no_verify (trusts anyone in between)",
    "sslmode of the URL, else off",
  ),
  tls_ca_file: optional(
    text("a file name"),
    "PEM certificates that sign the server's",
    "sslrootcert of the URL, else the machine's",
  ),
  tls_server_name: optional(text("a host name"), "in its certificate", "the host of the URL"),
  transaction_pooler: key(flag(), "false", "PgBouncer or the like stands in between"),
};

const USAGE = {
  fsync_interval: key(duration("1ms", "1h"), "50ms", "between two writes through to the disk"),
  ship_interval: key(duration("1ms", "1h"), "200ms", "between two batches to the database"),
  ship_batch: key(integer(1, 100_000), "500", "turns in one batch"),
  durability: key(choice(["process", "power_loss"]), "process", "what a turn survives"),
  spool_max: key(size("1MiB"), "1GiB", "not yet shipped; beyond: refuse"),
  spool_keep: optional(
    duration("0", "365d"),
    "how long shipped segments are kept",
    "24h with PostgreSQL, 0 with SQLite",
  ),
  retention: key(duration("0", "36500d"), "400d", "how long the database keeps turns"),
  sinks: many(list(sink, 16), "{type: jsonl, path} or {type: cloudwatch, group, stream, …}"),
};

const TELEMETRY = {
  otlp_endpoint: optional(url(["http", "https"]), "where traces and metrics go"),
  otlp_protocol: key(choice(["http/protobuf", "http/json", "grpc"]), "http/protobuf", "how"),
  export_interval: key(duration("100ms", "1h"), "1s", "between two exports"),
  headers: optional(table(headerName, secret(headerValue)), "sent with each export"),
};

const HTTP_CACHE = {
  enabled: key(flag(), "false", "keep responses that may be reused"),
  backend: key(choice(["memory", "redis"]), "memory", "where"),
  redis_url: optional(secretUrl(["redis", "rediss"]), "for backend redis"),
  max_bytes: key(size(), "256MiB", "of all of them"),
  max_object_bytes: key(size(), "1MiB", "of one"),
  default_ttl: key(duration("0", "365d"), "0", "where the response says nothing"),
  share_across: key(choice(["token", "project"]), "token", "who may see another's response"),
};

const LOG = {
  level: key(
    choice(["trace", "debug", "info", "warn", "error"], { warning: "warn" }),
    "info",
    "least severe that is written",
  ),
  format: optional(
    choice(["json", "pretty"], { console: "pretty" }),
    "json or pretty",
    "json, pretty on a terminal",
  ),
  file: key(text("a file name, or -"), "-", "- is standard error"),
};

export const ROOT_KEYS = {
  http_port: optional(
    port,
    "cleartext HTTP/1.1; 0 takes any free port",
    "8080 where no port is named",
  ),
  http_bind_address: optional(
    address,
    "address of http_port",
    "0.0.0.0; 127.0.0.1 where no port is named",
  ),
  https_port: optional(port, "TLS; needs both files", "off; 443 with the files and no port at all"),
  https_bind_address: optional(address, "address of https_port", "0.0.0.0"),
  cert_file: optional(text("a file name"), "PEM certificate chain"),
  private_key_file: optional(text("a file name"), "PEM private key"),
  http_max_header_size: key(size(), "16KiB", "request line and headers, 1KiB to 1MiB; beyond: 431"),
  admin_port: key(port, "9090", "management API and /metrics"),
  admin_bind_address: key(address, "127.0.0.1", "address of admin_port"),
  admin_token: optional(
    secret(headerSecret),
    "Bearer token of the management API",
    "made in data_dir",
  ),
  admin_tokens: many(list(record(ADMIN), 100), "more of them, with names and roles"),
  data_dir: key(text("a folder name"), "./data", "everything that a node keeps on disk"),
  database_url: optional(
    secretUrl(["postgres", "postgresql"]),
    "postgres://…",
    "SQLite in data_dir",
  ),
  database: section(DATABASE, "connections to the server of database_url"),
  workers: key(integer(1, 1_024), "1", "nodes behind one port"),
  encryption_keys: many(
    oneOrMany(secret(encryptionKey), 100),
    "id:base64, newest first; SQLite: made in data_dir",
  ),
  auth: key(choice(["required", "open"]), "required", "open lets anyone in"),
  auth_open_anywhere: key(flag(), "false", "allow auth: open beyond this machine"),
  auth_keys: many(oneOrMany(secret(headerSecret), 10_000), "static client keys"),
  revocation_max_staleness: key(
    duration("0", "365d"),
    "0",
    "tokens are refused when the list is older; 0: never",
  ),
  tokens: section(TOKENS, "the tokens that we sign"),
  providers: optional(
    list(record(PROVIDER_KEYS), 1_000),
    "the upstreams",
    "openai, anthropic, gemini",
  ),
  default_provider: optional(PROVIDER_NAME, "takes what host and path do not decide"),
  default_api: optional(PROVIDER_NAME, "default_provider of a llm-proxy file"),
  apis: optional(table(PROVIDER_NAME, record(API_KEYS)), "providers of a llm-proxy file"),
  timeouts: section(TIMEOUT_KEYS, "0 is off"),
  limits: section(LIMITS, "0 is none"),
  graceful_shutdown_timeout: key(duration(), "30s", "the drain deadline"),
  health_check: optional(record(HEALTH_CHECK), "of all providers", "off"),
  health_check_interval: optional(duration("1s"), "old form of health_check"),
  circuit_breaker: optional(record(BREAKER_KEYS), "per provider"),
  retry: section(RETRY_KEYS, "before the first byte went downstream"),
  cors: section(CORS, "browsers"),
  service_tier_policy: optional(
    record(TIER_POLICY),
    "what service tiers may be asked for",
    "priority is filtered",
  ),
  usage: section(USAGE, "the ledger"),
  telemetry: optional(record(TELEMETRY), "OpenTelemetry", "off"),
  http_cache: optional(record(HTTP_CACHE), "of responses", "off"),
  connect_tunnel_enabled: key(flag(), "false", "CONNECT to a provider's host and port"),
  timing_headers: key(flag(), "true", "x-upstream-request-start and -stop on every response"),
  log: section(LOG, "the log"),
};

export type RootValues = Values<typeof ROOT_KEYS>;
