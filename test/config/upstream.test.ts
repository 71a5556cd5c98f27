import { expect, test } from "bun:test";

import {
  parseBasePath,
  parseEndpoint,
  parseServedHost,
  upstreamOf,
} from "../../src/config/upstream.ts";

test.each([
  ["api.example.com", "api.example.com", ""],
  ["API.Example.com", "api.example.com", ""],
  ["api.example.com:8443", "api.example.com", ""],
  ["localhost:8080", "localhost", ""],
  ["api.example.com/", "api.example.com", ""],
  ["api.example.com/openai", "api.example.com", "/openai"],
  ["api.example.com:443/a/b///", "api.example.com", "/a/b"],
  ["/openai", null, "/openai"],
  ["[::1]:8080/x", "[::1]", "/x"],
  ["fe80::1", "[fe80::1]", ""],
  ["127.0.0.1", "127.0.0.1", ""],
])("parseServedHost() reads %p", (text, host, pathPrefix) => {
  expect(parseServedHost(text)).toEqual({ host, pathPrefix });
});

test.each([
  "",
  "/",
  "https://a.example",
  "a b",
  "a:99999",
  "a:0",
  "a/b c",
  "a?x",
  "[::1",
  "*.a.example",
])("parseServedHost() refuses %p", (text) => {
  expect(parseServedHost(text)).toBeUndefined();
});

test.each([
  ["api.openai.com", "api.openai.com", null, null, ""],
  ["backend.internal:8080", "backend.internal", 8080, null, ""],
  ["https://api.openai.com", "api.openai.com", null, true, ""],
  ["https://api.openai.com/v1/", "api.openai.com", null, true, "/v1"],
  ["http://127.0.0.1:9000", "127.0.0.1", 9000, false, ""],
  ["wss://api.openai.com", "api.openai.com", null, true, ""],
  ["ws://h:1/x", "h", 1, false, "/x"],
  ["http://[::1]:80/", "[::1]", null, false, ""],
])("parseEndpoint() reads %p", (text, hostname, port, tls, basePath) => {
  expect(parseEndpoint(text)).toEqual({ hostname, port, tls, basePath });
});

test.each([
  "",
  "ftp://a",
  "https://",
  "https://u:p@a",
  "https://a?x=1",
  "https://a#x",
  "a/b",
  "a:b",
  "https://a:0",
])("parseEndpoint() refuses %p", (text) => {
  expect(parseEndpoint(text)).toBeUndefined();
});

test("parseBasePath() drops the trailing slash and refuses what is no path", () => {
  expect(["", "/", "/a/", "/a/b"].map(parseBasePath)).toEqual(["", "", "/a", "/a/b"]);
  expect(["a", "/a b", "/a?b", "//a"].map(parseBasePath)).toEqual(Array(4).fill(undefined));
});

function combine(keys: Partial<Parameters<typeof upstreamOf>[0]> & { url?: string }) {
  const said: string[] = [];
  const upstream = upstreamOf(
    {
      type: keys.type ?? "openai",
      endpoint: keys.url === undefined ? null : (parseEndpoint(keys.url) ?? null),
      port: keys.port ?? null,
      tls: keys.tls ?? null,
      basePath: keys.basePath ?? null,
    },
    (key) => said.push(key),
  );
  return { upstream, said };
}

test.each([
  [{}, "api.openai.com", 443, true, ""],
  [{ type: "anthropic" }, "api.anthropic.com", 443, true, ""],
  [{ type: "gemini" }, "generativelanguage.googleapis.com", 443, true, ""],
  [{ url: "h", tls: false }, "h", 80, false, ""],
  [{ url: "h", port: 8443 }, "h", 8443, true, ""],
  [{ url: "http://h" }, "h", 80, false, ""],
  [{ url: "https://h/v1" }, "h", 443, true, ""],
  [{ url: "https://h/api/v1" }, "h", 443, true, "/api"],
  [{ url: "https://h/v1beta", type: "gemini" }, "h", 443, true, ""],
  [{ url: "https://h/v1", type: "forward" }, "h", 443, true, "/v1"],
  [{ url: "https://h", basePath: "/v1" }, "h", 443, true, "/v1"],
] as const)("upstreamOf(%j) is %s:%p", (keys, hostname, port, tls, basePath) => {
  expect(combine(keys)).toEqual({ upstream: { hostname, port, tls, basePath }, said: [] });
});

test("upstreamOf() reports what two keys say differently, and what is missing", () => {
  expect(combine({ url: "https://h", tls: false }).said).toEqual(["tls"]);
  expect(combine({ url: "h:1", port: 2 }).said).toEqual(["port"]);
  expect(combine({ url: "https://h/a", basePath: "/b" }).said).toEqual(["base_path"]);
  expect(combine({ type: "forward" })).toEqual({ upstream: null, said: ["endpoint"] });
});
