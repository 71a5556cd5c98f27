/** Which header fields cross, in both directions. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { anthropic } from "../../src/provider/anthropic.ts";
import { openai } from "../../src/provider/openai.ts";
import {
  credentialHeaders,
  downstreamHeaders,
  upstreamHeaders,
  upstreamUpgradeHeaders,
} from "../../src/relay/headers.ts";
import type { CredentialPolicy, HeaderPair, HeaderPolicy } from "../../src/relay/headers.ts";
import { providerConfig } from "../support/provider_config.ts";

function up(
  client: Record<string, string>,
  changes: Partial<HeaderPolicy> = {},
  credential: readonly HeaderPair[] = [["authorization", "Bearer upstream"]],
): Record<string, string> {
  return Object.fromEntries(upstreamHeaders(new Headers(client), options(changes, credential)));
}

function options(changes: Partial<HeaderPolicy>, credential: readonly HeaderPair[] = []) {
  return {
    provider: providerConfig(changes),
    credential,
    requestId: "req_1",
    remoteAddress: "192.0.2.7",
    secure: true,
  };
}

/** What is added to every request. */
const ADDED = {
  accept: "",
  "user-agent": "",
  "x-request-id": "req_1",
  authorization: "Bearer upstream",
};

describe("upstreamHeaders()", () => {
  test("passes end-to-end headers and adds only the credential and a request id", () => {
    const client = {
      accept: "text/event-stream",
      "accept-encoding": "gzip",
      "content-type": "application/json; charset=utf-8",
      "openai-beta": "x=1",
      "user-agent": "sdk/1",
      "x-request-id": "mine",
      "x-stainless-lang": "js",
    };
    expect(up(client)).toEqual({ ...client, authorization: "Bearer upstream" });
  });

  test.each([
    ["authorization", "Bearer client"],
    ["x-api-key", "client"],
    ["api-key", "client"],
    ["x-goog-api-key", "client"],
    ["x-sluice-token", "client"],
    ["x-sluice-anything", "client"],
    ["cookie", "a=b"],
    ["proxy-authorization", "Basic x"],
    ["proxy-connection", "keep-alive"],
    ["proxy-anything", "x"],
    ["connection", "keep-alive"],
    ["keep-alive", "timeout=5"],
    ["te", "trailers"],
    ["trailer", "x"],
    ["transfer-encoding", "chunked"],
    ["upgrade", "h2c"],
    ["http2-settings", "x"],
    ["expect", "100-continue"],
    ["host", "gw.example"],
    ["content-length", "5"],
    ["forwarded", "for=10.0.0.1"],
    ["x-forwarded-for", "10.0.0.1"],
    ["x-forwarded-anything", "x"],
    ["x-real-ip", "10.0.0.1"],
    ["via", "1.1 x"],
    ["cf-connecting-ip", "10.0.0.1"],
  ])("drops %s", (name, value) => {
    expect(up({ [name]: value })).toEqual(ADDED);
  });

  test.each([
    [undefined, "oauth-2025-04-20"],
    ["context-1m, claude-code-20250219", "context-1m, claude-code-20250219, oauth-2025-04-20"],
    ["a,oauth-2025-04-20 ,b", "a,oauth-2025-04-20 ,b"],
  ])("adds the beta that a credential needs to the client's %p", (listed, sent) => {
    const client: Record<string, string> = listed === undefined ? {} : { "anthropic-beta": listed };
    const credential = anthropic.credentialHeaders("sk-ant-oat01", "authorization", "oauth", "");
    expect(up(client, {}, credential)["anthropic-beta"]).toBe(sent);
  });

  test("drops what Connection names, and not our credential when it names that", () => {
    const client = { connection: "Close, X-Hop , authorization", "x-hop": "1", "x-end": "2" };
    expect(up(client)).toEqual({ ...ADDED, "x-end": "2" });
  });

  test("of a forward provider keeps Authorization and cookies, and no token of ours", () => {
    const client = { authorization: "Bearer theirs", cookie: "a=b", "x-sluice-token": "ours" };
    const headers = up(client, { type: "forward" }, []);
    expect(headers).toMatchObject({ authorization: "Bearer theirs", cookie: "a=b" });
    expect(headers).not.toHaveProperty("x-sluice-token");
  });

  test("passes or appends the client's address where the provider is configured so", () => {
    const client = { "x-forwarded-for": "10.0.0.1", "x-real-ip": "10.0.0.1" };
    expect(up(client, { xForwardedFor: "pass" })).toMatchObject(client);
    expect(up(client, { xForwardedFor: "append" })).toMatchObject({
      "x-forwarded-for": "10.0.0.1, 192.0.2.7",
      "x-forwarded-proto": "https",
      "x-real-ip": "10.0.0.1",
    });
  });

  test("strips and injects what is configured, the injected last", () => {
    const changes = { headersStrip: ["X-Gone", "x-both"], headersInject: { "X-Both": "ours" } };
    const headers = up({ "x-gone": "1", "x-both": "theirs" }, changes);
    expect(headers).toEqual({ ...ADDED, "x-both": "ours" });
  });

  test("never passes a value that holds a control character", () => {
    expect(up({ "x-a": "a\x7fb", "x-b": "a\x01b", "x-c": "a\tb\xff" })).toEqual({
      ...ADDED,
      "x-c": "a\tb\xff",
    });
  });
});

