import { describe, expect, test } from "bun:test";

import { parseConfig } from "../../src/config/parse.ts";
import { ConfigError } from "../../src/config/problem.ts";
import { Prng } from "../support/prng.ts";
import { configOf, parse, problemsOf, warningsOf } from "./support.ts";

/** What OpenProxy's own documentation shows, with its keys in every place it knows. */
const OPENPROXY = `
https_bind_address: 127.0.0.1
http_port: 8080
http_max_header_size: 512
auth_open_anywhere: true
auth_keys:
  - "client-api-key-1"
  - "client-api-key-2"
health_check_interval: 60
graceful_shutdown_timeout: 5
connect_tunnel_enabled: false
providers:
  - type: "openai"
    host: "openai.example.com"
    endpoint: "api.openai.com"
    port: 443
    tls: true
    weight: 1.0
    api_key: "sk-openai"
    health_check:
      method: "GET"
      path: "/v1/models"
  - type: "gemini"
    host: "gemini.example.com:443/gemini/"
    endpoint: "generativelanguage.googleapis.com"
    weight: 1.5
    priority: 10
    api_key: ["AIza-1", "AIza-2"]
  - type: "anthropic"
    host: "anthropic.example.com"
    endpoint: "api.anthropic.com"
    is_fallback: true
    api_key: "sk-ant"
    health_check:
      method: "POST"
      path: "/v1/messages"
      body: '{"model":"claude-3-haiku-20240307","max_tokens":1,"messages":[]}'
      headers:
        - "Content-Type: application/json"
        - "anthropic-version: 2023-06-01"
  - type: "openai"
    host: "openai-backup.example.com"
    endpoint: "api.openai.com"
    api_keys:
      - key: "sk-key-1"
        weight: 1.0
      - key: "sk-key-2"
        weight: 2.0
    auth_keys:
      - "provider-specific-auth-key"
  - type: forward
    host: internal.example.com
    endpoint: backend.internal
    tls: false
    auth: open
`;

describe("parseConfig() of an OpenProxy file", () => {
  test("means what it means there", () => {
    const config = configOf(OPENPROXY);
    expect(config).toMatchObject({
      http: { hostname: "0.0.0.0", port: 8_080 },
      https: null,
      headerBytesMax: 1_024,
      auth: "required",
      authKeys: ["client-api-key-1", "client-api-key-2"],
      gracefulShutdownTimeoutMs: 5_000,
    });
    expect(
      config.providers.map(({ name, host, pathPrefix, upstream, weight, apiKeys }) => {
        const { hostname, port } = upstream;
        return [name, host, pathPrefix, `${hostname}:${port}`, weight, apiKeys.length];
      }),
    ).toEqual([
      ["openai", "openai.example.com", "", "api.openai.com:443", 1, 1],
      ["gemini", "gemini.example.com", "/gemini", "generativelanguage.googleapis.com:443", 3, 2],
      ["anthropic", "anthropic.example.com", "", "api.anthropic.com:443", 1, 1],
      ["openai-2", "openai-backup.example.com", "", "api.openai.com:443", 3, 2],
      ["forward", "internal.example.com", "", "backend.internal:80", 1, 0],
    ]);
    expect(config.providers[3]).toMatchObject({
      authKeys: ["provider-specific-auth-key"],
      apiKeys: [
        { key: "sk-key-1", weight: 1 },
        { key: "sk-key-2", weight: 2 },
      ],
    });
  });

  test("takes health_check_interval for the interval that health_check does not name", () => {
    const checks = (text: string) => configOf(text).healthCheck;
    expect(checks("health_check_interval: 30")).toEqual({ intervalMs: 30_000 });
    const both = "health_check_interval: 30\nhealth_check: {enabled: true";
    expect(checks(`${both}}`)).toEqual({ intervalMs: 30_000 });
    expect(checks(`${both}, interval: 5}`)).toEqual({ intervalMs: 5_000 });
    expect(checks("health_check: {enabled: true}")).toEqual({ intervalMs: 60_000 });
    expect(checks("health_check: {interval: 5}")).toBeNull();
  });

  test("says what of it does nothing yet", () => {
    expect(warningsOf(OPENPROXY).map((warning) => warning.split(":")[0])).toEqual([
      "4 http_max_header_size",
    ]);
  });

  test("follows anchors and merge keys, the provider's own keys first", () => {
    const config = configOf(`
http_port: 8080
defaults: &defaults
  type: openai
  endpoint: api.openai.com
  weight: 2
slow: &slow {timeouts: {dial: 20s}, weight: 9}
providers:
  - <<: *defaults
    host: a.example.com
    api_key: sk-a
  - <<: [*defaults, *slow]
    host: b.example.com
    weight: 3
`);
    expect(
      config.providers.map(({ name, host, weight, timeouts }) => [
        name,
        host,
        weight,
        timeouts.dialMs,
      ]),
    ).toEqual([
      ["openai", "a.example.com", 2, 10_000],
      ["openai-2", "b.example.com", 3, 20_000],
    ]);
  });

  test("merges one provider into the next", () => {
    const { providers } = configOf(`
providers:
  - &first {type: openai, host: a.example, endpoint: "http://127.0.0.1:1", api_key: k}
  - {<<: *first, host: b.example}
`);
    expect(providers[1]).toMatchObject({ host: "b.example", apiKeys: [{ key: "k" }] });
  });

  test("needs no auth_keys, because tokens are always accepted", () => {
    expect(configOf(OPENPROXY.replace(/auth_keys:\n(?: {2}- .*\n)+/, "")).auth).toBe("required");
  });
});

