/**
 * From the text of a file and the environment to a `Config`.
 *
 * Owns: the order of the steps, and what follows from several keys together. Does not own: single
 * keys (`schema.ts`), files (`load.ts`).
 * Invariant: pure; either a complete configuration or a `ConfigError` with every problem.
 */

import { adminsOf } from "./admins.ts";
import type { Config } from "./config.ts";
import { reportUnavailable } from "./availability.ts";
import { databaseOf } from "./database.ts";
import { type ConfigNode, emptyMap, type MapNode, parseDocumentTree } from "./document.ts";
import { applyEnvironment } from "./environment.ts";
import type { Environment } from "./expand.ts";
import { listenersOf, type Report, reportOpen } from "./listeners.ts";
import { ConfigError, type ConfigProblem, inOrder } from "./problem.ts";
import {
  breakerOf,
  builtInProviders,
  type Inherited,
  providersOf,
  providersOfApis,
  timeoutsOf,
} from "./providers.ts";
import { BREAKER_KEYS } from "./provider_schema.ts";
import { type Place, Reader } from "./reader.ts";
import { fallbacksOf, record } from "./rule.ts";
import { ROOT_KEYS, type RootValues } from "./schema.ts";

export interface ConfigSource {
  /** The YAML; null: there is no file. */
  readonly text: string | null;
  readonly env: Environment;
  /** Whether standard error is a terminal, which decides `log.format`. */
  readonly terminal?: boolean;
  /** What is wrong with a service tier policy beside its keys, each at its place in the policy. */
  readonly checkServiceTierPolicy?: PolicyCheck;
}

type PolicyCheck = (
  policy: object,
) => readonly { readonly path: string; readonly message: string }[];

export interface ParsedConfig {
  readonly config: Config;
  readonly warnings: readonly ConfigProblem[];
  /** Every secret value that the configuration holds, for redaction. */
  readonly secrets: readonly string[];
}

const HEADER_BYTES_MIN = 1_024;
const HEADER_BYTES_MAX = 1_048_576;

const HEALTH_CHECK_INTERVAL_MS = 60_000;

/** A server that failed over may have lost what it acknowledged last. */
const SPOOL_KEEP_MS = 24 * 60 * 60 * 1_000;

const ROOT = record(ROOT_KEYS);

/**
 * Parses and validates a configuration.
 * @throws ConfigError with all problems at once
 */
export function parseConfig(source: ConfigSource): ParsedConfig {
  const document =
    source.text === null ? { root: emptyMap(), problems: [] } : parseDocumentTree(source.text);
  const reader = Reader.create(source.env);
  applyEnvironment(document.root, ROOT, source.env, reader);
  const values = ROOT.read(document.root, reader);
  if (values === undefined) throw new ConfigError(reader.problems);
  const config = new Assembly(values, document.root, reader, source).config();
  reportUnavailable(reader);
  const problems = [...document.problems, ...reader.problems];
  if (problems.length > 0) throw new ConfigError(problems);
  return { config, warnings: inOrder(reader.warnings), secrets: reader.secrets };
}

