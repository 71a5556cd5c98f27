import { describe, expect, test } from "bun:test";

import { describeKeys } from "./describe_keys.ts";
import { configOf, parse, problemsOf } from "./support.ts";

const KEY = `${"A".repeat(43)}=`;

describe("ROOT_KEYS", () => {
  test.each([
    ["http_max_header_size: 8KiB", { headerBytesMax: 8_192 }],
    ["data_dir: /var/lib/sluice", { dataDir: "/var/lib/sluice" }],
    ["workers: 1", { workers: 1 }],
    ["auth_keys: [a, 0123]", { authKeys: ["a", "0123"] }],
    [
      "tokens: {issuer: me, leeway: 0}",
      { tokens: { issuer: "me", leewayMs: 0, audience: "sluice" } },
    ],
    ["timeouts: {request: 2m}", { timeouts: { requestMs: 120_000, dialMs: 10_000 } }],
    [
      "limits: {frame: 1MiB, sessions: 7}",
      { limits: { frameBytesMax: 1_048_576, sessionsMax: 7 } },
    ],
    ["limits: {sessions: auto}", { limits: { sessionsMax: null } }],
    ["limits: {sessions: 0}", { limits: { sessionsMax: 0 } }],
    [
      "cors: {allowed_origins: ['https://A.example'], allowed_headers: [X-A], max_age: 1m}",
      {
        cors: {
          allowedOrigins: ["https://a.example"],
          allowedMethods: [],
          allowedHeaders: ["x-a"],
          allowCredentials: false,
          maxAgeMs: 60_000,
        },
      },
    ],
    ["graceful_shutdown_timeout: 5", { gracefulShutdownTimeoutMs: 5_000 }],
    ["retry: {attempts: 3}", { retry: { attempts: 3 } }],
    [
      "usage: {durability: power_loss, spool_max: 2GiB}",
      { usage: { durability: "power_loss", spoolBytesMax: 2_147_483_648 } },
    ],
    ["timing_headers: false", { timingHeaders: false }],
    [
      "log: {level: debug, format: console, file: /x}",
      { log: { level: "debug", format: "pretty", file: "/x" } },
    ],
    ["admin_token: t", { admin: { token: "t" } }],
    [`encryption_keys: 'k1:${KEY}'`, { encryptionKeys: [{ id: "k1" }] }],
    [
      `encryption_keys: ['k2:${KEY}', 'k1:${KEY}']`,
      { encryptionKeys: [{ id: "k2" }, { id: "k1" }] },
    ],
    ["default_provider: gemini", { defaultProvider: "gemini" }],
  ])("reads %p", (text, expected) => {
    expect(configOf(text)).toMatchObject(expected);
  });

  test.each([
    ["htpp_port: 1", "htpp_port: unknown key; did you mean http_port?"],
    ["http_port: -1", "http_port: must be a whole number from 0 to 65535"],
    ["http_port: [1]", "http_port: must be a whole number from 0 to 65535, not a list"],
    ["http_bind_address: 'a b'", "http_bind_address: must be an IP address or host name"],
    ["http_max_header_size: big", "http_max_header_size: must be a size"],
    ["workers: 0", "workers: must be a whole number from 1 to 1024"],
    ["database_url: sqlite://x", "database_url: must be a URL beginning with postgres://"],
    ["encryption_keys: abc", "encryption_keys: must be id:base64 with a key of 32 bytes"],
    [`encryption_keys: ['a:${KEY}', 'a:${KEY}']`, "encryption_keys: has two keys with the id a"],
    ["auth: none", "auth: must be one of required, open"],
    ["auth_keys: ['']", "auth_keys[0]: must be text of at least one character"],
    ["auth_keys: [a, [b]]", "auth_keys[1]: must be text"],
    ["tokens: {algorithm: none}", "tokens.algorithm: must be one of EdDSA, HS256"],
    ["tokens: {max_lifetime: 0}", "tokens.max_lifetime: must be a duration from 1s"],
    ["providers: {type: openai}", "providers: must be a list"],
    ["providers: []", "providers: is empty"],
    ["providers: [openai]", "providers[0]: must be a map"],
    ["default_provider: nope", 'default_provider: "nope" is no provider; there are openai'],
    ["timeouts: {dial: 3y}", "timeouts.dial: must be a duration from 0 to 24d"],
    ["timeouts: {dial: -1s}", "timeouts.dial: must be a duration"],
    ["timeouts: 10s", "timeouts: must be a map"],
    ["limits: {sessions: some}", "limits.sessions: must be auto, or a whole number"],
    ["limits: {frame: 1.5B}", "limits.frame: must be a size"],
    ["limits: {frame: 9GiB}", "limits.frame: must be a size from 0 to 4095MiB"],
    ["limits: {on_store_down: maybe}", "limits.on_store_down: must be one of allow, deny"],
    ["health_check: {enabled: 1}", "health_check.enabled: must be true or false"],
    ["circuit_breaker: {failures: 0}", "circuit_breaker.failures: must be a whole number from 1"],
    ["cors: {allowed_origins: [example.com]}", "cors.allowed_origins[0]: must be an origin like"],
    ["cors: {allowed_methods: [get]}", "cors.allowed_methods[0]: must be an HTTP method"],
    [
      "cors: {allowed_origins: ['*'], allow_credentials: true}",
      "cors.allow_credentials: cannot be true where allowed_origins has *",
    ],
    [
      "cors: {allow_credentials: true}\nproviders: [{type: openai, allowed_origins: ['*']}]",
      "cors.allow_credentials: cannot be true where allowed_origins has *",
    ],
    ["service_tier_policy: {rules: [{action: pass}]}", "rules[0].service_tier: is missing"],
    ["service_tier_policy: {unknown_tier: block}", "service_tier_policy.rules: is missing"],
    [
      "service_tier_policy: {rules: [{service_tier: auto, action: pass}]}",
      "rules[0].service_tier: must be one of priority, flex, all",
    ],
    [
      "service_tier_policy: {rules: [{service_tier: all, action: force, force_tier: all}]}",
      "rules[0].force_tier: must be one of priority, flex, auto",
    ],
    [
      "service_tier_policy: {rules: [{service_tier: all, action: drop}]}",
      "rules[0].action: must be",
    ],
    [
      "service_tier_policy: {rule: []}",
      "service_tier_policy.rule: unknown key; did you mean rules?",
    ],
    ["usage: {durability: none}", "usage.durability: must be one of process, power_loss"],
    ["usage: {sinks: [{type: kafka}]}", "usage.sinks[0].type: must be one of jsonl, cloudwatch"],
    ["usage: {sinks: [{type: jsonl}]}", "usage.sinks[0].path: is missing"],
    ["usage: {sinks: [{type: cloudwatch, group: a}]}", "usage.sinks[0].stream: is missing"],
    ["telemetry: {otlp_endpoint: 'ftp://a'}", "telemetry.otlp_endpoint: must be a URL"],
    ["http_cache: {backend: disk}", "http_cache.backend: must be one of memory, redis"],
    ["http_cache: {backend: redis}", "http_cache.redis_url: is missing"],
    ["timing_headers: 1", "timing_headers: must be true or false"],
    ["log: {level: loud}", "log.level: must be one of trace, debug, info, warn, error"],
    ["log: {file: ''}", "log.file: must be a file name"],
    ["log: info", "log: must be a map"],
    ["admin_token: ${NOPE}", "admin_token: the variable NOPE is not set"],
    ["data_dir: $(pwd)", "data_dir: $(command) is allowed only where a provider's credential"],
  ])("refuses %p", (text, message) => {
    expect(problemsOf(text)).toContainEqual(expect.stringContaining(message));
  });

  test("masks every secret in its problems", () => {
    const secret = "hunter2hunter2";
    const texts = [
      `admin_token: "${secret}\\n"`,
      `auth_keys: ["${secret}\\n", "${secret}\\t"]`,
      `encryption_keys: "k:${secret}"`,
      `database_url: "mysql://u:${secret}@h/d"`,
      `http_cache: {redis_url: "http://:${secret}@h"}`,
      `telemetry: {headers: {a: "${secret}\\n"}}`,
      `auth_kyes: [${secret}]`,
      `log: {level: "sk-${secret}"}`,
    ];
    for (const text of texts) {
      const problems = problemsOf(text);
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.join()).not.toContain(secret);
    }
  });

  test("collects every secret that the configuration holds", () => {
    const { secrets } = parse(
      `admin_token: admin-1\nauth_keys: ["\${CLIENT}"]\nencryption_keys: 'k1:${KEY}'\n` +
        "http_cache: {redis_url: 'redis://:redis%2Dpw@h'}\ntelemetry: {headers: {a: header-1}}\n",
      { CLIENT: "client-1" },
    );
    expect(new Set(secrets)).toEqual(
      new Set([
        "admin-1",
        "client-1",
        `k1:${KEY}`,
        KEY,
        "redis://:redis%2Dpw@h",
        "redis%2Dpw",
        "redis-pw",
        "header-1",
      ]),
    );
  });
});

