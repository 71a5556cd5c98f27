/**
 * The keys of one provider, and of one entry of a llm-proxy file.
 *
 * Owns: their names, rules, defaults and meanings. Does not own: how they combine (`providers.ts`).
 * Invariant: every key of the contract is here and checked, also before its function is built.
 */

import { encodeBase64, encodeUtf8 } from "../lib/encoding.ts";
import { parseGlob } from "../lib/glob.ts";
import { unbracketed } from "../lib/host_name.ts";
import type { EgressProxyConfig, RetryCause } from "./config.ts";
import type { ConfigNode } from "./document.ts";
import type { Reader } from "./reader.ts";
import {
  inherited,
  key,
  list,
  many,
  oneOrMany,
  optional,
  record,
  required,
  type Rule,
  scalar,
  secret,
  section,
  table,
  type Values,
} from "./rule.ts";
import {
  anyText,
  choice,
  decimal,
  duration,
  flag,
  headerName,
  headerSecret,
  headerValue,
  integer,
  matching,
  settableHeaderName,
  text,
  url,
} from "./scalars.ts";
import { passwordsOf } from "./secret_text.ts";
import { parseBasePath, parseEndpoint, parseServedHost } from "./upstream.ts";

const CAUSES: readonly RetryCause[] = ["connect", "timeout", "429", "5xx"];

export const TIMEOUT_KEYS = {
  request: key(duration(), "0", "the whole exchange"),
  dial: key(duration(), "10s", "connecting to the upstream"),
  response_header: key(duration(), "10m", "until the upstream's response headers"),
  idle: key(duration(), "15m", "without a data frame either way"),
  write: key(duration(), "2m", "a write that the peer does not take"),
  first_frame: key(duration(), "30s", "the client's first frame, where it decides the route"),
  between_turns: key(duration(), "0", "without a turn on an open session"),
  ping: key(duration(), "30s", "between our pings"),
  drain_after_disconnect: key(duration(), "1200ms", "reading on for usage after the client left"),
};

export const RETRY_KEYS = {
  attempts: key(integer(1, 10), "2", "upstreams tried, the first one included"),
  on: {
    rule: list(choice(CAUSES), 10),
    fallback: CAUSES,
    required: false,
    defaultText: "[connect, timeout, 429, 5xx]",
    meaning: "causes that the next candidate may mend",
  },
};

const STATUS = integer(100, 599);

export const BREAKER_KEYS = {
  failures: key(integer(1, 10_000), "5", "failures in a row that open it"),
  cooldown: key(duration("1ms"), "30s", "until one probe is let through"),
  statuses: {
    rule: list(STATUS, 100),
    fallback: [502, 503, 504],
    required: false,
    defaultText: "[502, 503, 504]",
    meaning: "answers that count as failures",
  },
};

/** A credential: text, or a `$(command)` that prints it. "" is none, for upstreams without keys. */
export interface CredentialText {
  /** The credential, or the command. */
  readonly text: string;
  readonly isCommand: boolean;
}

const credential: Rule<CredentialText> = {
  expects: "a credential that a header can carry",
  parts: { kind: "scalar" },
  read(node: ConfigNode, shared: Reader) {
    const reader = shared.secret();
    if (node.kind !== "scalar" || node.text === null) return reader.refuse(node, this.expects);
    const read = reader.text(node, true);
    if (read === undefined) return undefined;
    if (read.isCommand || read.text === "") return read;
    const value = headerSecret.convert(read.text);
    if (value === undefined) return reader.refuse(node, this.expects);
    return { text: value, isCommand: false };
  },
};

const API_KEY_ENTRY = {
  key: required(credential, "a credential, or a $(command) that prints it"),
  weight: optional(decimal(0, 1_000_000), "share of the requests", "the provider's"),
};

