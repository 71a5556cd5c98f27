/**
 * The providers that a configuration means: of the file, of a llm-proxy file, or built in.
 *
 * Owns: names, keys that inherit or exclude one another, credentials with their weights.
 * Does not own: choosing among providers.
 * Invariant: names are unique, and every provider returned has an upstream.
 */

import type { ProviderType } from "../exchange.ts";
import type {
  ApiKeyConfig,
  CircuitBreakerConfig,
  Config,
  CredentialConfig,
  ProbeConfig,
  ProviderConfig,
  RetryConfig,
  TimeoutsConfig,
} from "./config.ts";
import { certificateFilesOf, connectionOf, connectionOfApi } from "./connection.ts";
import { pathOf } from "./document.ts";
import type { Environment } from "./expand.ts";
import {
  type ApiValues,
  type CredentialText,
  PROVIDER_KEYS,
  type ProviderValues,
} from "./provider_schema.ts";
import type { Reader } from "./reader.ts";
import { fallbacksOf } from "./rule.ts";
import { headerSecret } from "./scalars.ts";
import type { RootValues } from "./schema.ts";
import { parseEndpoint, upstreamOf } from "./upstream.ts";

/** What every provider starts from. */
export interface Inherited {
  readonly timeouts: TimeoutsConfig;
  readonly retry: RetryConfig;
  readonly circuitBreaker: CircuitBreakerConfig;
  readonly auth: Config["auth"];
  /** Whether it was written, and is not only the default. */
  readonly saysAuth: boolean;
}

/** Takes the path of a key and what there is to say about it. */
type Report = (path: string, message: string) => void;

const BUILT_IN = ["openai", "anthropic", "gemini"] as const;

/**
 * The providers in the order of the file.
 * @param report called with the path of a key and what is wrong with it
 * @param warn the same for what is only worth knowing
 */
export function providersOf(
  values: RootValues,
  inherited: Inherited,
  report: Report,
  warn: Report,
): ProviderConfig[] {
  const given = values.providers ?? [];
  const taken = new Set(given.flatMap(({ name }) => name ?? []));
  const providers = given.flatMap((provider, index) => {
    const path = `providers[${index}]`;
    const type = provider.type;
    // That it is missing or wrong has been reported.
    if (type === null) return [];
    const name = provider.name ?? freeName(type, taken);
    const at: Report = (name, message) => report(pathOf(path, name), message);
    const hint: Report = (name, message) => warn(pathOf(path, name), message);
    return build(provider, { name, type }, inherited, at, hint) ?? [];
  });
  reportSameNames(given, report);
  return providers;
}

/**
 * The providers of a llm-proxy file's `apis`, as `providers` has them. Each is an API of its own,
 * not one of several that share the requests: where two speak the same protocol, the default one,
 * else the first, is served at the root, and every other one under its name.
 */
export function providersOfApis(
  apis: readonly (readonly [string, ApiValues])[],
  defaultApi: string | null,
  inherited: Inherited,
  { problem, warn }: { readonly problem: Report; readonly warn: Report },
): ProviderConfig[] {
  const atRoot = new Map<ProviderType, string>();
  const byDefault = apis.toSorted(
    ([one], [other]) => Number(other === defaultApi) - Number(one === defaultApi),
  );
  for (const [name, api] of byDefault) {
    const type = typeOfApi(name, api);
    if (!atRoot.has(type)) atRoot.set(type, name);
  }
  return apis.flatMap(([name, api]) => {
    const path = pathOf("apis", name);
    const at: Report = (key, message) => problem(pathOf(path, key), message);
    const hint: Report = (key, message) => warn(`${path}.${key}`, message);
    for (const key of ["allowed_endpoints", "allowed_methods"] as const) {
      if (api[key] === null || api[key].length === 0)
        at(key, "is missing: a llm-proxy file names them");
    }
    if (api.base_url === null) return [];
    const type = typeOfApi(name, api);
    const first = atRoot.get(type) ?? name;
    if (first !== name) warn(path, `is served under /${name}, because ${first} speaks ${type} too`);
    const { timeouts, allowed_endpoints, allowed_methods } = api;
    const { allowed_origins, required_headers, param_whitelist } = api;
    const provider: ProviderValues = {
      ...fallbacksOf(PROVIDER_KEYS),
      host: first === name ? null : { host: null, pathPrefix: `/${name}` },
      endpoint: api.base_url,
      allowed_endpoints,
      allowed_methods,
      allowed_origins,
      required_headers,
      param_whitelist,
      timeouts: {
        ...fallbacksOf(PROVIDER_KEYS).timeouts,
        request: timeouts.request,
        response_header: timeouts.response_header,
      },
      connection: connectionOfApi(api, hint),
    };
    return build(provider, { name, type }, inherited, at, hint) ?? [];
  });
}

