import { describe, expect, test } from "bun:test";

import { UNAVAILABLE_PATHS } from "../../src/config/availability.ts";
import { describeKeys } from "./describe_keys.ts";
import { problemsOf, warningsOf } from "./support.ts";

const provider = (keys: string) => `providers: [{type: openai, ${keys}}]`;

describe("reportUnavailable()", () => {
  test.each([
    ["workers: 2", "1 workers"],
    ["telemetry: {otlp_endpoint: 'http://a'}", "1 telemetry"],
    ["http_cache: {enabled: true}", "1 http_cache"],
    ["connect_tunnel_enabled: true", "1 connect_tunnel_enabled"],
    ["usage: {sinks: [{type: jsonl, path: '-'}]}", "1 usage.sinks"],
    ["usage: {retention: 30d}", "1 usage.retention"],
    [provider("credential_ttl: 60s"), "1 providers[0].credential_ttl"],
  ])("warns of %p", (text, place) => {
    const warnings = warningsOf(text);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toEndWith("does nothing");
    expect(warnings[0]).toStartWith(`${place}: `);
  });

  test.each([
    "workers: 1",
    "health_check: {enabled: true}",
    "circuit_breaker: {failures: 3}",
    provider("allowed_endpoints: []"),
    "http_cache: {enabled: false}",
    "connect_tunnel_enabled: false",
    "usage: {sinks: []}",
    "retry: {on: [connect, timeout, 429, 5xx]}",
    "cors: {allowed_origins: []}",
    "tokens: {algorithm: HS256}",
    "limits: {on_store_down: deny}",
    "telemetry:",
  ])("says nothing of %p", (text) => {
    expect(warningsOf(text)).toEqual([]);
  });

  test.each([
    ["cors: {allowed_origins: ['https://a.example']}", "1 cors.allowed_origins"],
    [provider("models: {a: b}"), "1 providers[0].models"],
    [provider("allowed_models: [a]"), "1 providers[0].allowed_models"],
    [provider("allowed_models: []"), "1 providers[0].allowed_models"],
    [provider("allowed_models:"), "1 providers[0].allowed_models"],
    [provider("param_whitelist: {model: [gpt-*]}"), "1 providers[0].param_whitelist"],
    [provider("allowed_origins: ['*']"), "1 providers[0].allowed_origins"],
    [provider("required_headers: [origin]"), "1 providers[0].required_headers"],
    [provider("egress_proxy: 'http://u:p@h:1'"), "1 providers[0].egress_proxy"],
  ])("refuses %p", (text, place) => {
    expect(problemsOf(text)).toEqual([`${place}: is not available in this version yet`]);
  });

  test.each(["allowed_endpoints", "allowed_methods"])(
    "refuses %s without a value, which may have been lost",
    (name) => {
      const [problem] = problemsOf(provider(`${name}:`));
      expect(problem).toStartWith(`1 providers[0].${name}: has no value`);
    },
  );

  test.each(["api_key: $(cat x)", "api_keys: [{key: $(cat x)}]", "auth_value: $(cat x)"])(
    "refuses a command in %p",
    (keys) => {
      const [problem] = problemsOf(provider(keys));
      expect(problem).toEndWith(": $(command) is not available in this version yet");
    },
  );

  test("checks the shape of what is not available all the same", () => {
    const [problem] = problemsOf(provider("param_whitelist: {model: {a: b}}"));
    expect(problem).toContain("param_whitelist.model: must be a pattern");
  });
});

test("UNAVAILABLE_PATHS names only keys that exist", () => {
  const known = new Set(describeKeys().map(({ path }) => path));
  expect(UNAVAILABLE_PATHS.filter((path) => !known.has(path))).toEqual([]);
});