describe("upstreamUpgradeHeaders()", () => {
  test("is the same without what the handshake consists of, and without empty values", () => {
    const client = new Headers({
      connection: "Upgrade",
      upgrade: "websocket",
      host: "gw.example",
      "sec-websocket-key": "x",
      "sec-websocket-version": "13",
      "sec-websocket-protocol": "realtime, openai-insecure-api-key.secret",
      "sec-websocket-extensions": "permessage-deflate",
      "openai-beta": "realtime=v1",
      origin: "https://app.example",
    });
    const pairs = upstreamUpgradeHeaders(client, options({}, [["authorization", "Bearer up"]]));
    expect(Object.fromEntries(pairs)).toEqual({
      authorization: "Bearer up",
      "openai-beta": "realtime=v1",
      origin: "https://app.example",
      "x-request-id": "req_1",
    });
  });
});

describe("credentialHeaders()", () => {
  const key = "sk-1";
  const request = { style: "authorization", path: "/v1/models" } as const;
  const policy = (changes: Partial<CredentialPolicy> = {}): CredentialPolicy => ({
    ...providerConfig(),
    authValue: null,
    ...changes,
  });

  test.each<[string, Partial<CredentialPolicy>, HeaderPair[]]>([
    ["asks the family", {}, [["authorization", "Bearer sk-1"]]],
    ["auth_header replaces the name", { authHeader: "x-key" }, [["x-key", "sk-1"]]],
    [
      "auth_header keeps Bearer",
      { authHeader: "Authorization" },
      [["Authorization", "Bearer sk-1"]],
    ],
    ["auth_value replaces the value", { authValue: "Token z" }, [["authorization", "Token z"]]],
    ["both", { authHeader: "x-key", authValue: "z" }, [["x-key", "z"]]],
    ["an empty auth_value injects nothing", { authValue: "" }, []],
  ])("%s", (_title, changes, expected) => {
    expect(credentialHeaders(policy(changes), openai, key, request, "prj_1")).toEqual(expected);
  });

  test("mirrors the place where Anthropic's client put its key", () => {
    const provider = policy({ type: "anthropic" });
    const pairs = credentialHeaders(
      provider,
      anthropic,
      key,
      { ...request, style: "x_api_key" },
      "prj_1",
    );
    expect(pairs).toEqual([["x-api-key", key]]);
  });

  test.each<[string, string | null]>([
    ["none is known", null],
    ["it would start another line", "a\r\nx-evil: 1"],
    ["it is not Latin-1", "schlüssel-日"],
  ])("refuses when %s, without the key in the message", (_title, bad) => {
    let message = "";
    try {
      credentialHeaders(policy(), openai, bad, request, "prj_1");
    } catch (thrown) {
      if (thrown instanceof GatewayError && thrown.code === "upstream_auth_failed") {
        ({ message } = thrown);
      }
    }
    expect(message).toContain("provider openai");
    if (bad === null) expect(message).toContain("prj_1");
    if (bad !== null) expect(message).not.toContain(bad);
  });

  test("an empty key, or none on a forward provider, injects nothing", () => {
    expect(credentialHeaders(policy(), openai, "", request, "prj_1")).toEqual([]);
    const provider = policy({ type: "forward" });
    expect(credentialHeaders(provider, openai, null, request, "prj_1")).toEqual([]);
  });
});

describe("downstreamHeaders()", () => {
  const timing = { sentAtMs: 1_795_190_000_000.25, answeredAtMs: 1_795_190_000_001.5 };
  const base = {
    method: "GET",
    status: 200,
    provider: "openai",
    requestId: "req_1",
    keepLength: true,
    timing: null,
  };
  const OURS = { "x-sluice-request-id": "req_1", "x-sluice-provider": "openai" };

  test("passes end-to-end headers and each cookie, and drops the rest", () => {
    const upstream = new Headers({
      "content-type": "application/json",
      "content-length": "5",
      "x-request-id": "up",
      connection: "x-hop",
      "x-hop": "1",
      "transfer-encoding": "chunked",
      "keep-alive": "timeout=5",
      "proxy-authenticate": "Basic",
      "x-sluice-provider": "spoofed",
    });
    upstream.append("set-cookie", "a=1");
    upstream.append("set-cookie", "b=2");
    const headers = downstreamHeaders(upstream, base);
    expect(headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    headers.delete("set-cookie");
    expect(Object.fromEntries(headers)).toEqual({
      ...OURS,
      "content-type": "application/json",
      "content-length": "5",
      "x-request-id": "up",
    });
  });

  test("drops the length of a body that may change", () => {
    const upstream = new Headers({ "content-length": "5" });
    const headers = downstreamHeaders(upstream, { ...base, keepLength: false });
    expect(Object.fromEntries(headers)).toEqual(OURS);
  });

  test("tells when the upstream was asked and when it answered, in nanoseconds", () => {
    const upstream = new Headers({ "x-upstream-request-start": "spoofed" });
    const headers = downstreamHeaders(upstream, { ...base, timing });
    expect(headers.get("x-upstream-request-start")).toBe("1795190000000250000");
    expect(headers.get("x-upstream-request-stop")).toBe("1795190000001500000");
  });

  test("claims no length of 0 for what HEAD asks about", () => {
    const head = { ...base, method: "HEAD" };
    const unknown = downstreamHeaders(new Headers(), head);
    expect(unknown.get("transfer-encoding")).toBe("chunked");
    const known = downstreamHeaders(new Headers({ "content-length": "7" }), head);
    expect([known.get("content-length"), known.get("transfer-encoding")]).toEqual(["7", null]);
  });
});
