/** Joining base paths and requests' paths. */

import { describe, expect, test } from "bun:test";

import type { ProviderType } from "../../src/exchange.ts";
import { upstreamHost, upstreamPath, upstreamRoute, upstreamUrl } from "../../src/route/target.ts";
import { providerConfig } from "../support/provider_config.ts";

function target(basePath: string, type: ProviderType = "openai") {
  return providerConfig({
    type,
    upstream: { hostname: "up.example", port: 443, tls: true, basePath },
  });
}

describe("upstreamPath()", () => {
  test.each<[string, ProviderType, string, string, string]>([
    ["joins nothing", "openai", "", "/v1/responses", "/v1/responses"],
    ["does not double /v1", "openai", "/v1", "/v1/responses", "/v1/responses"],
    ["keeps a plain base", "openai", "/proxy", "/v1/responses", "/proxy/v1/responses"],
    ["takes the base's version", "openai", "/api/paas/v4", "/v1/chat", "/api/paas/v4/chat"],
    ["takes it from the middle", "openai", "/v1beta/openai", "/v1/chat", "/v1beta/openai/chat"],
    ["knows Azure's base", "openai", "/openai/v1", "/v1/responses", "/openai/v1/responses"],
    ["does not double v1beta", "gemini", "/v1beta", "/v1beta/models", "/v1beta/models"],
    ["prefers the base's version", "gemini", "/v1beta", "/v1/models", "/v1beta/models"],
    ["leaves paths without one", "gemini", "/v1beta", "/ws/google.x", "/v1beta/ws/google.x"],
    ["looks at the end only", "anthropic", "/v1/a/x", "/v1/messages", "/v1/a/x/v1/messages"],
    ["does not double anthropic's", "anthropic", "/v1", "/v1/messages", "/v1/messages"],
    ["leaves forward alone", "forward", "/v1", "/v1/x", "/v1/v1/x"],
    ["takes v10 for a version", "openai", "/v1", "/v10/x", "/v1/x"],
    ["takes vx for no version", "openai", "/v1", "/vx/y", "/v1/vx/y"],
  ])("%s", (_title, type, base, path, expected) => {
    expect(upstreamPath(target(base, type), path)).toBe(expected);
  });
});

describe("upstreamUrl()", () => {
  test.each([
    [
      "a double slash stays in the path",
      "//evil.example/x",
      "",
      "https://up.example//evil.example/x",
    ],
    ["an at sign stays in the path", "/@evil.example/x", "", "https://up.example/@evil.example/x"],
    ["the query stays as it is", "/v1/x", "a=b%20c&d=[1]", "https://up.example/v1/x?a=b%20c&d=[1]"],
  ])("%s", (_title, path, query, expected) => {
    const url = upstreamUrl(target("", "forward"), path, query);
    expect(url).toBe(expected);
    expect(new URL(url).host).toBe("up.example");
  });
});

describe("upstreamHost()", () => {
  test.each([
    ["api.example", 443, true, "api.example"],
    ["api.example", 443, false, "api.example:443"],
    ["api.example", 80, false, "api.example"],
    ["127.0.0.1", 9000, false, "127.0.0.1:9000"],
    ["::1", 9000, true, "[::1]:9000"],
  ])("of %s port %d, TLS %p, is %s", (hostname, port, tls, expected) => {
    expect(upstreamHost({ hostname, port, tls, basePath: "" })).toBe(expected);
  });
});

describe("upstreamRoute()", () => {
  const certificates = { ca: "CA", cert: "CERT", key: "KEY" };
  const egressProxy = { hostname: "proxy.example", port: 3128, authorization: "Basic eA==" };
  const over = { certificates, egressProxy };

  test("names the upstream's certificates and the proxy, and an address without brackets", () => {
    const upstream = { hostname: "[::1]", port: 8443, tls: true, basePath: "/v1" };
    expect(upstreamRoute(providerConfig({ ...over, upstream }))).toEqual({
      hostname: "::1",
      port: 8443,
      tls: { serverName: "::1", ...certificates },
      proxy: egressProxy,
    });
  });

  test("has no TLS where the upstream has none", () => {
    const upstream = { hostname: "up.example", port: 80, tls: false, basePath: "" };
    expect(upstreamRoute(providerConfig({ upstream }))).toEqual({
      hostname: "up.example",
      port: 80,
      tls: null,
      proxy: null,
    });
  });
});
