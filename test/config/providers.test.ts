import { describe, expect, test } from "bun:test";

import { configOf, parse, problemsOf, providerOf, warningsOf } from "./support.ts";

describe("builtInProviders()", () => {
  test("are openai, anthropic and gemini, without credentials", () => {
    for (const text of [null, "", "http_port: 1", "providers:"]) {
      const { providers, defaultProvider } = configOf(text);
      expect(
        providers.map(({ name, upstream, apiKeys }) => [name, upstream.hostname, apiKeys]),
      ).toEqual([
        ["openai", "api.openai.com", []],
        ["anthropic", "api.anthropic.com", []],
        ["gemini", "generativelanguage.googleapis.com", []],
      ]);
      expect(defaultProvider).toBeNull();
    }
  });

  test("take credential and address from the environment", () => {
    const { config, secrets } = parse(null, {
      OPENAI_API_KEY: "sk-one",
      OPENAI_BASE_URL: "http://127.0.0.1:9/v1",
      GEMINI_API_KEY: "",
      ANTHROPIC_BASE_URL: "",
    });
    const [openai, anthropic, gemini] = config.providers;
    expect(openai).toMatchObject({
      apiKeys: [{ key: "sk-one", weight: 1 }],
      upstream: { hostname: "127.0.0.1", port: 9, tls: false, basePath: "" },
    });
    expect([anthropic?.apiKeys, gemini?.apiKeys]).toEqual([[], []]);
    expect(secrets).toEqual(["sk-one"]);
  });

  test("refuse a bad variable without showing it", () => {
    expect(problemsOf(null, { OPENAI_API_KEY: "a\nb", GEMINI_BASE_URL: "http://u:pw@h" })).toEqual([
      "- : the variable OPENAI_API_KEY must be text of at least one character that a header can " +
        "carry",
      "- : the variable GEMINI_BASE_URL must be a URL without query and password",
    ]);
  });

  test("give way to the providers of the file", () => {
    const config = configOf("providers: [{type: forward, endpoint: a, auth: open}]", {
      OPENAI_API_KEY: "k",
    });
    expect(config.providers.map(({ name }) => name)).toEqual(["forward"]);
  });
});

