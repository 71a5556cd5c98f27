/**
 * Which header fields cross the gateway, and which it adds.
 *
 * Owns: request headers for the upstream (HTTP and upgrade), response headers for the client.
 * Does not own: the credential itself, or the framing of bodies.
 * Invariant: nothing of ours and no credential of the client's goes upstream, nothing that only
 * concerns one connection crosses (RFC 9110 section 7.6.1), and no value can start another header
 * line.
 */

import type { ProviderConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { CredentialStyle, Provider } from "../provider/provider.ts";

export type HeaderPair = readonly [name: string, value: string];

/** What of a provider's configuration decides headers. */
export type HeaderPolicy = Pick<
  ProviderConfig,
  "type" | "headersStrip" | "headersInject" | "xForwardedFor"
>;

/** What of it decides the credential's header. */
export interface CredentialPolicy extends Pick<
  ProviderConfig,
  "name" | "type" | "authHeader" | "credentialKind"
> {
  /** The whole value of the header; "" injects nothing, null: made of the key. */
  readonly authValue: string | null;
}

/** What of a request decides where its credential goes. */
interface CredentialRequest {
  readonly style: CredentialStyle;
  readonly path: string;
}

export interface UpstreamHeaderOptions {
  readonly provider: HeaderPolicy;
  /** From `credentialHeaders`. */
  readonly credential: readonly HeaderPair[];
  /** Becomes `x-request-id` where the client sent none. */
  readonly requestId: string;
  readonly remoteAddress: string;
  /** Whether the client came over TLS. */
  readonly secure: boolean;
}

const HOP_BY_HOP = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Set by whoever sends the message; never copied. `expect` was answered by the listener. */
const PER_MESSAGE = new Set(["content-length", "expect", "host"]);

const CREDENTIALS = new Set(["authorization", "x-api-key", "api-key", "x-goog-api-key"]);

/** What a credential needs of these is added to what the client lists. */
const LISTS = new Set(["anthropic-beta"]);

/** Say who the client is or what stands between it and us. */
const CLIENT_ADDRESS = new Set([
  "cf-connecting-ip",
  "fly-client-ip",
  "forwarded",
  "true-client-ip",
  "via",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-original-forwarded-for",
  "x-real-ip",
]);

/**
 * What a field value may hold (RFC 9110 section 5.5): no CR, LF, NUL or other control character.
 */
// deno-lint-ignore no-control-regex
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * The provider's credential as headers.
 *
 * `auth_header` replaces the name (with `Bearer` only on `authorization`), `auth_value` the whole
 * value; an empty `auth_value` injects nothing.
 *
 * @param key null: there is none
 * @param request how its client sent its own token, and the path without prefix and query
 * @param projectId whose request it is, for the message that says that nothing was sent
 * @throws GatewayError `upstream_auth_failed` when a key is needed and missing, or no header can
 * carry it
 */
export function credentialHeaders(
  provider: CredentialPolicy,
  family: Provider,
  key: string | null,
  request: CredentialRequest,
  projectId: string,
): readonly HeaderPair[] {
  const pairs = configuredCredential(provider, family, key, request, projectId);
  if (pairs.every(([, value]) => FIELD_VALUE.test(value))) return pairs;
  throw new GatewayError("upstream_auth_failed", {
    message: `The credential for provider ${provider.name} does not fit into a header`,
  });
}

/** Whether what goes upstream as a credential is ours, so that its refusal is ours to mend. */
export function injectsCredential({
  type,
  authValue,
}: Pick<ProviderConfig, "type" | "authValue">): boolean {
  return type !== "forward" && authValue !== "";
}

function configuredCredential(
  provider: CredentialPolicy,
  family: Provider,
  key: string | null,
  request: CredentialRequest,
  projectId: string,
): readonly HeaderPair[] {
  const { authHeader, authValue, type } = provider;
  const { style, path } = request;
  if (authValue === "" || key === "" || (type === "forward" && key === null)) return [];
  if (authValue !== null) return [[authHeader ?? "authorization", authValue]];
  if (key === null) {
    throw new GatewayError("upstream_auth_failed", {
      message: `Project ${projectId} has no credential for provider ${provider.name}`,
    });
  }
  if (authHeader === null) {
    return family.credentialHeaders(key, style, provider.credentialKind, path);
  }
  const bearer = authHeader.toLowerCase() === "authorization";
  return [[authHeader, bearer ? `Bearer ${key}` : key]];
}

/** The headers of a request to the upstream. */
export function upstreamHeaders(client: Headers, options: UpstreamHeaderOptions): Headers {
  // A copy without the few that stay costs less than one made field by field.
  const headers = new Headers(client);
  const hops = namedByConnection(client);
  for (const [name, value] of client) {
    if (!isForUpstream(name, value, hops, options.provider)) headers.delete(name);
  }
  addForwarded(headers, options);
  if (!headers.has("x-request-id")) headers.set("x-request-id", options.requestId);
  for (const name of options.provider.headersStrip) headers.delete(name);
  for (const [name, value] of options.credential) {
    if (LISTS.has(name)) addToList(headers, name, value);
    else headers.set(name, value);
  }
  for (const [name, value] of Object.entries(options.provider.headersInject)) {
    headers.set(name, value);
  }
  // The runtime's `fetch` would put its own name and `*/*` where there is none.
  if (!headers.has("user-agent")) headers.set("user-agent", "");
  if (!headers.has("accept")) headers.set("accept", "");
  return headers;
}

/**
 * The headers of a WebSocket upgrade at the upstream, without those that the handshake itself
 * consists of (`host`, `connection`, `upgrade`, `sec-websocket-*`).
 */
export function upstreamUpgradeHeaders(
  client: Headers,
  options: UpstreamHeaderOptions,
): HeaderPair[] {
  const headers = upstreamHeaders(client, options);
  return [...headers].filter(([name, value]) => {
    if (HOP_BY_HOP.has(name) || PER_MESSAGE.has(name)) return false;
    // The empty ones only silence `fetch`; here nothing is added, so nothing has to be silenced.
    return value !== "" && FIELD_VALUE.test(value);
  });
}

/** Whether one of the client's headers concerns the upstream. */
function isForUpstream(
  name: string,
  value: string,
  hops: ReadonlySet<string> | null,
  { type, xForwardedFor }: HeaderPolicy,
): boolean {
  if (HOP_BY_HOP.has(name) || PER_MESSAGE.has(name) || hops?.has(name) === true) return false;
  if (name.startsWith("x-sluice-") || name.startsWith("proxy-")) return false;
  // A handshake's own, of which the subprotocol may be the token.
  if (name.startsWith("sec-websocket-")) return false;
  if (type !== "forward" && (name === "cookie" || CREDENTIALS.has(name))) return false;
  if (xForwardedFor === "strip" && tellsClientAddress(name)) return false;
  return FIELD_VALUE.test(value);
}

function tellsClientAddress(name: string): boolean {
  return CLIENT_ADDRESS.has(name) || name.startsWith("x-forwarded-");
}

/** Names that `Connection` declares to be for this hop only; null: none beside the known ones. */
function namedByConnection(headers: Headers): Set<string> | null {
  const connection = headers.get("connection")?.toLowerCase();
  if (connection === undefined || connection === "keep-alive" || connection === "close")
    return null;
  return new Set(connection.split(",").map((name) => name.trim()));
}

function addForwarded(headers: Headers, options: UpstreamHeaderOptions): void {
  if (options.provider.xForwardedFor !== "append") return;
  headers.append("x-forwarded-for", options.remoteAddress);
  if (!headers.has("x-forwarded-proto")) {
    headers.set("x-forwarded-proto", options.secure ? "https" : "http");
  }
}

function addToList(headers: Headers, name: string, entry: string): void {
  const listed =
    headers
      .get(name)
      ?.split(",")
      .map((each) => each.trim()) ?? [];
  if (!listed.includes(entry)) headers.append(name, entry);
}

interface DownstreamHeaderOptions {
  readonly method: string;
  readonly status: number;
  readonly provider: string;
  readonly requestId: string;
  /** Whether the body's length is the upstream's. */
  readonly keepLength: boolean;
  /** Null: no timing headers. Milliseconds since the epoch, with fractions. */
  readonly timing: { readonly sentAtMs: number; readonly answeredAtMs: number } | null;
}

/** The headers of the answer to the client, from those of the upstream. */
export function downstreamHeaders(upstream: Headers, options: DownstreamHeaderOptions): Headers {
  const headers = new Headers(upstream);
  const hops = namedByConnection(upstream);
  for (const name of upstream.keys()) {
    const isForHop = HOP_BY_HOP.has(name) || hops?.has(name) === true;
    if (isForHop || name.startsWith("x-sluice-")) headers.delete(name);
  }
  if (!options.keepLength) headers.delete("content-length");
  headers.set("x-sluice-request-id", options.requestId);
  headers.set("x-sluice-provider", options.provider);
  if (options.timing !== null) {
    headers.set("x-upstream-request-start", nanoseconds(options.timing.sentAtMs));
    headers.set("x-upstream-request-stop", nanoseconds(options.timing.answeredAtMs));
  }
  // Without either the runtime would claim a length of 0 for what HEAD asks about.
  if (options.method === "HEAD" && options.status >= 200 && !headers.has("content-length")) {
    headers.set("transfer-encoding", "chunked");
  }
  return headers;
}

/** Nanoseconds since the epoch, exact to a microsecond: what a double can hold. */
function nanoseconds(epochMs: number): string {
  return `${Math.round(epochMs * 1_000)}000`;
}
