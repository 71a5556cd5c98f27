/**
 * Where a request goes on the wire: the upstream's URL and path, and how it is reached.
 *
 * Owns: joining a configured base path with a request's path.
 * Does not own: which provider it is (`resolve.ts`).
 * Invariant: host and port are always the configured ones. A path is appended as text and never
 * resolved against a base, so that `//other.example/x` stays a path.
 */

import type { ProviderConfig } from "../config/config.ts";
import { bracketed, unbracketed } from "../lib/host_name.ts";
import type { ConnectOptions } from "../runtime/runtime.ts";

/** What of a provider's configuration decides the URL. */
type Target = Pick<ProviderConfig, "type" | "upstream">;

/** `v1`, `v4`, `v1beta`, `v1beta1`, `v1alpha`: a segment that names an API's version. */
const VERSION = /^v\d+(?:(?:alpha|beta)\d*)?$/;

/** Host and port as a `Host` header has them: without the scheme's own port, IPv6 in brackets. */
export function upstreamHost(upstream: ProviderConfig["upstream"]): string {
  const { hostname, port, tls } = upstream;
  const host = bracketed(hostname);
  return port === (tls ? 443 : 80) ? host : `${host}:${port}`;
}

/** How a connection to the provider's upstream is made. */
export function upstreamRoute(
  provider: Pick<ProviderConfig, "upstream" | "egressProxy" | "certificates">,
): ConnectOptions {
  const { upstream, egressProxy, certificates } = provider;
  const { port, tls } = upstream;
  const hostname = unbracketed(upstream.hostname);
  return {
    hostname,
    port,
    tls: tls ? { ...certificates, serverName: hostname } : null,
    proxy: egressProxy,
  };
}

/**
 * The path at the upstream.
 *
 * Base paths are written as the SDKs write base URLs, version included (such as
 * `https://api.openai.com/v1`), while a request's path has its own version. So the one in the base
 * takes the place of the request's: anywhere in it for OpenAI, whose SDKs put nothing between
 * (`…/v1beta/openai`); at its end for the others, whose SDKs add `/v1` themselves after a base such
 * as `…/v1/account/anthropic`. `forward` joins and changes nothing.
 *
 * @param path absolute, WHATWG-normalised, without query
 */
export function upstreamPath(target: Target, path: string): string {
  const base = target.upstream.basePath;
  if (base === "" || target.type === "forward") return base + path;
  const [, version = "", rest = ""] = /^\/([^/]*)(.*)$/s.exec(path) ?? [];
  if (!VERSION.test(version)) return base + path;
  const segments = base.split("/");
  const versions = target.type === "openai" ? segments : segments.slice(-1);
  return versions.some((segment) => VERSION.test(segment)) ? base + rest : base + path;
}

/**
 * The URL of an HTTP request.
 * @param path absolute, without query
 * @param query without `?`; "" for none
 */
export function upstreamUrl(target: Target, path: string, query: string): string {
  const scheme = target.upstream.tls ? "https" : "http";
  const suffix = query === "" ? "" : `?${query}`;
  return `${scheme}://${upstreamHost(target.upstream)}${upstreamPath(target, path)}${suffix}`;
}
