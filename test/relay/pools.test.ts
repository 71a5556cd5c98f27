/** Which pool a provider's requests take. */

import { expect, test } from "bun:test";

import { Pools } from "../../src/relay/pools.ts";
import type { Pool, PoolOptions } from "../../src/runtime/runtime.ts";
import { providerConfig } from "../support/provider_config.ts";

class FakeRuntime {
  readonly opened: PoolOptions[] = [];
  closed = 0;

  openPool(options: PoolOptions): Pool {
    const index = this.opened.push(options);
    return {
      fetch: () => Promise.resolve(new Response(String(index))),
      close: () => void (this.closed += 1),
    };
  }
}

test("fetchOf() opens one pool a provider, with what is configured for it", () => {
  const runtime = new FakeRuntime();
  const pools = new Pools(runtime);
  const egressProxy = { hostname: "proxy.example", port: 3128, authorization: "Basic eA==" };
  const certificates = { ca: "CA", cert: "CERT", key: "KEY" };
  const connection = { idleMax: 3, idleTimeoutMs: 5_000 };
  const plain = providerConfig();
  const own = providerConfig({ egressProxy, certificates, connection });
  expect(runtime.opened).toEqual([]);
  expect(pools.fetchOf(plain)).toBe(pools.fetchOf(plain));
  expect(pools.fetchOf(own)).not.toBe(pools.fetchOf(plain));
  expect(runtime.opened).toEqual([
    {
      proxy: null,
      certificates: { ca: null, cert: null, key: null },
      idleMax: 64,
      idleTimeoutMs: 90_000,
    },
    { proxy: egressProxy, certificates, ...connection },
  ]);
  pools.close();
  expect(runtime.closed).toBe(2);
});
