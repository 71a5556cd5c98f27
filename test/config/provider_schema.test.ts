import { describe, expect, test } from "bun:test";

import { parse, problemsOf, providerOf } from "./support.ts";

const bad = (keys: string) =>
  problemsOf(`providers:\n  - type: openai\n    ${keys.replaceAll("\n", "\n    ")}\n`);

describe("PROVIDER_KEYS", () => {
  test("read a provider that says all there is to say", () => {
    const keys = `
name: primary
type: openai
host: AI.example.com:8443/openai/
endpoint: https://up.example:9443/base
weight: 2.5
priority: -3
is_fallback: true
api_keys: [{key: sk-1, weight: 3}, {key: sk-2}]
auth: required
auth_keys: [client-1]
auth_header: X-Key
headers: {strip: [X-A], inject: {X-B: b}}
allowed_origins:
  - https://App.Example.com:443
  - https://*.preview.example.com
  - http://[::1]:3000
required_headers: [X-Team, "x-mode: a", "X-Mode:  b: c "]
param_whitelist: {model: [gpt-*, o3], stream: "true"}
timeouts: {dial: 1s, idle: 0}
retry: {attempts: 1}
inject_stream_usage: false
x_forwarded_for: pass
connection: {max_idle: 5, idle_timeout: 10}`;
    expect(providerOf(keys.trim())).toMatchObject({
      name: "primary",
      type: "openai",
      host: "ai.example.com",
      pathPrefix: "/openai",
      upstream: { hostname: "up.example", port: 9_443, tls: true, basePath: "/base" },
      weight: 5.5,
      priority: -3,
      isFallback: true,
      apiKeys: [
        { key: "sk-1", weight: 3 },
        { key: "sk-2", weight: 2.5 },
      ],
      authKeys: ["client-1"],
      authHeader: "x-key",
      authValue: null,
      headersStrip: ["x-a"],
      headersInject: { "x-b": "b" },
      allowedOrigins: [
        "https://app.example.com",
        "https://*.preview.example.com",
        "http://[::1]:3000",
      ],
      requiredHeaders: new Map([
        ["x-team", []],
        ["x-mode", ["a", "b: c"]],
      ]),
      paramWhitelist: new Map([
        ["model", [{ pattern: "gpt-*" }, { pattern: "o3" }]],
        ["stream", [{ pattern: "true" }]],
      ]),
      timeouts: { dialMs: 1_000, idleMs: 0, writeMs: 120_000 },
      retry: { attempts: 1, on: ["connect", "timeout", "429", "5xx"] },
      injectStreamUsage: false,
      xForwardedFor: "pass",
      connection: { idleMax: 5, idleTimeoutMs: 10_000 },
    });
  });

  test.each([
    ["typ: x", "typ: unknown key; did you mean type?"],
    ["api_kye: sk-x", "api_kye: unknown key; did you mean api_key?"],
    ["name: 'a b'", "name: must be a name of letters"],
    ["host: https://a", "host: must be host[:port][/prefix]"],
    ["endpoint: 'a b'", "endpoint: must be a host, host:port or URL"],
    ["port: 0", "port: must be a whole number from 1 to 65535"],
    ["tls: maybe", "tls: must be true or false"],
    ["weight: -1", "weight: must be a number from 0"],
    ["priority: 1.5", "priority: must be a whole number"],
    ["api_key: {a: b}", "api_key: must be a credential that a header can carry"],
    ['api_key: "a\\nb"', "api_key: must be a credential that a header can carry"],
    ["api_keys: [sk-x]", "api_keys[0]: must be a map"],
    ["api_keys: [{weight: 1}]", "api_keys[0].key: is missing"],
    ["auth_header: host", "auth_header: must be a header name, and not one of the connection"],
    ["auth_header: 'a b'", "auth_header: must be a header name"],
    ["headers: {inject: {Upgrade: x}}", "headers.inject.Upgrade: the key must be a header name"],
    ['headers: {inject: {X-A: "a\\r\\nb"}}', "headers.inject.X-A: must be text that a header can"],
    ["headers: {strip: X-A}", "headers.strip: must be a list"],
    ["health_check: {method: get}", "health_check.method: must be an HTTP method in upper case"],
    ["health_check: {headers: ['no colon']}", "health_check.headers[0]: must be a header line"],
    ["allowed_endpoints: [v1]", "allowed_endpoints[0]: must be a path beginning with /"],
    ["allowed_origins: ['a.example']", "allowed_origins[0]: must be an origin like"],
    ["allowed_origins: ['https://a.example/']", "allowed_origins[0]: must be an origin like"],
    ["allowed_origins: ['https://a*.example']", "allowed_origins[0]: must be an origin like"],
    ["allowed_origins: ['https://u@a.example']", "allowed_origins[0]: must be an origin like"],
    ["allowed_origins: ['https://a.example:99999']", "allowed_origins[0]: must be an origin"],
    ["required_headers: [x-a: b]", 'required_headers[0]: must be a header name, or "name: value"'],
    ["required_headers: ['x-a:']", "required_headers[0]: must be a header name"],
    ["required_headers: ['a b']", "required_headers[0]: must be a header name"],
    ["param_whitelist: {model: ['gpt-[']}", "param_whitelist.model[0]: must be a pattern"],
    ["param_whitelist: {model: {a: b}}", "param_whitelist.model: must be a pattern"],
    ["egress_proxy: socks5://a:1", "egress_proxy: must be a URL beginning with http://"],
    ["egress_proxy: 'http://h:1/path'", "egress_proxy: must be a URL like http://user:pass@host"],
    ["egress_proxy: 'http://h:1?a=b'", "egress_proxy: must be a URL like http://user:pass@host"],
    ["egress_proxy: 'http://%zz:p@h'", "egress_proxy: must be a URL like http://user:pass@host"],
    ["connection: {max_idle: 65}", "connection.max_idle: must be a whole number from 0 to 64"],
    [
      "connection: {idle_timeout: 0}",
      "connection.idle_timeout: must be a duration from 1s to 238m",
    ],
    [
      "connection: {idle_timeout: 4h}",
      "connection.idle_timeout: must be a duration from 1s to 238m",
    ],
    ["credential_kind: token", "credential_kind: must be one of api_key, oauth"],
    ["x_forwarded_for: keep", "x_forwarded_for: must be one of strip, pass, append"],
    ["retry: {on: [404]}", "retry.on[0]: must be one of connect, timeout, 429, 5xx"],
    ["retry: {attempts: 0}", "retry.attempts: must be a whole number from 1 to 10"],
    ["timeouts: {dail: 1s}", "timeouts.dail: unknown key; did you mean dial?"],
    ["timeouts: {dial: 30d}", "timeouts.dial: must be a duration from 0 to 24d"],
    ["circuit_breaker: {statuses: [20]}", "circuit_breaker.statuses[0]: must be a whole number"],
    ["base_path: v1", "base_path: must be a path beginning with /"],
  ])("refuses %p", (keys, message) => {
    expect(bad(keys)).toContainEqual(expect.stringContaining(`providers[0].${message}`));
  });

  test.each([
    ["http://h:3128", { hostname: "h", port: 3128, authorization: null }],
    ["http://h", { hostname: "h", port: 80, authorization: null }],
    ["http://[::1]:3128/", { hostname: "::1", port: 3128, authorization: null }],
    ["http://u@h:1", { hostname: "h", port: 1, authorization: `Basic ${btoa("u:")}` }],
    [
      "http://u:p%40ss%3A@h:1",
      { hostname: "h", port: 1, authorization: `Basic ${btoa("u:p@ss:")}` },
    ],
  ])("reads the egress_proxy %s", (url, expected) => {
    expect(providerOf(`type: openai\negress_proxy: "${url}"`).egressProxy).toEqual(expected);
  });

  test("keeps the proxy's login a secret, as it is written and as it is sent", () => {
    const { secrets } = parse(
      "providers: [{type: openai, egress_proxy: 'http://u:p%40ssword@h:1'}]",
    );
    expect(secrets).toContain("p%40ssword");
    expect(secrets).toContain("p@ssword");
    expect(secrets).toContain(`Basic ${btoa("u:p@ssword")}`);
  });

  test("masks every secret in its problems, and collects it when it is good", () => {
    const secret = "hunter2-hunter2";
    for (const keys of [
      `api_key: "${secret}\\n"`,
      `api_keys: [{key: "${secret}\\n"}]`,
      `auth_keys: ["${secret}\\n"]`,
      `auth_value: "${secret}\\n"`,
      `egress_proxy: "ftp://u:${secret}@h"`,
      `egress_proxy: "http://u:${secret}@h/path"`,
      `headers: {inject: {X-A: "${secret}\\n"}}`,
      `api_kye: ${secret}`,
    ]) {
      const problems = bad(keys);
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.join()).not.toContain(secret);
    }
    const { secrets } = parse(`
providers:
  - {type: openai, name: a, api_key: k1, auth_keys: [k2], headers: {inject: {X-A: k4}}}
  - {type: openai, name: b, api_keys: [{key: k3}]}
  - {type: openai, name: c, auth_value: Bearer k5-and-something-long}
`);
    expect(secrets).toEqual([
      "k1",
      "k2",
      "k4",
      "k3",
      "Bearer k5-and-something-long",
      "k5-and-something-long",
    ]);
  });
});