describe("parseConfig()", () => {
  test.each([
    ["", null],
    ["health_check: {enabled: true}", 60_000],
    ["health_check: {enabled: true, interval: 5s}", 5_000],
    ["health_check: {enabled: false}\nhealth_check_interval: 7", null],
    ["health_check_interval: 7", 7_000],
  ])("takes %p as health checks every %p ms", (text, expected) => {
    expect(configOf(text).healthCheck?.intervalMs ?? null).toBe(expected);
  });

  test("reports all problems at once, in the order of the file, with path, line and value", () => {
    const text = `
http_prt: 8080
workers: many
timeouts:
  dial: 3y
  idel: 1s
auth_keys: [good, "bad\\n"]
log:
  level: \${LEVEL}
providers:
  - type: opnai
    endpoint: ftp://x
  - type: openai
    allowed_models:
    api_key: $KEY
workers: 2
`;
    expect(problemsOf(text, { SLUICE_ADMIN_PORT: "x" })).toEqual([
      "2 http_prt: unknown key; did you mean http_port?",
      '3 workers: must be a whole number from 1 to 1024, not "many"',
      "5 timeouts.dial: must be a duration from 0 to 24d, in seconds or like 250ms, 10s, 15m, " +
        'not "3y"',
      "6 timeouts.idel: unknown key; did you mean idle?",
      "7 auth_keys[1]: must be text of at least one character that a header can carry, " +
        "not the value given (hidden)",
      "9 log.level: the variable LEVEL is not set",
      '11 providers[0].type: must be one of openai, anthropic, gemini, forward, not "opnai"',
      "12 providers[0].endpoint: must be a host, host:port or URL without query and password, " +
        'not "ftp://x"',
      "14 providers[1].allowed_models: has no value: leave it out for no restriction, or say " +
        "what is allowed",
      "15 providers[1].api_key: write ${KEY} for the variable KEY, or $$KEY for the text itself",
      "16 workers: is given twice; the first is on line 3",
      '- admin_port: must be a whole number from 0 to 65535, not "x" ' +
        "(set by the variable SLUICE_ADMIN_PORT)",
    ]);
  });

  test("expands variables in any string, numbers and lists included", () => {
    const env = { PORT_A: "81", KEY: "sk-$1", DIAL: "2s" };
    const config = configOf(
      "http_port: ${PORT_A}\ntimeouts: {dial: '${DIAL}'}\nauth_keys: ['${KEY}', a$$b]\n",
      env,
    );
    expect(config.http?.port).toBe(81);
    expect(config.timeouts.dialMs).toBe(2_000);
    expect(config.authKeys).toEqual(["sk-$1", "a$b"]);
  });

  test("is pure: the same input gives the same value, and the input stays as it was", () => {
    const env = Object.freeze({ OPENAI_API_KEY: "k" });
    expect(parse(null, env)).toEqual(parse(null, env));
  });

  test("never throws anything but ConfigError, whatever is done to a file", () => {
    const seed = 20_261;
    const prng = new Prng(seed);
    const alphabet = "\0\t\n {}[]:,-&*!|>'\"%@`#?$<~\\0aZ\u{1f600}\ud800".split("");
    const bits = [...OPENPROXY.split("\n"), "<<: *a", "&a", "*a", "${X}", "$(x)", "? ", "!!set"];
    let good = 0;
    for (let round = 0; round < 1_000; round++) {
      let text = OPENPROXY;
      for (let edits = prng.int(1, 4); edits > 0; edits--) {
        const at = prng.int(0, text.length);
        const piece = prng.next() < 0.5 ? prng.pick(alphabet) : prng.pick(bits);
        text = text.slice(0, at) + piece + text.slice(at + prng.int(0, 12));
      }
      try {
        parseConfig({ text, env: {} });
        good++;
      } catch (error) {
        if (!(error instanceof ConfigError))
          throw new Error(`Seed ${seed}, round ${round}`, { cause: error });
        expect(error.problems.length).toBeGreaterThan(0);
        expect(error.message).not.toMatch(/sk-(openai|ant|key)|AIza-/);
      }
    }
    // Both sides must be reached, or the loop above shows nothing.
    expect(good).toBeGreaterThan(20);
    expect(good).toBeLessThan(950);
  });

  test("never throws anything but ConfigError on values of every kind under every key", () => {
    const keys = [...OPENPROXY.matchAll(/[a-z_]+(?=:)/g)].map(([name]) => name);
    const values = [
      "",
      "~",
      "[]",
      "{}",
      "[[]]",
      "{a: 1}",
      "-1",
      "1e999",
      "''",
      "true",
      "*x",
      '"\\0"',
    ];
    for (const name of new Set([...keys, "apis", "timeouts", "limits", "log", "usage", "cors"])) {
      for (const value of values) {
        for (const text of [
          `${name}: ${value}`,
          `providers: [{type: openai, ${name}: ${value}}]`,
        ]) {
          try {
            parseConfig({ text, env: {} });
          } catch (error) {
            expect(error).toBeInstanceOf(ConfigError);
          }
        }
      }
    }
  });
});