/** Combines the values of single keys. Runs even where some were wrong, to find all problems. */
class Assembly {
  readonly #values: RootValues;
  readonly #root: MapNode;
  readonly #reader: Reader;
  readonly #source: ConfigSource;
  readonly #report: Report = {
    problem: (path, message) => this.#problem(path, message),
    warn: (path, message) => this.#warn(path, message),
  };

  constructor(values: RootValues, root: MapNode, reader: Reader, source: ConfigSource) {
    this.#values = values;
    this.#root = root;
    this.#reader = reader;
    this.#source = source;
  }

  config(): Config {
    const values = this.#values;
    const listeners = listenersOf(values, (name) => this.#gives(name), this.#report);
    const inherited: Inherited = {
      timeouts: timeoutsOf(values.timeouts, NO_TIMEOUTS),
      retry: values.retry,
      circuitBreaker: breakerOf(values.circuit_breaker ?? fallbacksOf(BREAKER_KEYS)),
      auth: values.auth,
      saysAuth: this.#gives("auth"),
    };
    const providers = this.#providers(inherited);
    reportOpen(values, listeners, this.#report.problem);
    this.#checkEncryptionKeys();
    this.#checkCache();
    this.#checkCors();
    return {
      ...listeners,
      admins: adminsOf(values, (path, message) => this.#problem(path, message)),
      headerBytesMax: this.#headerBytesMax(),
      dataDir: values.data_dir,
      database: databaseOf(values, this.#report),
      workers: values.workers,
      encryptionKeys: values.encryption_keys,
      auth: values.auth,
      authOpenAnywhere: values.auth_open_anywhere,
      authKeys: values.auth_keys,
      revocationStalenessMaxMs: values.revocation_max_staleness,
      tokens: {
        issuer: values.tokens.issuer,
        audience: values.tokens.audience,
        algorithm: values.tokens.algorithm,
        maxLifetimeMs: values.tokens.max_lifetime,
        leewayMs: values.tokens.leeway,
      },
      providers,
      defaultProvider: this.#defaultProvider(providers),
      timeouts: inherited.timeouts,
      retry: inherited.retry,
      healthCheck: this.#healthCheck(),
      serviceTierPolicy: this.#serviceTierPolicy(),
      gracefulShutdownTimeoutMs: values.graceful_shutdown_timeout,
      timingHeaders: values.timing_headers,
      ...this.#groups(),
    };
  }

  /** Keys that go over one by one. */
  #groups(): Pick<Config, "cors" | "limits" | "usage" | "log"> {
    const { database_url, cors, limits, usage, log } = this.#values;
    const onTerminal = this.#source.terminal === true && log.file === "-";
    return {
      cors: {
        allowedOrigins: cors.allowed_origins,
        allowedMethods: cors.allowed_methods,
        allowedHeaders: cors.allowed_headers,
        allowCredentials: cors.allow_credentials,
        maxAgeMs: cors.max_age,
      },
      limits: {
        bodyBytesMax: limits.body,
        inspectBodyBytesMax: limits.inspect_body,
        inspectMemoryBytesMax: limits.inspect_memory,
        frameBytesMax: limits.frame,
        frameQueueBytesMax: limits.frame_queue,
        sessionsMax: limits.sessions === "auto" ? null : limits.sessions,
        sessionsPerTokenMax: limits.sessions_per_token,
        headerCountMax: limits.header_count,
        onStoreDown: limits.on_store_down,
        reserveOutputTokens: limits.reserve_output,
      },
      usage: {
        fsyncIntervalMs: usage.fsync_interval,
        shipIntervalMs: usage.ship_interval,
        shipBatch: usage.ship_batch,
        durability: usage.durability,
        spoolBytesMax: usage.spool_max,
        spoolKeepMs: usage.spool_keep ?? (database_url === null ? 0 : SPOOL_KEEP_MS),
        retentionMs: usage.retention,
      },
      log: {
        level: log.level,
        format: log.format ?? (onTerminal ? "pretty" : "json"),
        file: log.file,
      },
    };
  }

  /** OpenProxy's older files have only the interval, which switches it on. */
  #healthCheck(): Config["healthCheck"] {
    const { health_check: check, health_check_interval: intervalMs } = this.#values;
    if (check === null) return intervalMs === null ? null : { intervalMs };
    return check.enabled
      ? { intervalMs: check.interval ?? intervalMs ?? HEALTH_CHECK_INTERVAL_MS }
      : null;
  }

  #serviceTierPolicy(): Config["serviceTierPolicy"] {
    const { service_tier_policy: policy } = this.#values;
    const { problems } = this.#reader;
    // What is wrong in a key of it would show here once more, as something that follows.
    const isWrong = problems.some(({ path }) => path.startsWith("service_tier_policy"));
    if (policy === null || isWrong) return null;
    for (const { path, message } of this.#source.checkServiceTierPolicy?.(policy) ?? []) {
      this.#problem(`service_tier_policy.${path}`, message);
    }
    return policy;
  }

  #headerBytesMax(): number {
    const given = this.#values.http_max_header_size;
    const used = Math.min(Math.max(given, HEADER_BYTES_MIN), HEADER_BYTES_MAX);
    if (used !== given)
      this.#warn("http_max_header_size", `is taken as ${used}: it goes from 1KiB to 1MiB`);
    return used;
  }

  #providers(inherited: Inherited): Config["providers"] {
    const { providers, apis } = this.#values;
    const { problem: report, warn } = this.#report;
    if (providers !== null && apis !== null) report("apis", "cannot stand beside providers");
    if (apis !== null) {
      if (apis.length === 0) report("apis", "has no API in it");
      const { default_provider: ours, default_api: theirs } = this.#values;
      return providersOfApis(apis, ours ?? theirs, inherited, this.#report);
    }
    if (providers === null) {
      // A file whose providers are wrong in themselves has no use for the built-in ones.
      if (this.#gives("providers")) return [];
      return builtInProviders(this.#source.env, inherited, this.#reader);
    }
    if (providers.length === 0 && this.#isEmptyList("providers")) {
      report("providers", "is empty; leave it out for the built-in openai, anthropic and gemini");
    }
    return providersOf(this.#values, inherited, report, warn);
  }

  #defaultProvider(providers: Config["providers"]): string | null {
    const { default_provider: ours, default_api: theirs } = this.#values;
    // One that is wrong in another way has been reported, and still counts here.
    const names = new Set([
      ...providers.map(({ name }) => name),
      ...(this.#values.providers ?? []).flatMap(({ name }) => name ?? []),
      ...(this.#values.apis ?? []).map(([name]) => name),
    ]);
    const name = ours ?? theirs;
    const key = ours === null ? "default_api" : "default_provider";
    if (ours !== null && theirs !== null)
      this.#problem("default_api", "cannot stand beside default_provider");
    if (name !== null && !names.has(name)) {
      this.#problem(key, `"${name}" is no provider; there are ${[...names].join(", ") || "none"}`);
    }
    return name;
  }

  #checkEncryptionKeys(): void {
    const ids = this.#values.encryption_keys.map(({ id }) => id);
    const twice = ids.find((id, index) => ids.indexOf(id) !== index);
    if (twice !== undefined) this.#problem("encryption_keys", `has two keys with the id ${twice}`);
    // Keys that are wrong in themselves have been reported.
    const isGiven = this.#gives("encryption_keys") && !this.#isEmptyList("encryption_keys");
    if (this.#values.database_url === null || isGiven) return;
    const advice = "Make one, and give it to every node: sluice keys generate";
    this.#problem("encryption_keys", `is missing, and PostgreSQL needs it. ${advice}`);
  }

  #checkCache(): void {
    const cache = this.#values.http_cache;
    if (cache?.backend === "redis" && cache.redis_url === null) {
      this.#problem("http_cache.redis_url", "is missing: backend redis needs it");
    }
  }

  /** Any page whatever could then act with what the user's browser holds. */
  #checkCors(): void {
    const { cors, providers, apis } = this.#values;
    const all = [cors, ...(providers ?? []), ...(apis ?? []).map(([, api]) => api)];
    if (!cors.allow_credentials) return;
    if (!all.some(({ allowed_origins: list }) => list?.includes("*"))) return;
    this.#problem("cors.allow_credentials", "cannot be true where allowed_origins has *");
  }

  #gives(name: string): boolean {
    const node = this.#root.entries.get(name);
    return node !== undefined && !(node.kind === "scalar" && node.text === null);
  }

  #isEmptyList(name: string): boolean {
    const node = this.#root.entries.get(name);
    return node?.kind === "list" && node.items.length === 0;
  }

  #problem(path: string, message: string): void {
    this.#reader.problem(this.#placeOf(path), message);
  }

  #warn(path: string, message: string): void {
    this.#reader.warn(this.#placeOf(path), message);
  }

  /** The line of the key, or where it is missing, of what should hold it. */
  #placeOf(path: string): Place {
    const node = find(this.#root, path);
    const line = node === this.#root ? null : node.line;
    return { path, line, variable: node.path === path ? node.variable : null };
  }
}

const NO_TIMEOUTS = {
  requestMs: 0,
  dialMs: 0,
  responseHeaderMs: 0,
  idleMs: 0,
  writeMs: 0,
  firstFrameMs: 0,
  betweenTurnsMs: 0,
  pingMs: 0,
  drainAfterDisconnectMs: 0,
};

/** The node at `path`, else the nearest one that contains it. */
function find(root: ConfigNode, path: string): ConfigNode {
  let node = root;
  for (;;) {
    const children =
      node.kind === "map" ? [...node.entries.values()] : node.kind === "list" ? node.items : [];
    const next = children.find((child) => {
      return (
        path === child.path ||
        path.startsWith(`${child.path}.`) ||
        path.startsWith(`${child.path}[`)
      );
    });
    if (next === undefined) return node;
    node = next;
  }
}
