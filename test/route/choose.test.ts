/** In which order upstreams are tried, and why some are not. */

import { describe, expect, test } from "bun:test";

import type { ProviderConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import { openai } from "../../src/provider/openai.ts";
import { type ChoiceOptions, choose, obstacleOf } from "../../src/route/choose.ts";
import { Health } from "../../src/route/health.ts";
import { resolve, type Route } from "../../src/route/resolve.ts";
import { buildTable } from "../../src/route/table.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Prng } from "../support/prng.ts";
import { providerConfig } from "../support/provider_config.ts";

const MANY = { attempts: 10, on: [] };

function of(name: string, changes: Partial<ProviderConfig> = {}): ProviderConfig {
  return providerConfig({ name, retry: MANY, ...changes });
}

function routeTo(
  providers: readonly ProviderConfig[],
  method = "POST",
  path = "/v1/responses",
): Route {
  const request = { method, path, host: "gw", upgrade: false, headers: new Headers() };
  return resolve(request, buildTable(providers, null), () => openai);
}

function fresh(): Health {
  return new Health(new FakeClock(), () => {});
}

function options(changes: Partial<ChoiceOptions> = {}): ChoiceOptions {
  return {
    health: fresh(),
    model: null,
    maker: null,
    accepts: () => true,
    hasOwnKey: () => false,
    random: () => 0,
    ...changes,
  };
}

/** As `provider key`, or `provider` where no key is sent. */
function names(providers: readonly ProviderConfig[], changes: Partial<ChoiceOptions> = {}) {
  return choose(routeTo(providers), options(changes)).map(({ provider, apiKey }) =>
    apiKey === null ? provider.name : `${provider.name} ${apiKey}`,
  );
}

function refusal(route: Route, changes: Partial<ChoiceOptions> = {}): GatewayError {
  try {
    choose(route, options(changes));
  } catch (thrown) {
    if (thrown instanceof GatewayError) return thrown;
    throw thrown;
  }
  throw new Error("Nothing was refused");
}

function keys(...weights: number[]) {
  return weights.map((weight, index) => ({ key: `k${index}`, weight }));
}

describe("choose() orders", () => {
  test("no fallback before the others, then by priority", () => {
    const providers = [
      of("fallback", { isFallback: true, priority: 100 }),
      of("low", { priority: 1 }),
      of("negative", { priority: -5 }),
      of("high", { priority: 2 }),
    ];
    expect(names(providers)).toEqual(["high", "low", "negative", "fallback"]);
  });

  test("as many as the first one's attempts, each once", () => {
    const retry = { attempts: 2, on: [] };
    const providers = ["a", "b", "c"].map((name) => of(name, { retry }));
    const random = new Prng(3);
    for (let round = 0; round < 200; round += 1) {
      const chosen = names(providers, { random: () => random.next() });
      expect([chosen.length, new Set(chosen).size]).toEqual([2, 2]);
    }
  });

  test("keys of one provider without using up what is for others", () => {
    const retry = { attempts: 2, on: [] };
    const providers = [
      of("many", { retry, apiKeys: keys(1, 1, 1, 1, 1, 1, 1, 1), weight: 8 }),
      of("one", { retry }),
      of("fallback", { retry, isFallback: true }),
    ];
    const random = new Prng(5);
    for (let round = 0; round < 200; round += 1) {
      const chosen = names(providers, { random: () => random.next() });
      const ofMany = chosen.filter((name) => name.startsWith("many"));
      expect(new Set(chosen).size).toBe(chosen.length);
      expect(new Set(chosen.map((name) => name.split(" ")[0])).size).toBe(2);
      expect(ofMany.length).toBeLessThanOrEqual(2);
    }
    expect(names(providers.slice(0, 1))).toHaveLength(2);
    expect(
      names([of("once", { retry: { attempts: 1, on: [] }, apiKeys: keys(1, 1) })]),
    ).toHaveLength(1);
  });

  test("a weight of 0 last", () => {
    const providers = [of("zero", { weight: 0 }), of("some")];
    for (const value of [0, 0.5, 0.999]) {
      expect(names(providers, { random: () => value })).toEqual(["some", "zero"]);
    }
  });

  test("only those that take the credential, whatever their priority", () => {
    const providers = [of("high", { priority: 9 }), of("low")];
    expect(names(providers, { accepts: ({ name }) => name === "low" })).toEqual(["low"]);
  });

  test("only those that serve the model, and all of them while it is not known", () => {
    const providers = [of("one", { priority: 1, allowedModels: ["a"] }), of("any")];
    expect(names(providers, { model: "a" })).toEqual(["one", "any"]);
    expect(names(providers, { model: "b" })).toEqual(["any"]);
    expect(names(providers, { model: undefined })).toEqual(["one", "any"]);
    expect(names(providers, { model: null })).toEqual(["any"]);
  });

  test("what is not healthy not at all, and a fallback in its place", () => {
    const providers = [of("main"), of("fallback", { isFallback: true })];
    const health = fresh();
    expect(names(providers, { health })).toEqual(["main", "fallback"]);
    for (const provider of providers.slice(0, 1)) health.checked({ provider, apiKey: null }, false);
    expect(names(providers, { health })).toEqual(["fallback"]);
  });

  test("a key that rests behind all others, but never nobody", () => {
    const providers = [of("main", { apiKeys: keys(1, 1) }), of("next", { isFallback: true })];
    const health = fresh();
    const [main] = providers;
    if (main === undefined) throw new Error("There is no provider");
    health.answered({ provider: main, apiKey: "k0" }, 429, "20");
    expect(names(providers, { health })).toEqual(["main k1", "next", "main k0"]);
    const alone = [of("alone", { apiKeys: keys(1) })];
    for (const provider of alone) health.answered({ provider, apiKey: "k0" }, 429, "20");
    expect(names(alone, { health })).toEqual(["alone k0"]);
  });

  test("a provider once where the project's own key takes the place of the configured ones", () => {
    const providers = [of("two", { apiKeys: keys(1, 1) }), of("other", { priority: -1 })];
    expect(names(providers, { hasOwnKey: () => true })).toEqual(["two", "other"]);
  });

  test("by the project's own key, even where the configured ones rest", () => {
    const providers = [of("main", { apiKeys: keys(1) }), of("next", { isFallback: true })];
    const health = fresh();
    for (const provider of providers) health.answered({ provider, apiKey: "k0" }, 429, "20");
    expect(names(providers, { health, hasOwnKey: () => true })).toEqual(["main", "next"]);
  });
});

describe("choose() stays with the maker", () => {
  const providers = [of("high", { priority: 9 }), of("two", { apiKeys: keys(1, 1) })];
  const [, two] = providers;
  if (two === undefined) throw new Error("There are two");
  const maker = { provider: two, apiKey: "k1" };

  test("and its key, alone, whatever the priorities", () => {
    expect(names(providers, { maker })).toEqual(["two k1"]);
  });

  test("also while its key rests, because no other knows the response", () => {
    const health = fresh();
    health.answered(maker, 429, "20");
    expect(names(providers, { maker, health })).toEqual(["two k1"]);
  });

  test("and refuses while it is down, instead of asking one who would deny the response", () => {
    const health = fresh();
    health.checked(maker, false);
    const { code } = refusal(routeTo(providers), { maker, health });
    expect(code).toBe("no_healthy_provider");
  });

  test("by the project's own key where it has one", () => {
    expect(names(providers, { maker, hasOwnKey: () => true })).toEqual(["two"]);
    const unknownKey = { provider: two, apiKey: null };
    expect(names(providers, { maker: unknownKey })).toEqual(["two k0"]);
  });

  test("unless the configuration has it no more, or it does not take the caller", () => {
    const gone = { provider: of("gone"), apiKey: null };
    expect(names(providers, { maker: gone })[0]).toBe("high");
    expect(names(providers, { maker: { provider: two, apiKey: "old" } })[0]).toBe("high");
    expect(names(providers, { maker, accepts: ({ name }) => name === "high" })).toEqual(["high"]);
  });
});

describe("choose() draws by weight", () => {
  const ROUNDS = 10_000;

  function shares(providers: readonly ProviderConfig[], changes: Partial<ChoiceOptions> = {}) {
    const random = new Prng(7);
    const counts = new Map<string, number>();
    const draw = { random: () => random.next(), ...changes };
    for (let round = 0; round < ROUNDS; round += 1) {
      const [first = ""] = names(providers, draw);
      counts.set(first, (counts.get(first) ?? 0) + 1 / ROUNDS);
    }
    return counts;
  }

  test("10,000 selections stay within 2 % of the weights", () => {
    const providers = [of("a", { weight: 5 }), of("b", { weight: 3 }), of("c", { weight: 2 })];
    const found = shares(providers);
    for (const { name, weight } of providers) {
      expect(Math.abs((found.get(name) ?? 0) - weight / 10)).toBeLessThan(0.02);
    }
  });

  test("among those that are left, also where most are excluded", () => {
    const ten = Array.from({ length: 10 }, (_, index) => of(`p${index}`, { weight: 10 }));
    const providers = [...ten, of("x", { weight: 3 }), of("y", { weight: 1 })];
    const found = shares(providers, { accepts: ({ name }) => name === "x" || name === "y" });
    expect(found.size).toBe(2);
    expect(Math.abs((found.get("x") ?? 0) - 0.75)).toBeLessThan(0.02);
  });

  test("each key by its share of the provider's weight", () => {
    const found = shares([of("two", { weight: 3, apiKeys: keys(3, 1) }), of("one")]);
    expect(Math.abs((found.get("two k0") ?? 0) - 0.5625)).toBeLessThan(0.02);
    expect(Math.abs((found.get("two k1") ?? 0) - 0.1875)).toBeLessThan(0.02);
    expect(Math.abs((found.get("one") ?? 0) - 0.25)).toBeLessThan(0.02);
  });
});

describe("choose() refuses", () => {
  test("a path that no list covers with 404", () => {
    const { code } = refusal(routeTo([of("a", { allowedEndpoints: ["/v1/models"] })]));
    expect(code).toBe("endpoint_not_found");
  });

  test("a method that no list covers with 405 and those that would do", () => {
    const listed = of("a", { allowedMethods: ["DELETE", "PUT"] });
    const error = refusal(routeTo([listed], "GET", "/v1/responses/resp_1"));
    expect([error.code, error.headers["allow"]]).toEqual(["method_not_allowed", "DELETE"]);
  });

  test("a path that has none of the listed methods with 404", () => {
    const route = routeTo([of("a", { allowedMethods: ["POST"] })], "GET", "/v1/responses/resp_1");
    expect(refusal(route).code).toBe("endpoint_not_found");
  });

  test("with 503 and retry-after where an open circuit is the reason", () => {
    const providers = [of("a"), of("b", { allowedMethods: ["GET"] })];
    const health = fresh();
    for (let count = 0; count < 5; count += 1) {
      for (const provider of providers) health.failed({ provider, apiKey: null });
    }
    const error = refusal(routeTo(providers), { health });
    expect([error.code, error.status, error.headers["retry-after"]]).toEqual([
      "circuit_open",
      503,
      "30",
    ]);
  });

  test("a model that none serves with 403", () => {
    const route = routeTo([of("a", { allowedModels: ["m"] }), of("b", { allowedMethods: [] })]);
    const { code, status } = refusal(route, { model: "x" });
    expect([code, status]).toEqual(["model_not_allowed", 403]);
  });

  test("with no_healthy_provider where a health check is the reason", () => {
    const providers = [of("a")];
    const health = fresh();
    for (const provider of providers) health.checked({ provider, apiKey: null }, false);
    expect(refusal(routeTo(providers), { health }).code).toBe("no_healthy_provider");
  });
});

test("obstacleOf() names the first of several reasons", () => {
  const provider = of("a", { allowedEndpoints: [], allowedMethods: [] });
  const route = routeTo([provider]);
  const slot = { provider, apiKey: null };
  expect(obstacleOf(slot, route, options({ accepts: () => false }))).toBe("credential");
  expect(obstacleOf(slot, route, options())).toBe("endpoint");
});
