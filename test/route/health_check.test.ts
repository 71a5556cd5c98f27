/** What a health check asks, and what it makes of the answer. */

import { beforeEach, describe, expect, test } from "bun:test";

import type { ProviderConfig } from "../../src/config/config.ts";
import { Health } from "../../src/route/health.ts";
import { startHealthChecks } from "../../src/route/health_check.ts";
import type { ConnectOptions, Stream, StreamHandler } from "../../src/runtime/runtime.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { providerConfig } from "../support/provider_config.ts";

const PROBE = { method: "GET", path: "/v1/models?limit=1", body: null, headers: [] };

interface Asked {
  /** Whose pool was taken. */
  readonly provider: ProviderConfig;
  readonly url: string;
  readonly init: RequestInit;
  answer(response: Response): void;
  fail(): void;
}

interface Dialled {
  readonly options: ConnectOptions;
  readonly handler: StreamHandler;
}

let clock: FakeClock;
let health: Health;
let asked: Asked[];
let dialled: Dialled[];
let givenUp: number;

beforeEach(() => {
  clock = new FakeClock();
  health = new Health(clock, () => {});
  [asked, dialled, givenUp] = [[], [], 0];
});

function start(
  providers: readonly ProviderConfig[],
  credential: readonly (readonly [string, string])[] | null = [["authorization", "Bearer k"]],
) {
  return startHealthChecks({
    slots: providers.map((provider) => ({ provider, apiKey: null })),
    intervalMs: 60_000,
    health,
    clock,
    connect: (options, handler) => {
      dialled.push({ options, handler });
      return () => {
        givenUp += 1;
      };
    },
    fetchOf: (provider) => (url, init) => {
      const { promise, resolve, reject } = Promise.withResolvers<Response>();
      init.signal?.addEventListener("abort", () => reject(new Error("aborted")));
      asked.push({
        provider,
        url,
        init,
        answer: resolve,
        fail: () => reject(new Error("no connection")),
      });
      return promise;
    },
    credentialOf: () => credential,
  });
}

/** Lets what was settled be heard of. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

function isDown(provider: ProviderConfig): boolean {
  return health.obstacle({ provider, apiKey: null }) === "unhealthy";
}

describe("startHealthChecks()", () => {
  test("asks at once, all side by side, and again after the interval", async () => {
    const providers = ["a", "b", "c"].map((name) => providerConfig({ name, probe: PROBE }));
    const checks = start(providers);
    expect(asked).toHaveLength(3);
    for (const one of asked) one.answer(new Response());
    await settle();
    clock.advance(60_000);
    expect(asked).toHaveLength(6);
    checks.cancel();
  });

  test("sends the configured request with the credential and the provider's own headers", () => {
    const probe = { method: "POST", path: "/ping", body: "{}", headers: [["x-a", "2"]] as const };
    start([providerConfig({ probe, headersInject: { "x-a": "1", "x-b": "1" } })]).cancel();
    const [one] = asked;
    expect(one?.url).toBe("https://api.openai.example/ping");
    expect(one?.provider.probe).toBe(probe);
    expect([one?.init.method, one?.init.body]).toEqual(["POST", "{}"]);
    const headers = new Headers(one?.init.headers);
    expect(["authorization", "x-a", "x-b"].map((name) => headers.get(name))).toEqual([
      "Bearer k",
      "2",
      "1",
    ]);
  });

  test("keeps the query of the path", () => {
    start([providerConfig({ probe: PROBE })]).cancel();
    expect(asked[0]?.url).toBe("https://api.openai.example/v1/models?limit=1");
  });

  test.each([
    [200, false],
    [204, false],
    [302, true],
    [401, true],
    [500, true],
  ])("takes an answer of %p as down: %p", async (status, expected) => {
    const provider = providerConfig({ probe: PROBE });
    const checks = start([provider]);
    asked[0]?.answer(new Response(null, { status }));
    await settle();
    expect(isDown(provider)).toBe(expected);
    checks.cancel();
  });

  test("takes a provider out when the check fails, and back when one succeeds", async () => {
    const provider = providerConfig({ probe: PROBE });
    const checks = start([provider]);
    asked[0]?.fail();
    await settle();
    expect(isDown(provider)).toBe(true);
    clock.advance(60_000);
    asked[1]?.answer(new Response());
    await settle();
    expect(isDown(provider)).toBe(false);
    checks.cancel();
  });

  test("gives a check its own time, whatever the others do", async () => {
    const [slow, quick] = ["slow", "quick"].map((name) => providerConfig({ name, probe: PROBE }));
    if (slow === undefined || quick === undefined) throw new Error("There are two");
    const checks = start([slow, quick]);
    asked[1]?.answer(new Response());
    clock.advance(29_999);
    await settle();
    expect([isDown(slow), isDown(quick)]).toEqual([false, false]);
    clock.advance(1);
    await settle();
    expect([isDown(slow), isDown(quick)]).toEqual([true, false]);
    checks.cancel();
  });

  test("only connects where no request is configured, or no key is there to send", async () => {
    const upstream = { hostname: "[::1]", port: 8443, tls: true, basePath: "" };
    const certificates = { ca: "CA", cert: "CERT", key: "KEY" };
    const egressProxy = { hostname: "proxy.example", port: 3128, authorization: null };
    const provider = providerConfig({ upstream, certificates, egressProxy });
    const checks = start([provider]);
    expect(asked).toEqual([]);
    expect(dialled[0]?.options).toEqual({
      hostname: "::1",
      port: 8443,
      tls: { serverName: "::1", ...certificates },
      proxy: egressProxy,
    });
    dialled[0]?.handler.closed(new Error("refused"));
    await settle();
    expect(isDown(provider)).toBe(true);
    clock.advance(60_000);
    let terminated = 0;
    // Nothing else of a stream is used.
    dialled[1]?.handler.opened({ terminate: () => (terminated += 1) } as unknown as Stream);
    await settle();
    expect([isDown(provider), terminated]).toEqual([false, 1]);
    checks.cancel();
    start([providerConfig({ probe: PROBE })], null).cancel();
    expect([asked.length, dialled.length]).toEqual([0, 3]);
  });

  test("leaves nothing behind when it is cancelled, and reports nothing any more", async () => {
    const providers = [providerConfig({ probe: PROBE }), providerConfig({ name: "b" })];
    start(providers).cancel();
    await settle();
    expect([clock.pendingTimers, givenUp]).toEqual([0, 1]);
    expect(asked[0]?.init.signal?.aborted).toBe(true);
    expect(providers.map(isDown)).toEqual([false, false]);
  });
});
