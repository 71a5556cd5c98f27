/** Every place a credential may be in, and what is left of the request once it is taken out. */

import { describe, expect, test } from "bun:test";
import { type CredentialSource, findCredentials } from "../../src/auth/credential.ts";
import { encodeBase64, encodeUtf8 } from "../../src/lib/encoding.ts";
import type { CredentialStyle } from "../../src/provider/provider.ts";

type Placement = CredentialSource["placement"];

function find(headers: Record<string, string>, placement: Placement = "api", query = "") {
  return findCredentials({ headers: new Headers(headers), placement, query });
}

function basic(pair: string): string {
  return `Basic ${encodeBase64(encodeUtf8(pair))}`;
}

describe("findCredentials() reads", () => {
  test.each<[string, Record<string, string>, CredentialStyle]>([
    ["authorization", { authorization: "Bearer T" }, "authorization"],
    ["a scheme in lower case", { authorization: "bearer T" }, "authorization"],
    ["a scheme in capitals, with spaces", { authorization: "BEARER   T  " }, "authorization"],
    ["a tab behind the scheme", { authorization: "Bearer\tT" }, "authorization"],
    ["x-api-key", { "x-api-key": "T" }, "x_api_key"],
    ["api-key", { "api-key": "T" }, "api_key"],
    ["x-goog-api-key", { "x-goog-api-key": "T" }, "x_goog_api_key"],
    [
      "the subprotocol",
      { "sec-websocket-protocol": "realtime, openai-insecure-api-key.T" },
      "subprotocol",
    ],
  ])("%s", (_where, headers, style) => {
    expect(find(headers).credentials).toEqual([{ value: "T", style }]);
  });

  test.each([
    ["no header at all", {}],
    ["an empty Bearer", { authorization: "Bearer " }],
    ["Bearer alone", { authorization: "Bearer" }],
    ["another scheme", { authorization: "Digest T" }],
    ["Basic outside a proxy", { authorization: basic("u:T") }],
    ["a scheme that only begins like it", { authorization: "BearerT" }],
    ["an empty key", { "x-api-key": " " }],
    ["an empty subprotocol", { "sec-websocket-protocol": "openai-insecure-api-key." }],
    ["proxy headers outside a proxy", { "proxy-authorization": "Bearer T", "x-sluice-token": "T" }],
  ])("nothing in %s", (_what, headers) => {
    expect(find(headers).credentials).toEqual([]);
  });

  test("the places in their order, each value once", () => {
    const found = find(
      {
        "sec-websocket-protocol": "openai-insecure-api-key.F",
        "x-goog-api-key": "D",
        "api-key": "C",
        "x-api-key": "A",
        authorization: "Bearer A",
      },
      "gemini",
      "key=E",
    );
    expect(found.credentials.map(({ value, style }) => `${value} ${style}`)).toEqual([
      "A authorization",
      "C api_key",
      "D x_goog_api_key",
      "E query_key",
      "F subprotocol",
    ]);
  });
});

describe("findCredentials() takes out of the query", () => {
  test.each([
    ["?key=T", "", ["T"]],
    ["key=T&alt=sse", "alt=sse", ["T"]],
    ["alt=sse&key=T&x=%20+y", "alt=sse&x=%20+y", ["T"]],
    ["a=1&%6bey=T&b=2", "a=1&b=2", ["T"]],
    ["%6B%65%79=T", "", ["T"]],
    ["key=T&key=T", "", ["T"]],
    ["key=T&key=U", "", ["T", "U"]],
    ["key=&a=1", "a=1", []],
    ["key", "", []],
    ["key=a%2Bb", "", ["a+b"]],
    ["keys=T&KEY=T&?key=T", "keys=T&KEY=T&?key=T", []],
    ["a&&b=%zz", "a&&b=%zz", []],
    ["", "", []],
  ])("%p", (query, rest, values) => {
    const found = find({}, "gemini", query);
    expect(found.query).toBe(rest);
    expect(found.credentials.map(({ value }) => value)).toEqual(values);
  });

  test("nothing outside Gemini's paths, where `key` is the upstream's own parameter", () => {
    const found = find({}, "api", "?key=T&a=1");
    expect(found).toMatchObject({ query: "key=T&a=1", credentials: [] });
  });
});

describe("findCredentials() takes out of the subprotocols", () => {
  test.each([
    [
      "realtime, openai-insecure-api-key.T, openai-beta.realtime-v1",
      ["realtime", "openai-beta.realtime-v1"],
    ],
    ["openai-insecure-api-key.T", []],
    ["openai-insecure-api-key.T,openai-insecure-api-key.U,realtime", ["realtime"]],
    [" a ,, b ", ["a", "b"]],
  ])("%p", (header, rest) => {
    expect(find({ "sec-websocket-protocol": header }).subprotocols).toEqual(rest);
  });
});

describe("findCredentials() for a proxy reads", () => {
  test.each<[string, Record<string, string>, CredentialStyle]>([
    ["Bearer", { "proxy-authorization": "Bearer T" }, "proxy_authorization"],
    ["the password of Basic", { "proxy-authorization": basic("any:T") }, "proxy_authorization"],
    ["a password with colons", { "proxy-authorization": basic(":T") }, "proxy_authorization"],
    ["x-sluice-token", { "x-sluice-token": "T" }, "x_sluice_token"],
  ])("%s", (_where, headers, style) => {
    expect(find(headers, "proxy").credentials).toEqual([{ value: "T", style }]);
  });

  test.each([
    "Basic",
    "Basic !!",
    `Basic ${encodeBase64(encodeUtf8("nocolon"))}`,
    "Basic /w==",
    "T",
  ])("nothing in %p", (header) => {
    expect(find({ "proxy-authorization": header }, "proxy").credentials).toEqual([]);
  });

  test("nothing that is the upstream's own, and leaves it as it came", () => {
    const headers = {
      authorization: "Bearer upstream",
      "x-api-key": "upstream",
      "sec-websocket-protocol": "openai-insecure-api-key.upstream",
    };
    expect(find(headers, "proxy", "?key=upstream")).toEqual({
      credentials: [],
      query: "key=upstream",
      subprotocols: ["openai-insecure-api-key.upstream"],
      placement: "proxy",
    });
  });
});