describe("providersOf()", () => {
  test("names the nameless by type, without taking a given name", () => {
    const text =
      "providers: [{type: openai}, {type: openai}, {type: gemini, name: openai-2}, {type: openai}]";
    expect(configOf(text).providers.map(({ name }) => name)).toEqual([
      "openai",
      "openai-3",
      "openai-2",
      "openai-4",
    ]);
  });

  test("inherits timeouts, retry and auth, and replaces one by one", () => {
    const text = `
auth: open
timeouts: {dial: 3s, idle: 4s}
retry: {attempts: 5}
providers:
  - {type: openai, timeouts: {dial: 0}, retry: {on: [connect]}}
  - {type: gemini, auth: required}
`;
    const [openai, gemini] = configOf(text).providers;
    expect(openai).toMatchObject({
      auth: "open",
      timeouts: { dialMs: 0, idleMs: 4_000, pingMs: 30_000 },
      retry: { attempts: 5, on: ["connect"] },
    });
    expect(gemini).toMatchObject({ auth: "required", retry: { attempts: 5 } });
  });

  test("inherits the circuit breaker, and replaces it whole", () => {
    const { providers } = configOf(`
circuit_breaker: {failures: 9, cooldown: 5s, statuses: [500]}
providers:
  - {type: openai}
  - {type: openai, circuit_breaker: {failures: 2}}
`);
    expect(providers.map(({ circuitBreaker }) => circuitBreaker)).toEqual([
      { failures: 9, cooldownMs: 5_000, statuses: [500] },
      { failures: 2, cooldownMs: 30_000, statuses: [502, 503, 504] },
    ]);
  });

  test("makes of health_check a request, and refuses one that cannot be sent", () => {
    expect(providerOf("type: openai").probe).toBeNull();
    expect(providerOf("type: openai\nhealth_check: {}").probe).toEqual({
      method: "GET",
      path: "/",
      body: null,
      headers: [],
    });
    const check = '{method: POST, path: /ping, body: "{}", headers: ["a: b"]}';
    expect(providerOf(`type: openai\nhealth_check: ${check}`).probe).toEqual({
      method: "POST",
      path: "/ping",
      body: "{}",
      headers: [["a", "b"]],
    });
    expect(problemsOf("providers: [{type: openai, health_check: {path: /p, body: x}}]")).toEqual([
      "1 providers[0].health_check: has a body, which GET cannot send; add method: POST",
    ]);
  });

  test("leaves everything allowed where no list is given", () => {
    const { allowedEndpoints, allowedMethods } = providerOf("type: openai");
    expect([allowedEndpoints, allowedMethods]).toEqual([null, null]);
    expect(providerOf("type: openai\nallowed_methods: []").allowedMethods).toEqual([]);
  });

  test("puts api_key behind api_keys, with the provider's weight where a key has none", () => {
    const provider = providerOf(
      "type: openai\nweight: 2\napi_keys: [{key: a, weight: 5}]\napi_key: [b, c]",
    );
    expect(provider.apiKeys).toEqual([
      { key: "a", weight: 5 },
      { key: "b", weight: 2 },
      { key: "c", weight: 2 },
    ]);
    expect(provider.weight).toBe(9);
  });

  test("takes one key's weight for the provider's, as OpenProxy does", () => {
    expect(providerOf("type: openai\nweight: 2\napi_keys: [{key: a, weight: 5}]").weight).toBe(5);
    expect(providerOf("type: openai\nweight: 2\napi_key: a").weight).toBe(2);
    expect(providerOf("type: openai\nweight: 2").weight).toBe(2);
  });

  test.each([
    'api_key: ""',
    'api_keys: [{key: ""}]',
    'auth_value: ""',
    "api_key: ''\nauth_value: ''",
  ])("injects nothing with %p", (keys) => {
    expect(providerOf(`type: openai\n${keys}`)).toMatchObject({ apiKeys: [], authValue: "" });
  });

  test("takes a $(command) wherever a credential is expected", () => {
    const command = { command: "cat x", ttlMs: 60_000 };
    const keys = providerOf("type: openai\napi_keys: [{key: $(cat x)}]\napi_key: [a, $(cat x)]");
    expect(keys.apiKeys.map(({ key }) => key)).toEqual([command, "a", command]);
    expect(providerOf("type: openai\napi_key: $(cat x)").apiKeys).toEqual([
      { key: command, weight: 1 },
    ]);
    expect(providerOf("type: openai\nauth_value: $(cat x)").authValue).toEqual(command);
  });

  test("gives every $(command) of a provider its credential_ttl", () => {
    const keys = "type: openai\ncredential_ttl: 5m\napi_key:";
    expect(providerOf(`${keys} $(a)`).apiKeys[0]?.key).toEqual({ command: "a", ttlMs: 300_000 });
    expect(warningsOf("providers: [{type: openai, api_key: a, credential_ttl: 5m}]")).toEqual([
      "1 providers[0].credential_ttl: is not used: it is about a $(command), and there is none",
    ]);
    expect(warningsOf("providers: [{type: openai, api_key: $(a), credential_ttl: 5m}]")).toEqual(
      [],
    );
  });

  test.each([
    ["type: anthropic\napi_key: $(a)", "oauth"],
    ["type: anthropic\nauth_value: $(a)", "oauth"],
    ["type: anthropic\napi_key: $(a)\ncredential_kind: api_key", "api_key"],
    ["type: anthropic\napi_key: a", "api_key"],
    ["type: openai\napi_key: $(a)", "api_key"],
  ] as const)("%p is a credential of kind %s", (keys, kind) => {
    expect(providerOf(keys).credentialKind).toBe(kind);
  });

  test("a missing or null api_key leaves the credential to the project", () => {
    expect(providerOf("type: openai\napi_key:")).toMatchObject({ apiKeys: [], authValue: null });
  });

  test("defaults x_forwarded_for by type", () => {
    expect(providerOf("type: openai").xForwardedFor).toBe("strip");
    expect(providerOf("type: forward\nauth: open\nendpoint: a").xForwardedFor).toBe("append");
  });

  test("warns that a forward provider does not use an api_key", () => {
    const text = "providers: [{type: forward, endpoint: a, auth: open, api_key: sk-x}]";
    expect(configOf(text).providers[0]?.apiKeys).toEqual([]);
    expect(warningsOf(text)).toEqual([
      "1 providers[0].api_key: is not used: a provider of type forward passes on the caller's " +
        "own credential",
    ]);
  });

  test.each([
    [
      "{type: openai, name: a}, {type: gemini, name: a}",
      'providers[1].name: "a" is also the name of providers[0]',
    ],
    ["{name: a}", "providers[0].type: is missing: openai, anthropic, gemini or forward"],
    [
      "{type: forward, auth: open}",
      "providers[0].endpoint: is missing: a provider of type forward",
    ],
    [
      "{type: openai, endpoint: a, base_url: b}",
      "providers[0].base_url: says the same as endpoint",
    ],
    ["{type: openai, endpoint: 'http://a', tls: true}", "providers[0].tls: contradicts"],
    ["{type: openai, endpoint: 'a:1', port: 2}", "providers[0].port: contradicts"],
    [
      "{type: openai, base_url: 'http://a/b', base_path: /c}",
      "providers[0].base_path: contradicts",
    ],
    ["{type: openai, api_key: [a, '']}", "providers[0].api_key: has an empty credential beside"],
    [
      "{type: openai, api_key: a, auth_value: b}",
      "providers[0].auth_value: is the whole header value",
    ],
    ["{type: openai, weight: 0, api_key: [a, b]}", "providers[0].api_keys: all have weight 0"],
    ["{type: forward, endpoint: a}", "providers[0].auth: is missing: write auth: open where"],
  ])("refuses %p", (providers, message) => {
    expect(problemsOf(`providers: [${providers}]`)).toEqual([
      expect.stringContaining(`1 ${message}`),
    ]);
  });
});

