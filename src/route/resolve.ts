/**
 * What a request asks for: which endpoint, of which protocol family, and who could serve it.
 *
 * Owns: the family of a path and its endpoint. Does not own: matching host and prefix (`table.ts`),
 * the choice among those who could (`choose.ts`).
 * Invariant: a pure function of the request and the configuration. The path of a route is the path
 * that its endpoint was found for, so what was authorised is what is forwarded.
 */

import { GatewayError } from "../errors.ts";
import type { ProviderType } from "../exchange.ts";
import type { Endpoint, Provider } from "../provider/provider.ts";
import { lookUp, type Pool, type RoutingTable, type Served, withoutPrefix } from "./table.ts";

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

/** Where a request could go. */
export interface Route {
  readonly method: string;
  readonly family: Provider;
  readonly endpoint: Endpoint;
  /** Without the provider's and the family's prefix; `target.ts` makes the upstream's of it. */
  readonly path: string;
  readonly pool: Pool;
}

/** The families of the protocols, by type. */
type ProviderOf = (type: ProviderType) => Provider;

/** The families in the order in which they claim a path that several have. */
const FAMILIES = ["openai", "anthropic", "gemini"] as const;

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/**
 * The route of a request.
 *
 * @throws GatewayError `endpoint_not_found` for an unknown path or an upgrade that is not relayed,
 * `method_not_allowed`, `no_provider` where what is asked for exists, but not here: whoever is not
 * known is to be told 401 of that. The 426 of a WebSocket path comes after authentication: see
 * `requireUpgrade`.
 */
export function resolve(request: RouteRequest, table: RoutingTable, providerOf: ProviderOf): Route {
  const found = lookUp(table, request.host, request.path);
  if (found === null) throw unserved(request, table, providerOf);
  const { served, path: rest } = found;
  const named = nameIn(rest);
  const type = typeOf(served, named, rest, request, table, providerOf);
  const pool = served.pools.find((one) => one.type === type);
  // Of no family's: where several are served, nobody's.
  if (type === null || pool === undefined) throw unserved(request, table, providerOf);
  const path = pathIn(type, named === type ? named : null, rest);
  const family = providerOf(type);
  const endpoint = endpointFor(request, family, path);
  if (endpoint === null) throw unserved(request, table, providerOf);
  return { method: request.method, family, endpoint, path, pool };
}

/**
 * The protocol that a request speaks by itself, wherever it goes: in its words a caller is refused
 * who is not known, and learns nothing from them of what is served under a host.
 */
export function dialectOf(
  request: Pick<RouteRequest, "path" | "headers">,
  table: RoutingTable,
  providerOf: ProviderOf,
): ProviderType {
  for (const path of withoutPrefixes(request.path, table)) {
    const type = nameIn(path) ?? claimantOf(path, request, { defaultType: null }, providerOf);
    if (type !== null) return type;
  }
  return "openai";
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

/** The methods that a family has for a path. */
export function methodsOf(family: Provider, path: string): string[] {
  return METHODS.filter((method) => family.endpoint(method, path) !== null);
}

/** The family that the request speaks; null: none that can be told. */
function typeOf(
  { pools, defaultType }: Served,
  named: ProviderType | null,
  path: string,
  request: RouteRequest,
  table: RoutingTable,
  providerOf: ProviderOf,
): ProviderType | null {
  const [sole] = pools;
  if (sole !== undefined && pools.length === 1) return sole.type;
  // A `forward` provider has every path, so it takes the unknown ones only where it was named for
  // it.
  return named ?? claimantOf(path, request, table, providerOf) ?? defaultType;
}

/** The family whose path it is; null: of none. */
function claimantOf(
  path: string,
  { headers }: Pick<RouteRequest, "headers">,
  { defaultType }: Pick<RoutingTable, "defaultType">,
  providerOf: ProviderOf,
): ProviderType | null {
  const types = FAMILIES.filter((type) => providerOf(type).has(path));
  if (types.length < 2) return types[0] ?? null;
  // `/v1/models/x:generateContent` is Gemini's, though it looks like a model's name to the others.
  const verb = types.find((type) => endpointOf(providerOf(type), path)?.name.includes(":"));
  if (verb !== undefined) return verb;
  if (types.includes("anthropic") && headers.has("anthropic-version")) return "anthropic";
  if (types.includes("gemini") && headers.has("x-goog-api-key")) return "gemini";
  return types.find((type) => type === defaultType) ?? types[0] ?? null;
}

/** The family that the path names with its first segment. */
function nameIn(path: string): (typeof FAMILIES)[number] | null {
  return FAMILIES.find((type) => withoutPrefix(path, `/${type}`) !== null) ?? null;
}

/** The path as the family knows it. */
function pathIn(type: ProviderType, named: ProviderType | null, path: string): string {
  const bare = named === null ? path : (withoutPrefix(path, `/${named}`) ?? path);
  // Google's SDK sends `//ws/…` to a base URL that ends in a slash.
  return type === "gemini" ? bare.replace(/^\/{2,}/, "/") : bare;
}

/** Null: there is none, or an upgrade is asked for where none is relayed. */
function endpointFor(
  { method, upgrade }: Pick<RouteRequest, "method" | "upgrade">,
  family: Provider,
  path: string,
): Endpoint | null {
  const endpoint = findEndpoint(family, method, path);
  return endpoint === null || (upgrade && endpoint.websocket === "never") ? null : endpoint;
}

/** HEAD is answered wherever GET is (RFC 9110 section 9.3.2). */
function findEndpoint(family: Provider, method: string, path: string): Endpoint | null {
  const endpoint = family.endpoint(method, path);
  return endpoint === null && method === "HEAD" ? family.endpoint("GET", path) : endpoint;
}

/** Of the first method that has one. */
function endpointOf(family: Provider, path: string): Endpoint | null {
  for (const method of METHODS) {
    const endpoint = family.endpoint(method, path);
    if (endpoint !== null) return endpoint;
  }
  return null;
}

/**
 * Why there is no route. It depends on the request alone and not on what is served where, so that a
 * stranger learns nothing of that.
 */
function unserved(
  request: RouteRequest,
  table: RoutingTable,
  providerOf: ProviderOf,
): GatewayError {
  const allowed = new Set<string>();
  for (const rest of withoutPrefixes(request.path, table)) {
    const named = nameIn(rest);
    for (const type of named === null ? FAMILIES : [named]) {
      const family = providerOf(type);
      const path = pathIn(type, named, rest);
      if (endpointFor(request, family, path) !== null) return new GatewayError("no_provider");
      for (const method of methodsOf(family, path)) allowed.add(method);
    }
  }
  if (request.upgrade) {
    return new GatewayError("endpoint_not_found", { message: "No WebSocket endpoint here" });
  }
  if (allowed.size === 0) return new GatewayError("endpoint_not_found");
  return new GatewayError("method_not_allowed", { headers: { allow: [...allowed].join(", ") } });
}

/** The path, and what would be left of it behind each prefix that some host may have. */
function* withoutPrefixes(path: string, { prefixDepth }: RoutingTable): Generator<string> {
  let at = 0;
  for (let depth = 0; depth <= prefixDepth && at !== -1; depth += 1) {
    yield path.slice(at);
    at = path.indexOf("/", at + 1);
  }
}