describe("parseConfig() of a service_tier_policy", () => {
  const text = `service_tier_policy:
  unknown_tier: filter
  rules:
    - { service_tier: FAST, action: force, force_tier: flex }
    - service_tier: all
      action: block
`;

  test("hands on what was written, with the other keys of a rule not set", () => {
    expect(configOf(null).serviceTierPolicy).toBeNull();
    expect(configOf(text).serviceTierPolicy).toMatchObject({
      unknown_tier: "filter",
      rules: [
        { service_tier: "priority", action: "force", force_tier: "flex", shadow: false },
        { service_tier: "all", action: "block", force_tier: null, projects: [] },
      ],
    });
  });

  test("puts what the check finds at its line, and asks it only about keys that are right", () => {
    const asked: object[] = [];
    const checkServiceTierPolicy = (policy: object) => {
      asked.push(policy);
      return [{ path: "rules[1].action", message: "will not do" }];
    };
    const problems = (source: string) => {
      try {
        parseConfig({ text: source, env: {}, checkServiceTierPolicy });
      } catch (error) {
        return error instanceof ConfigError ? error.problems : [];
      }
      return [];
    };
    expect(problems(`http_prot: 1\n${text}`)).toMatchObject([
      { line: 1, path: "http_prot" },
      { line: 7, path: "service_tier_policy.rules[1].action", message: "will not do" },
    ]);
    expect(problems(text.replace("block", "blck"))).toMatchObject([
      { line: 6, path: "service_tier_policy.rules[1].action" },
    ]);
    expect(problems("")).toEqual([]);
    expect(asked).toHaveLength(1);
  });
});