test("providersOf() takes a forward provider without auth where the file says it for all", () => {
  for (const auth of ["open", "required"] as const) {
    const config = configOf(`auth: ${auth}\nproviders: [{type: forward, endpoint: a}]`);
    expect(config.providers.map((provider) => provider.auth)).toEqual([auth]);
  }
});

describe("providersOfApis()", () => {
  const file = `
default_api: openai
apis:
  openai:
    base_url: https://api.openai.com
    timeouts: {request: 120s, response_header: 30s, idle_connection: 90s, flush_interval: 10ms}
    connection: {max_idle_conns: 100, max_idle_conns_per_host: 20}
`;

  const lists = `${file}    allowed_endpoints: [/v1/models, /v1/chat/completions]
    allowed_methods: [GET, POST, OPTIONS]
`;

  test("keeps to the endpoints and methods that the file names", () => {
    expect(configOf(lists).providers[0]).toMatchObject({
      allowedEndpoints: ["/v1/models", "/v1/chat/completions"],
      allowedMethods: ["GET", "POST", "OPTIONS"],
    });
  });

  test("keeps to the parameters, origins and headers that the file names", () => {
    const restricted = `${lists}    param_whitelist: {model: [gpt-4o, gpt-4.1-*]}
    allowed_origins: [https://app.example.com]
    required_headers: [origin]
`;
    const [api] = configOf(restricted).providers;
    expect(api).toMatchObject({
      allowedOrigins: ["https://app.example.com"],
      requiredHeaders: new Map([["origin", []]]),
    });
    const patterns = api?.paramWhitelist.get("model")?.map(({ pattern }) => pattern);
    expect(patterns).toEqual(["gpt-4o", "gpt-4.1-*"]);
  });

  test("serves each API of a protocol but the default one under its name, and says so", () => {
    const api = (name: string, url: string) =>
      `  ${name}: {base_url: "${url}", allowed_endpoints: [/v1], allowed_methods: [POST]}\n`;
    const apis =
      api("mistral", "https://api.mistral.ai") +
      api("openai", "https://api.openai.com") +
      api("google", "https://generativelanguage.googleapis.com") +
      api("cohere", "https://api.cohere.ai");
    const served = (text: string) =>
      configOf(text).providers.map(({ name, pathPrefix }) => `${name} ${pathPrefix}`);
    const named = `default_api: openai\napis:\n${apis}`;
    expect(served(named)).toEqual(["mistral /mistral", "openai ", "google ", "cohere /cohere"]);
    expect(warningsOf(named)).toEqual([
      "3 apis.mistral: is served under /mistral, because openai speaks openai too",
      "6 apis.cohere: is served under /cohere, because openai speaks openai too",
    ]);
    const unnamed = served(`apis:\n${apis}`);
    expect(unnamed).toEqual(["mistral ", "openai /openai", "google ", "cohere /cohere"]);
  });

  test("misses the keys that llm-proxy requires", () => {
    expect(problemsOf(`${file}  other: {}\n`)).toEqual([
      "4 apis.openai.allowed_endpoints: is missing: a llm-proxy file names them",
      "4 apis.openai.allowed_methods: is missing: a llm-proxy file names them",
      "8 apis.other.base_url: is missing: the URL of the API",
      "8 apis.other.allowed_endpoints: is missing: a llm-proxy file names them",
      "8 apis.other.allowed_methods: is missing: a llm-proxy file names them",
    ]);
  });

  test.each([
    ["apis: {}", "apis: has no API in it"],
    [
      "apis: {a: {base_url: 'https://a'}}\nproviders: [{type: openai}]",
      "apis: cannot stand beside",
    ],
    ["apis: {a: {base_url: 'https://a'}}\ndefault_api: b", 'default_api: "b" is no provider'],
    ["default_api: openai\ndefault_provider: openai", "default_api: cannot stand beside"],
  ])("refuses %p", (text, message) => {
    expect(problemsOf(text)).toContainEqual(expect.stringContaining(message));
  });
});
