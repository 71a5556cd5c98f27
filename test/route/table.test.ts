/** How the providers of a configuration are arranged. */

import { describe, expect, test } from "bun:test";

import { buildTable, hostName, lookUp, type Pool, slotsOf } from "../../src/route/table.ts";
import { providerConfig } from "../support/provider_config.ts";

function soleTiers(pools: readonly Pool[] | undefined): string[][] {
  const [pool] = pools ?? [];
  return (pool?.tiers ?? []).map(({ slots }) => slots.map(({ provider }) => provider.name));
}

describe("hostName()", () => {
  test.each([
    ["a.example", "a.example"],
    ["A.Example:80", "a.example"],
    ["[2001:DB8::1]:443", "2001:db8::1"],
    ["2001:db8::1", "2001:db8::1"],
  ])("of %s is %s", (host, expected) => {
    expect(hostName(host)).toBe(expected);
  });
});

describe("lookUp()", () => {
  test("prefers the longest prefix, whatever the order of the file", () => {
    const table = buildTable(
      [
        providerConfig({ name: "short", pathPrefix: "/a" }),
        providerConfig({ name: "long", pathPrefix: "/a/b" }),
        providerConfig({ name: "none" }),
      ],
      null,
    );
    const found = ["/a/b/c", "/a/c", "/c"].map((path) => {
      const hit = lookUp(table, "x", path);
      return [hit?.served.pools[0]?.providers[0]?.name, hit?.path];
    });
    expect(found).toEqual([
      ["long", "/c"],
      ["short", "/c"],
      ["none", "/c"],
    ]);
  });

  test("finds what serves any host where the named one does not have the path", () => {
    const named = providerConfig({ name: "named", host: "api.example", pathPrefix: "/a" });
    const table = buildTable([named, providerConfig({ name: "any" })], null);
    expect(lookUp(table, "api.example", "/b")?.served.pools[0]?.providers[0]?.name).toBe("any");
    expect(lookUp(buildTable([named], null), "api.example", "/b")).toBeNull();
  });

  test("matches a host of the configuration that is written with its port or brackets", () => {
    const table = buildTable([providerConfig({ host: "[::1]" })], null);
    expect(lookUp(table, "[::1]:8080", "/")).not.toBeNull();
    expect(lookUp(table, "[::2]:8080", "/")).toBeNull();
  });
});

describe("buildTable()", () => {
  test("puts no fallback before the others, then goes by priority", () => {
    const { anyHost } = buildTable(
      [
        providerConfig({ name: "fallback", isFallback: true, priority: 100 }),
        providerConfig({ name: "low", priority: 1 }),
        providerConfig({ name: "negative", priority: -5 }),
        providerConfig({ name: "high", priority: 2 }),
        providerConfig({ name: "low too", priority: 1 }),
      ],
      null,
    );
    expect(soleTiers(anyHost[0]?.pools)).toEqual([
      ["high"],
      ["low", "low too"],
      ["negative"],
      ["fallback"],
    ]);
  });

  test("shares a provider's weight out among its keys", () => {
    const apiKeys = [
      { key: "a", weight: 3 },
      { key: "b", weight: 1 },
    ];
    const { anyHost } = buildTable([providerConfig({ weight: 8, apiKeys })], null);
    const [tier] = anyHost[0]?.pools[0]?.tiers ?? [];
    expect(tier?.slots.map(({ apiKey }) => apiKey)).toEqual(["a", "b"]);
    expect(tier?.weights).toEqual([6, 2]);
    expect(tier?.sums).toEqual([6, 8]);
  });

  test("knows the default provider's type, everywhere and where it is served", () => {
    const providers = [
      providerConfig({ name: "a", type: "anthropic", host: "a.example" }),
      providerConfig({ name: "o" }),
    ];
    const table = buildTable(providers, "a");
    const served = [table.defaultType, table.anyHost[0]?.defaultType];
    expect(served).toEqual(["anthropic", null]);
    expect(table.hosts.get("a.example")?.[0]?.defaultType).toBe("anthropic");
  });
});

test("slotsOf() lists every key of every provider, wherever it is served", () => {
  const apiKeys = ["a", "b"].map((key) => ({ key, weight: 1 }));
  const providers = [
    providerConfig({ name: "one", apiKeys }),
    providerConfig({ name: "two", type: "gemini" }),
    providerConfig({ name: "three", host: "x", pathPrefix: "/p" }),
  ];
  const slots = slotsOf(buildTable(providers, null));
  const found = slots.map(({ provider, apiKey }) => `${provider.name} ${apiKey}`).sort();
  expect(found).toEqual(["one a", "one b", "three null", "two null"]);
});
