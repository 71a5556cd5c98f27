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
    provider("models: {a: b}"),
    provider("allowed_models: []"),
    provider("egress_proxy: 'http://u:p@h:1'"),
    provider("connection: {max_idle: 0, idle_timeout: 5s}"),
    "http_cache: {enabled: false}",
    "connect_tunnel_enabled: false",
    "usage: {sinks: []}",
    "retry: {on: [connect, timeout, 429, 5xx]}",
    "cors: {allowed_origins: []}",
    "cors: {allowed_origins: ['https://a.example']}",
    provider("allowed_origins: ['*']"),
    provider("required_headers: [origin]"),
    provider("param_whitelist: {model: [gpt-*]}"),
    "tokens: {algorithm: HS256}",
    "limits: {on_store_down: deny}",
    "telemetry:",
  ])("says nothing of %p", (text) => {
    expect(warningsOf(text)).toEqual([]);
  });

  test.each([
    "allowed_endpoints",
    "allowed_methods",
    "allowed_models",
    "allowed_origins",
    "required_headers",
    "param_whitelist",
  ])("refuses %s without a value, which may have been lost", (name) => {
    const [problem] = problemsOf(provider(`${name}:`));
    expect(problem).toStartWith(`1 providers[0].${name}: has no value`);
  });

  test("refuses it in cors and in a llm-proxy file as well", () => {
    expect(problemsOf("cors: {allowed_origins: }")[0]).toStartWith(
      "1 cors.allowed_origins: has no value",
    );
    const api = "base_url: 'http://a', allowed_endpoints: [/v1], allowed_methods: [GET]";
    const [problem] = problemsOf(`apis: {openai: {${api}, allowed_origins: }}`);
    expect(problem).toStartWith("1 apis.openai.allowed_origins: has no value");
  });

  test("checks the shape of what is not available all the same", () => {
    const [problem] = problemsOf("workers: many");
    expect(problem).toContain("workers: must be a whole number");
  });
});

test("UNAVAILABLE_PATHS names only keys that exist", () => {
  const known = new Set(describeKeys().map(({ path }) => path));
  expect(UNAVAILABLE_PATHS.filter((path) => !known.has(path))).toEqual([]);
});
