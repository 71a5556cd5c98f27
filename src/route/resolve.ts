/**
 * Which upstreams may serve a request, in the order in which they are tried.
 *
 * Owns: matching host, path prefix and protocol family; fallback, priority and weight.
 * Does not own: health, or which credential a project has.
 * Invariant: a pure function of the request, the configuration and `random`. The path of a
 * candidate is the path that its endpoint was found for, so what was authorised is what is
 * forwarded.
 */

import type { ProviderConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { ProviderType } from "../exchange.ts";
import type { Endpoint, Provider } from "../provider/provider.ts";

/** What routing looks at. */
export interface RouteRequest {
  readonly method: string;
  /** `Host` as it came. */
  readonly host: string;
  /** WHATWG-normalised, without query. */
  readonly path: string;
  /** Whether a WebSocket upgrade is asked for. */
  readonly upgrade: boolean;
  readonly headers: Headers;
}

interface RouteOptions {
  readonly providers: readonly ProviderConfig[];
  /** Name of the provider that takes what host and path do not decide; null: none. */
  readonly defaultProvider: string | null;
  providerOf(type: ProviderType): Provider;
  /** In [0, 1). */
  random(): number;
}

/** One upstream with one credential. */
export interface Candidate {
  readonly provider: ProviderConfig;
  readonly family: Provider;
  /** One of the configured keys; null: none is configured. */
  readonly apiKey: string | null;
  readonly endpoint: Endpoint;
  /** Without the provider's and the family's prefix; `target.ts` makes the upstream's of it. */
  readonly path: string;
}

/** The families in the order in which they claim a path that several have. */
const FAMILIES = ["openai", "anthropic", "gemini"] as const;

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** A provider that host and prefix allow, with the path that is left. */
interface Match {
  readonly provider: ProviderConfig;
  readonly path: string;
}

/**
 * The candidates, best first; never empty.
 *
 * @throws GatewayError `no_provider` where nothing is configured for the host or the family,
 * `endpoint_not_found` for an unknown path or an upgrade where none is relayed,
 * `method_not_allowed`. The 426 of a WebSocket path comes after authentication: see
 * `requireUpgrade`.
 */
export function resolve(request: RouteRequest, options: RouteOptions): Candidate[] {
  const matches = matchProviders(request, options.providers);
  if (matches.length === 0) throw new GatewayError("no_provider");
  const chosen = chooseFamily(matches, request, options);
  const candidates: Candidate[] = [];
  for (const { provider, path } of chosen) {
    const family = options.providerOf(provider.type);
    const endpoint = findEndpoint(family, request.method, path);
    if (endpoint === null || (request.upgrade && endpoint.websocket === "never")) continue;
    const keys = provider.apiKeys.length === 0 ? [null] : provider.apiKeys;
    for (const key of keys) {
      candidates.push({ provider, family, apiKey: key?.key ?? null, endpoint, path });
    }
  }
  if (candidates.length === 0) throw refusal(chosen, request, options);
  return candidates.length === 1 ? candidates : order(candidates, options.random);
}

/**
 * Refuses an ordinary request to a path that only exists as a WebSocket. Called after
 * authentication, because a caller without a token is told that first.
 * @throws GatewayError `websocket_required`
 */
export function requireUpgrade(endpoint: Endpoint, upgrade: boolean): void {
  if (upgrade || endpoint.websocket !== "only") return;
  throw new GatewayError("websocket_required", {
    headers: { upgrade: "websocket", connection: "Upgrade" },
  });
}

/** Host without port and case; an IPv6 address without its brackets. */
export function hostName(host: string): string {
  const lower = host.trim().toLowerCase();
  const bracketed = /^\[([^\]]*)\]/.exec(lower);
  if (bracketed !== null) return bracketed[1] ?? "";
  const colon = lower.indexOf(":");
  // Two colons and no brackets: an address without a port.
  return colon === -1 || colon !== lower.lastIndexOf(":") ? lower : lower.slice(0, colon);
}

/**
 * Those for the request's host and the longest of their prefixes; a named host comes before any.
 */
function matchProviders(request: RouteRequest, providers: readonly ProviderConfig[]): Match[] {
  const host = hostName(request.host);
  let best = -1;
  let matches: Match[] = [];
  for (const provider of providers) {
    if (provider.host !== null && hostName(provider.host) !== host) continue;
    const path = withoutPrefix(request.path, provider.pathPrefix);
    if (path === null) continue;
    const rank = (provider.host === null ? 0 : 1_000_000) + provider.pathPrefix.length;
    if (rank > best) matches = [];
    best = Math.max(best, rank);
    if (rank === best) matches.push({ provider, path });
  }
  return matches;
}

/** The path after `prefix`, or null where it is not under it: `/v1` is no prefix of `/v10`. */
function withoutPrefix(path: string, prefix: string): string | null {
  if (prefix === "") return path;
  if (path === prefix) return "/";
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : null;
}

