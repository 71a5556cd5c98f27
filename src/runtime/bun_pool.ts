/**
 * Pools of connections for HTTP requests, on Bun.
 *
 * Owns: what Bun's `fetch` is told of proxy, certificates and keep-alive, and telling the proxy's
 * own answers from the upstream's. Does not own: requests and what their failures mean.
 * Invariant: neither the environment's proxy nor its exceptions (`NO_PROXY`) count, and the other
 * side's certificate is always verified.
 */

import { bracketed } from "../lib/host_name.ts";
import { tlsOptions } from "./bun_connect.ts";
import {
  type Fetch,
  type Pool,
  type PoolOptions,
  type ProxyAddress,
  ProxyError,
} from "./runtime.ts";

/**
 * Opens a pool. Connections are made when they are needed.
 *
 * Bun keeps at most 64 idle connections of each kind (cleartext, TLS, TLS with certificates of its
 * own) over all pools, and looks at idle ones every 4 seconds (beyond 4 minutes: every minute).
 */
export function openPool(options: PoolOptions): Pool {
  const { proxy, certificates, idleMax, idleTimeoutMs } = options;
  const session = new Bun.FetchSession({
    tls: tlsOptions(certificates),
    proxy: proxy === null ? false : proxyOption(proxy),
    keepAlive:
      idleMax === 0 ? false : { maxIdleSockets: idleMax, idleTimeout: idleTimeoutMs / 1_000 },
  });
  return {
    fetch: proxy === null ? session.fetch : throughProxy(session.fetch),
    close: () => session.close(),
  };
}

function proxyOption({ hostname, port, authorization }: ProxyAddress) {
  return {
    url: `http://${bracketed(hostname)}:${port}`,
    headers: authorization === null ? {} : { "proxy-authorization": authorization },
    respectNoProxy: false,
  };
}

function throughProxy(fetch: Fetch): Fetch {
  return async (url, init) => {
    const response = await fetch(url, init).catch((thrown: unknown) => {
      throw refusedStatus(thrown) ?? thrown;
    });
    // Without TLS there is no tunnel. This status is a proxy's by its meaning (RFC 9110 15.5.8).
    if (response.status !== 407 || url.startsWith("https:")) return response;
    await response.body?.cancel();
    throw new ProxyError(response.status);
  };
}

/** Null: the proxy did not refuse the tunnel. */
function refusedStatus(thrown: unknown): ProxyError | null {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown)) return null;
  if (thrown.code !== "ERR_PROXY_TUNNEL") return null;
  const status = "status" in thrown && typeof thrown.status === "number" ? thrown.status : null;
  return new ProxyError(status);
}
