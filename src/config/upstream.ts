/**
 * Where a provider is served, and where it is: `host`, `endpoint`, `port`, `tls`, `base_path`.
 *
 * Owns: the spellings of these keys and how they combine. Does not own: reaching anything.
 * Invariant: what two keys both say, they say alike; a contradiction is a problem.
 */

import type { ProviderType } from "../exchange.ts";
import type { UpstreamConfig } from "./config.ts";

/** `host[:port][/prefix]` of a provider, as it is matched. */
interface ServedHost {
  /** Lower-cased, without port; null: any. */
  readonly host: string | null;
  /** Without trailing slash; "" for none. */
  readonly pathPrefix: string;
}

/** What `endpoint` says; null: it does not. */
interface Endpoint {
  /** Lower-cased; IPv6 in brackets. */
  readonly hostname: string;
  readonly port: number | null;
  readonly tls: boolean | null;
  readonly basePath: string;
}

/** Where a provider is when no key says so. */
const DEFAULT_ENDPOINTS: Readonly<Record<ProviderType, string | null>> = {
  openai: "https://api.openai.com",
  anthropic: "https://api.anthropic.com",
  gemini: "https://generativelanguage.googleapis.com",
  forward: null,
};

/** Versions that a base URL may end in although every request's path begins with them. */
const VERSION_SUFFIXES: Readonly<Record<ProviderType, readonly string[]>> = {
  openai: ["/v1"],
  anthropic: ["/v1"],
  gemini: ["/v1beta", "/v1"],
  forward: [],
};

const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.?)+$/;
const PATH = /^(?:\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*$/;

/** Undefined: the text is not `host[:port][/prefix]`. */
export function parseServedHost(text: string): ServedHost | undefined {
  const slash = text.indexOf("/");
  const authority = slash === -1 ? text : text.slice(0, slash);
  const pathPrefix = slash === -1 ? "" : text.slice(slash).replace(/\/+$/, "");
  if (!PATH.test(pathPrefix)) return undefined;
  if (authority === "") return pathPrefix === "" ? undefined : { host: null, pathPrefix };
  const split = splitAuthority(authority);
  return split === undefined ? undefined : { host: split.hostname, pathPrefix };
}

/** Undefined: the text is no host, host:port or URL. */
export function parseEndpoint(text: string): Endpoint | undefined {
  if (!text.includes("://")) {
    const split = splitAuthority(text.replace(/\/$/, ""));
    return split === undefined ? undefined : { ...split, tls: null, basePath: "" };
  }
  const url = URL.canParse(text) ? new URL(text) : null;
  const tls = url === null ? undefined : TLS_BY_SCHEME[url.protocol];
  if (url === null || tls === undefined || !hasOnlyPlace(url)) return undefined;
  const basePath = url.pathname.replace(/\/+$/, "");
  const port = url.port === "" ? null : Number(url.port);
  return PATH.test(basePath) ? { hostname: url.hostname, port, tls, basePath } : undefined;
}

/** A path prefix without trailing slash. Undefined: the text is none. */
export function parseBasePath(text: string): string | undefined {
  const path = text.replace(/\/+$/, "");
  return PATH.test(path) ? path : undefined;
}

interface UpstreamKeys {
  readonly type: ProviderType;
  readonly endpoint: Endpoint | null;
  readonly port: number | null;
  readonly tls: boolean | null;
  readonly basePath: string | null;
}

/**
 * The upstream that the keys of one provider name together.
 * @param contradict called with the key and what is wrong
 */
export function upstreamOf(
  keys: UpstreamKeys,
  contradict: (key: string, message: string) => void,
): UpstreamConfig | null {
  const endpoint = keys.endpoint ?? parseEndpoint(DEFAULT_ENDPOINTS[keys.type] ?? "") ?? null;
  if (endpoint === null) {
    contradict("endpoint", "is missing: a provider of type forward needs to know where it goes");
    return null;
  }
  if (differ(keys.tls, endpoint.tls)) contradict("tls", "contradicts the scheme of endpoint");
  if (differ(keys.port, endpoint.port)) contradict("port", "contradicts the port in endpoint");
  if (keys.basePath !== null && endpoint.basePath !== "" && keys.basePath !== endpoint.basePath) {
    contradict("base_path", "contradicts the path in endpoint");
  }
  const tls = keys.tls ?? endpoint.tls ?? true;
  const port = keys.port ?? endpoint.port ?? (tls ? 443 : 80);
  const basePath = keys.basePath ?? withoutVersion(endpoint.basePath, keys.type);
  return { hostname: endpoint.hostname, port, tls, basePath };
}

const TLS_BY_SCHEME: Readonly<Record<string, boolean>> = {
  "http:": false,
  "ws:": false,
  "https:": true,
  "wss:": true,
};

function hasOnlyPlace(url: URL): boolean {
  return url.username + url.password + url.search + url.hash === "" && url.port !== "0";
}

function differ<T>(one: T | null, other: T | null): boolean {
  return one !== null && other !== null && one !== other;
}

/** SDKs are given `https://api.openai.com/v1`, and their requests arrive here as `/v1/…`. */
function withoutVersion(basePath: string, type: ProviderType): string {
  const suffix = VERSION_SUFFIXES[type].find((one) => basePath.endsWith(one));
  return suffix === undefined ? basePath : basePath.slice(0, -suffix.length);
}

/** `name`, `name:port`, `[ipv6]:port`; an IPv6 address without brackets has no port. */
function splitAuthority(text: string): { hostname: string; port: number | null } | undefined {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(bracketed(text));
  const hostname = match?.[1]?.toLowerCase();
  if (hostname === undefined) return undefined;
  const known = hostname.startsWith("[") ? URL.canParse(`http://${hostname}/`) : isName(hostname);
  const port = match?.[2] === undefined ? null : Number(match[2]);
  if (!known || (port !== null && (port === 0 || port > 65_535))) return undefined;
  return { hostname, port };
}

function isName(hostname: string): boolean {
  return hostname.length <= 253 && NAME.test(hostname);
}

function bracketed(text: string): string {
  return text.split(":").length > 2 && !text.startsWith("[") ? `[${text}]` : text;
}