export const METHOD = matching(/^[A-Z]{1,16}$/, "an HTTP method in upper case");
const PATH = matching(/^\/[\u0021-\u007e]*$/, "a path beginning with /");
const MODEL = text("a model name");
const ORIGIN_FORM = /^https?:\/\/(?:(?:\*\.)?[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const ORIGIN = scalar(
  "an origin like https://app.example.com or https://*.example.com",
  (value) => {
    if (value === "*") return value;
    // As browsers write it: in lower case, without the scheme's own port.
    return ORIGIN_FORM.test(value) && URL.canParse(value) ? new URL(value).origin : undefined;
  },
);
const PATTERN = scalar("a pattern: a value, with * for any text, ? or [a-z]", parseGlob);
const HEADER_LINE = scalar('a header line like "name: value"', (line) => {
  const colon = line.indexOf(":");
  const name = headerName.convert(line.slice(0, Math.max(colon, 0)).trim());
  const value = headerValue.convert(line.slice(colon + 1).trim());
  return name === undefined || value === undefined ? undefined : ([name, value] as const);
});

const REQUIRED_HEADER = scalar('a header name, or "name: value" in quotes', (line) => {
  const colon = line.indexOf(":");
  const name = headerName.convert((colon === -1 ? line : line.slice(0, colon)).trim());
  const value = colon === -1 ? null : headerValue.convert(line.slice(colon + 1).trim());
  // A name with nothing behind its colon may have lost its value.
  if (name === undefined || value === undefined || value === "") return undefined;
  return { name, value };
});

export const origins = (meaning: string) => many(list(ORIGIN), meaning);

/** A URL whose password is a secret; only its parts are shown. */
export function secretUrl(schemes: readonly string[]): Rule<URL> {
  const rule = secret(url(schemes));
  return {
    ...rule,
    read(node, reader) {
      const read = rule.read(node, reader);
      if (read !== undefined) for (const password of passwordsOf(read)) reader.addSecret(password);
      return read;
    },
  };
}

const PROXY_URL = secretUrl(["http"]);

const egressProxy: Rule<EgressProxyConfig> = {
  expects: "a URL like http://user:pass@host:port",
  parts: { kind: "scalar" },
  read(node, reader) {
    const url = PROXY_URL.read(node, reader);
    if (url === undefined) return undefined;
    const login = loginOf(url);
    if (login === undefined || url.pathname + url.search !== "/" || url.port === "0") {
      return reader.secret().refuse(node, this.expects);
    }
    const authorization = login === "" ? null : `Basic ${encodeBase64(encodeUtf8(login))}`;
    reader.addSecret(authorization ?? "");
    const hostname = unbracketed(url.hostname);
    return { hostname, port: url.port === "" ? 80 : Number(url.port), authorization };
  },
};

/** `user:pass` of a URL; "" for none. Undefined: it is not encoded as a URL must be. */
function loginOf({ username, password }: URL): string | undefined {
  try {
    const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return login === ":" ? "" : login;
  } catch {
    return undefined;
  }
}

const HEALTH_CHECK = {
  method: key(METHOD, "GET", "of the probe"),
  path: optional(PATH, "of the probe", "/"),
  body: optional(anyText(), "of the probe"),
  headers: many(secret(list(HEADER_LINE, 100)), '"name: value" lines of the probe'),
};

const HEADERS = {
  strip: many(list(headerName, 100), "request headers that are not forwarded"),
  inject: {
    rule: table(settableHeaderName, secret(headerValue)),
    fallback: [],
    required: false,
    defaultText: "{}",
    meaning: "request headers that are added or replaced",
  },
};

/** As many as the runtime keeps of a kind, and as long as its timer can run. */
export const IDLE_MAX = 64;
export const IDLE_TIMEOUT_MS_MAX = 238 * 60_000;

const CONNECTION = {
  max_idle: key(integer(0, IDLE_MAX), "64", "idle connections kept for the next request; 0: none"),
  idle_timeout: key(duration("1s", "238m"), "90s", "after which an idle one is closed"),
};

/** Keys that narrow what a provider may be used for; a llm-proxy file has the same. */
const RESTRICTION_KEYS = {
  allowed_endpoints: optional(list(PATH), "paths, others are refused; `*` stands for one segment"),
  allowed_methods: optional(list(METHOD, 100), "methods, others are refused"),
  param_whitelist: optional(
    table(text("a parameter name"), oneOrMany(PATTERN)),
    "name: patterns of the values that a request parameter may have",
  ),
  allowed_origins: optional(
    list(ORIGIN),
    "origins of browsers, others are refused",
    "cors.allowed_origins",
  ),
  required_headers: many(
    list(REQUIRED_HEADER, 100),
    'headers that a request must have: "name", or "name: value"',
  ),
};

export const PROVIDER_NAME = matching(
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
  "a name of letters, digits, dots, dashes and underscores",
);

const ENDPOINT = scalar("a host, host:port or URL without query and password", parseEndpoint);

export const PROVIDER_KEYS = {
  name: optional(PROVIDER_NAME, "names it in credentials, usage and logs", "its type, numbered"),
  type: required(
    choice(["openai", "anthropic", "gemini", "forward"]),
    "openai, anthropic, gemini or forward",
  ),
  host: optional(
    scalar("host[:port][/prefix]", parseServedHost),
    "host[:port][/prefix] that it serves",
    "any host",
  ),
  endpoint: optional(
    ENDPOINT,
    "host, host:port or URL of the upstream",
    "the provider's public API",
  ),
  base_url: optional(ENDPOINT, "the same as endpoint"),
  port: optional(integer(1, 65_535), "of the upstream", "443, without TLS 80"),
  tls: optional(flag(), "to the upstream", "true"),
  base_path: optional(
    scalar("a path beginning with /, or nothing", parseBasePath),
    "put before the path of each request",
    "the path of endpoint",
  ),
  weight: key(decimal(0, 1_000_000), "1", "share of the requests among equals"),
  priority: key(integer(-2_147_483_648, 2_147_483_647), "0", "only the highest is used"),
  is_fallback: key(flag(), "false", "used only when no other is left"),
  api_key: optional(
    oneOrMany(credential, 1_000),
    'the provider\'s credential, a $(command) that prints it, or a list; "" sends none',
  ),
  api_keys: many(list(record(API_KEY_ENTRY), 1_000), "credentials with weights: {key, weight}"),
  auth: optional(
    choice(["required", "open"]),
    "whether a caller needs a token or key",
    "the global one",
  ),
  auth_keys: many(oneOrMany(secret(headerSecret), 10_000), "static client keys for this provider"),
  auth_header: optional(
    settableHeaderName,
    "header that the credential goes into",
    "the provider's",
  ),
  auth_value: optional(
    credential,
    'the whole value of that header, or a $(command) that prints it; "" sends none',
    "made of the api_key",
  ),
  credential_kind: optional(
    choice(["api_key", "oauth"]),
    "what the credential is",
    "api_key; $(command) of anthropic: oauth",
  ),
  credential_ttl: optional(duration("1s"), "how long what a $(command) printed is used", "60s"),
  headers: section(HEADERS, "changes to the request headers"),
  models: optional(table(MODEL, MODEL), "alias: name of the upstream"),
  allowed_models: optional(list(MODEL), "models, others are refused"),
  ...RESTRICTION_KEYS,
  egress_proxy: optional(egressProxy, "http://user:pass@host:port to go through"),
  ca_file: optional(
    text("the path of a PEM file"),
    "certificates (PEM) that sign the upstream's",
    "the usual authorities",
  ),
  client_cert_file: optional(
    text("the path of a PEM file"),
    "certificate (PEM) that is shown to the upstream",
  ),
  client_key_file: optional(text("the path of a PEM file"), "its private key"),
  timeouts: section(inherited(TIMEOUT_KEYS), "each as in timeouts, which they replace"),
  retry: section(inherited(RETRY_KEYS), "as retry, which it replaces"),
  circuit_breaker: optional(record(BREAKER_KEYS), "as circuit_breaker, which it replaces"),
  health_check: optional(record(HEALTH_CHECK), "the request that shows that it is healthy"),
  inject_stream_usage: key(flag(), "true", "ask for usage on chat streams, and take it out again"),
  x_forwarded_for: optional(
    choice(["strip", "pass", "append"]),
    "what happens to that header",
    "strip; forward: append",
  ),
  connection: section(CONNECTION, "connections to the upstream"),
};

export type ProviderValues = Values<typeof PROVIDER_KEYS>;

/** `apis.<name>` of a llm-proxy file. */
export const API_KEYS = {
  type: optional(PROVIDER_KEYS.type.rule, "of the provider", "told by base_url, else openai"),
  base_url: required(ENDPOINT, "the URL of the API"),
  ...RESTRICTION_KEYS,
  timeouts: section(
    {
      request: optional(duration(), "the whole exchange"),
      response_header: optional(duration(), "until the upstream's response headers"),
      idle_connection: optional(duration(), "after which an idle connection is closed"),
      flush_interval: optional(duration(), "not needed: every chunk is passed on at once"),
    },
    "of this API",
  ),
  connection: section(
    {
      max_idle_conns: optional(integer(0, 100_000), "idle connections kept"),
      max_idle_conns_per_host: optional(integer(0, 100_000), "idle connections kept to this API"),
    },
    "connections to the upstream",
  ),
};

export type ApiValues = Values<typeof API_KEYS>;