/** openai, anthropic and gemini, with the credential and address the environment has for them. */
export function builtInProviders(
  env: Environment,
  inherited: Inherited,
  reader: Reader,
): ProviderConfig[] {
  return BUILT_IN.flatMap((type) => {
    const [apiKey, baseUrl] = [`${type.toUpperCase()}_API_KEY`, `${type.toUpperCase()}_BASE_URL`];
    const problem = (variable: string, message: string) =>
      reader.problem(
        { path: "", line: null, variable: null },
        `the variable ${variable} ${message}`,
      );
    const key = env[apiKey] ?? "";
    const endpoint = env[baseUrl] ? parseEndpoint(env[baseUrl]) : null;
    reader.addSecret(key);
    if (endpoint === undefined) problem(baseUrl, "must be a URL without query and password");
    if (key !== "" && headerSecret.convert(key) === undefined) {
      problem(apiKey, `must be ${headerSecret.expects}`);
    }
    const provider: ProviderValues = {
      ...fallbacksOf(PROVIDER_KEYS),
      endpoint: endpoint ?? null,
      api_key: key === "" ? null : [{ text: key, isCommand: false }],
    };
    return build(provider, { name: type, type }, inherited, problem, problem) ?? [];
  });
}

/** OpenProxy never asks callers of such a provider for a key, here they need one by default. */
const OPEN_OR_NOT =
  "is missing: write auth: open where anyone may use this provider of type forward, as OpenProxy " +
  "has it, or auth: required where callers need a token or key";

function build(
  values: ProviderValues,
  { name, type }: { name: string; type: ProviderType },
  inherited: Inherited,
  report: Report,
  warn: Report,
): ProviderConfig | null {
  if (values.endpoint !== null && values.base_url !== null) {
    report("base_url", "says the same as endpoint; keep one of them");
  }
  const endpoint = values.endpoint ?? values.base_url;
  const keys = { type, endpoint, port: values.port, tls: values.tls, basePath: values.base_path };
  const upstream = upstreamOf(keys, report);
  const credentials = credentialsOf(values, type, report, warn);
  if (type === "forward" && values.auth === null && !inherited.saysAuth) {
    report("auth", OPEN_OR_NOT);
  }
  if (upstream === null) return null;
  return {
    name,
    type,
    host: values.host?.host ?? null,
    pathPrefix: values.host?.pathPrefix ?? "",
    upstream,
    weight: credentials.weight,
    priority: values.priority,
    isFallback: values.is_fallback,
    apiKeys: credentials.apiKeys,
    authHeader: values.auth_header,
    authValue: credentials.authValue,
    auth: values.auth ?? inherited.auth,
    authKeys: values.auth_keys,
    headersStrip: values.headers.strip,
    headersInject: Object.fromEntries(values.headers.inject),
    timeouts: timeoutsOf(values.timeouts, inherited.timeouts),
    retry: {
      attempts: values.retry.attempts ?? inherited.retry.attempts,
      on: values.retry.on ?? inherited.retry.on,
    },
    circuitBreaker:
      values.circuit_breaker === null
        ? inherited.circuitBreaker
        : breakerOf(values.circuit_breaker),
    probe: probeOf(values.health_check, report),
    models: new Map(values.models ?? []),
    allowedModels: values.allowed_models,
    allowedOrigins: values.allowed_origins,
    requiredHeaders: headerValuesOf(values.required_headers),
    paramWhitelist: new Map(values.param_whitelist ?? []),
    allowedEndpoints: values.allowed_endpoints,
    allowedMethods: values.allowed_methods,
    credentialKind: values.credential_kind ?? credentials.kind,
    injectStreamUsage: values.inject_stream_usage,
    xForwardedFor: values.x_forwarded_for ?? (type === "forward" ? "append" : "strip"),
    connection: connectionOf(values),
    egressProxy: values.egress_proxy,
    certificateFiles: certificateFilesOf(values, upstream.tls, report),
    certificates: { ca: null, cert: null, key: null },
  };
}

/** The breaker that `circuit_breaker` describes. */
export function breakerOf(
  values: NonNullable<ProviderValues["circuit_breaker"]>,
): CircuitBreakerConfig {
  const { failures, cooldown, statuses } = values;
  return { failures, cooldownMs: cooldown, statuses };
}

function probeOf(values: ProviderValues["health_check"], report: Report): ProbeConfig | null {
  if (values === null) return null;
  const { method, path, body, headers } = values;
  if (body !== null && (method === "GET" || method === "HEAD")) {
    report("health_check", `has a body, which ${method} cannot send; add method: POST`);
  }
  return { method, path: path ?? "/", body, headers };
}