const rows = describeKeys();

test("ROOT_KEYS give every key a meaning", () => {
  const paths = rows.map(({ path }) => path);
  expect(new Set(paths).size).toBe(paths.length);
  expect(rows.filter(({ meaning }) => meaning === "")).toEqual([]);
});

test("ROOT_KEYS give keys their defaults, and say what is not available", () => {
  expect(rows).toContainEqual({
    path: "timeouts.dial",
    defaultText: "10s",
    meaning: "connecting to the upstream",
    available: true,
  });
  expect(rows.find(({ path }) => path === "workers")?.available).toBe(false);
  expect(rows.some(({ path }) => path === "apis.*.base_url")).toBe(true);
});

test("ROOT_KEYS have defaults that change nothing when they are written out", () => {
  const plain = rows.filter(({ path, defaultText, available }) => {
    return !path.includes("[]") && !path.includes("*") && /^\S+$/.test(defaultText) && available;
  });
  const env = plain
    .filter(
      ({ path }) =>
        !/_bind_address$|_port$|^(data_dir|encryption|auth_keys|service_tier_policy)/.test(path),
    )
    .filter(({ defaultText }) => !/^(\[\]|\{\}|off|SQLite)$/.test(defaultText))
    .map(({ path, defaultText }) => {
      return [`SLUICE_${path.replaceAll(".", "_").toUpperCase()}`, defaultText] as const;
    });
  expect(env.length).toBeGreaterThan(40);
  expect(configOf(null, Object.fromEntries(env))).toEqual(configOf(null));
});
