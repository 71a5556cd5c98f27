/**
 * One pool of connections for each provider.
 *
 * Owns: which pool a provider's requests take. Does not own: the pools themselves (the runtime's).
 * Invariant: providers share no connection, so none is sent through another one's proxy, nor with
 * another one's certificate.
 */

import type { ProviderConfig } from "../config/config.ts";
import type { Fetch, Pool, Runtime } from "../runtime/runtime.ts";

export class Pools {
  readonly #runtime: Pick<Runtime, "openPool">;
  readonly #pools = new Map<ProviderConfig, Pool>();

  constructor(runtime: Pick<Runtime, "openPool">) {
    this.#runtime = runtime;
  }

  /** Sends requests to this provider. */
  fetchOf(provider: ProviderConfig): Fetch {
    const pool = this.#pools.get(provider) ?? this.#open(provider);
    return pool.fetch;
  }

  /** Closes idle connections; what runs goes on. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }

  #open(provider: ProviderConfig): Pool {
    const { egressProxy, certificates, connection } = provider;
    const pool = this.#runtime.openPool({ proxy: egressProxy, certificates, ...connection });
    this.#pools.set(provider, pool);
    return pool;
  }
}