/** Each timeout of `values`, or where it is null the one of `base`. */
export function timeoutsOf(
  values: ProviderValues["timeouts"],
  base: TimeoutsConfig,
): TimeoutsConfig {
  return {
    requestMs: values.request ?? base.requestMs,
    dialMs: values.dial ?? base.dialMs,
    responseHeaderMs: values.response_header ?? base.responseHeaderMs,
    idleMs: values.idle ?? base.idleMs,
    writeMs: values.write ?? base.writeMs,
    firstFrameMs: values.first_frame ?? base.firstFrameMs,
    betweenTurnsMs: values.between_turns ?? base.betweenTurnsMs,
    pingMs: values.ping ?? base.pingMs,
    drainAfterDisconnectMs: values.drain_after_disconnect ?? base.drainAfterDisconnectMs,
  };
}

interface Credentials {
  readonly apiKeys: readonly ApiKeyConfig[];
  readonly authValue: CredentialConfig | null;
  readonly weight: number;
  /** Where the configuration does not say. */
  readonly kind: ProviderConfig["credentialKind"];
}

/** OpenProxy runs its command for each request; a minute is within the life of every token. */
const CREDENTIAL_TTL_MS = 60_000;

/** What a minted token begins with: in a shell set up to use sluice, OPENAI_API_KEY is one. */
const OWN_TOKEN_PREFIX = "sk-sluice-";

/**
 * `api_key` behind `api_keys`, as OpenProxy has it. There each key is a provider of its own with
 * the key's weight, so the provider as a whole weighs what its keys weigh together.
 */
function credentialsOf(
  values: ProviderValues,
  type: ProviderType,
  report: Report,
  warn: Report,
): Credentials {
  const ttlMs = values.credential_ttl ?? CREDENTIAL_TTL_MS;
  const read = ({ text, isCommand }: CredentialText): CredentialConfig =>
    isCommand ? { command: text, ttlMs } : text;
  const listed = values.api_keys.flatMap(({ key, weight }) =>
    key === null ? [] : { key: read(key), weight: weight ?? values.weight },
  );
  const single = (values.api_key ?? []).map((key) => ({ key: read(key), weight: values.weight }));
  const all = [...listed, ...single];
  const given = values.auth_value === null ? null : read(values.auth_value);
  const isPrinted = [...all.map(({ key }) => key), given].some(
    (key) => key !== null && typeof key === "object",
  );
  if (values.credential_ttl !== null && !isPrinted) {
    warn("credential_ttl", "is not used: it is about a $(command), and there is none");
  }
  const kind = isPrinted && type === "anthropic" ? "oauth" : "api_key";
  const sendsNone = all.length > 0 && all.every(({ key }) => key === "");
  if (!sendsNone && all.some(({ key }) => key === "")) {
    report("api_key", 'has an empty credential beside others; "" alone means that none is sent');
  }
  if (all.some(({ key }) => typeof key === "string" && key.startsWith(OWN_TOKEN_PREFIX))) {
    report("api_key", "is a token of sluice; it must be the provider's own key");
  }
  if (values.auth_value !== null && all.length > 0 && !sendsNone) {
    report("auth_value", "is the whole header value, so the api_key would not be used; keep one");
  }
  if (type === "forward" && all.length > 0) {
    warn(
      "api_key",
      "is not used: a provider of type forward passes on the caller's own credential",
    );
    return { apiKeys: [], authValue: given, weight: values.weight, kind };
  }
  const weight = all.length === 0 ? values.weight : all.reduce((sum, one) => sum + one.weight, 0);
  if (all.length > 1 && weight === 0) report("api_keys", "all have weight 0; one must have more");
  return {
    apiKeys: sendsNone ? [] : all,
    authValue: given ?? (sendsNone ? "" : null),
    weight,
    kind,
  };
}

/** An entry without a value asks for the header alone. */
function headerValuesOf(entries: ProviderValues["required_headers"]): Map<string, string[]> {
  const byName = Map.groupBy(entries, ({ name }) => name);
  return new Map([...byName].map(([name, own]) => [name, own.flatMap(({ value }) => value ?? [])]));
}

function freeName(type: string, taken: Set<string>): string {
  let name = type;
  for (let number = 2; taken.has(name); number++) name = `${type}-${number}`;
  taken.add(name);
  return name;
}

function reportSameNames(given: readonly ProviderValues[], report: Report): void {
  const first = new Map<string, number>();
  for (const [index, { name }] of given.entries()) {
    if (name === null) continue;
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, index);
    else report(`providers[${index}].name`, `"${name}" is also the name of providers[${earlier}]`);
  }
}

/** A llm-proxy file says nothing of the protocol; its address does, or its name. */
function typeOfApi(name: string, { type, base_url }: ApiValues): ProviderType {
  const known = (part: string): boolean =>
    base_url?.hostname.includes(part) === true || name.toLowerCase().includes(part);
  if (type !== null) return type;
  if (known("anthropic")) return "anthropic";
  return known("generativelanguage") || known("gemini") ? "gemini" : "openai";
}