/** Of providers that host and prefix leave open, those of the family that the request speaks. */
function chooseFamily(
  matches: readonly Match[],
  request: RouteRequest,
  options: RouteOptions,
): Match[] {
  const [first] = matches;
  if (first === undefined) return [];
  const { path } = first;
  const named = FAMILIES.find((type) => withoutPrefix(path, `/${type}`) !== null) ?? null;
  const types = new Set(matches.map((match) => match.provider.type));
  const type =
    types.size === 1
      ? first.provider.type
      : (named ?? familyOf(path, request, options) ?? defaultType(matches, options));
  // A `forward` provider has every path, so it takes the unknown ones only where it was named for
  // it.
  if (type === null) return matches.filter((match) => match.provider.type !== "forward");
  const rest = named === type ? (withoutPrefix(path, `/${type}`) ?? path) : path;
  // Google's SDK sends `//ws/…` to a base URL that ends in a slash.
  const single = type === "gemini" ? rest.replace(/^\/{2,}/, "/") : rest;
  const chosen = matches.filter((match) => match.provider.type === type);
  if (chosen.length === 0) throw new GatewayError("no_provider");
  return chosen.map(({ provider }) => ({ provider, path: single }));
}

/** The family whose path it is; null: of none. */
function familyOf(path: string, request: RouteRequest, options: RouteOptions): ProviderType | null {
  const claims = FAMILIES.flatMap((type) => {
    const family = options.providerOf(type);
    const endpoint =
      findEndpoint(family, request.method, path) ?? otherMethods(family, path)[0]?.endpoint;
    return endpoint === undefined ? [] : [{ type, endpoint }];
  });
  // `/v1/models/x:generateContent` is Gemini's, though it looks like a model's name to the others.
  const verb = claims.find(({ endpoint }) => endpoint.name.includes(":"));
  if (verb !== undefined) return verb.type;
  const types = claims.map((claim) => claim.type);
  if (types.length < 2) return types[0] ?? null;
  const { headers } = request;
  if (types.includes("anthropic") && headers.has("anthropic-version")) return "anthropic";
  if (types.includes("gemini") && headers.has("x-goog-api-key")) return "gemini";
  const preferred = options.providers.find(({ name }) => name === options.defaultProvider)?.type;
  return types.find((type) => type === preferred) ?? types[0] ?? null;
}

/** The default provider's family, where it is among the matches. */
function defaultType(matches: readonly Match[], options: RouteOptions): ProviderType | null {
  const match = matches.find(({ provider }) => provider.name === options.defaultProvider);
  return match?.provider.type ?? null;
}

/** HEAD is answered wherever GET is (RFC 9110 section 9.3.2). */
function findEndpoint(family: Provider, method: string, path: string): Endpoint | null {
  const endpoint = family.endpoint(method, path);
  return endpoint === null && method === "HEAD" ? family.endpoint("GET", path) : endpoint;
}

function otherMethods(family: Provider, path: string): { method: string; endpoint: Endpoint }[] {
  return METHODS.flatMap((method) => {
    const endpoint = family.endpoint(method, path);
    return endpoint === null ? [] : [{ method, endpoint }];
  });
}

/** Why none of `matches` can serve the request. */
function refusal(
  matches: readonly Match[],
  request: RouteRequest,
  options: RouteOptions,
): GatewayError {
  if (request.upgrade) {
    return new GatewayError("endpoint_not_found", { message: "No WebSocket endpoint here" });
  }
  const allowed = new Set<string>();
  for (const { provider, path } of matches) {
    const family = options.providerOf(provider.type);
    for (const { method } of otherMethods(family, path)) allowed.add(method);
  }
  if (allowed.size === 0) return new GatewayError("endpoint_not_found");
  return new GatewayError("method_not_allowed", { headers: { allow: [...allowed].join(", ") } });
}

/** No fallback before the others, then by priority, then drawn by weight. */
function order(candidates: readonly Candidate[], random: () => number): Candidate[] {
  const groups = Map.groupBy(candidates, ({ provider }) => rankOf(provider));
  const ranks = [...groups.keys()].sort((a, b) => b - a);
  return ranks.flatMap((rank) => draw(groups.get(rank) ?? [], random));
}

function rankOf(provider: ProviderConfig): number {
  // The sign keeps every fallback behind every other, whatever its priority.
  return (provider.isFallback ? 0 : Number.MAX_SAFE_INTEGER / 2) + provider.priority;
}

/** A permutation in which each next one is drawn with the probability of its weight. */
function draw(group: readonly Candidate[], random: () => number): Candidate[] {
  const left = group.map((candidate) => ({ candidate, weight: weightOf(candidate) }));
  const drawn: Candidate[] = [];
  while (left.length > 1) {
    let at = random() * left.reduce((sum, { weight }) => sum + weight, 0);
    const index = left.findIndex(({ weight }) => (at -= weight) < 0);
    // Only weights of 0 are left.
    const [next] = left.splice(Math.max(0, index), 1);
    if (next !== undefined) drawn.push(next.candidate);
  }
  return [...drawn, ...left.map(({ candidate }) => candidate)];
}

/** A provider's weight is shared out among its keys. */
function weightOf({ provider, apiKey }: Candidate): number {
  const { apiKeys, weight } = provider;
  const sum = apiKeys.reduce((total, key) => total + key.weight, 0);
  const own = apiKeys.find(({ key }) => key === apiKey)?.weight;
  return own === undefined || sum === 0 ? weight : (weight * own) / sum;
}
