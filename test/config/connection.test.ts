/** Connections that are kept, and certificates, of providers. */

import { describe, expect, test } from "bun:test";

import { parse, problemsOf, providerOf } from "./support.ts";

test("connectionOf() keeps as many connections as the file says, for as long", () => {
  expect(providerOf("type: openai").connection).toEqual({ idleMax: 64, idleTimeoutMs: 90_000 });
  const keys = "type: openai\nconnection: {max_idle: 0, idle_timeout: 5}";
  expect(providerOf(keys).connection).toEqual({ idleMax: 0, idleTimeoutMs: 5_000 });
});

describe("certificateFilesOf()", () => {
  test("names the files", () => {
    const keys = "type: openai\nca_file: a\nclient_cert_file: b\nclient_key_file: c";
    expect(providerOf(keys).certificateFiles).toEqual({ ca: "a", cert: "b", key: "c" });
  });

  test.each([
    ["client_cert_file: c", "client_key_file: is missing: client_cert_file needs its key"],
    ["client_key_file: k", "client_cert_file: is missing: client_key_file needs its certificate"],
    [
      "endpoint: a, tls: false, ca_file: a",
      "ca_file: is for TLS, and the upstream is reached without it",
    ],
    [
      "endpoint: 'http://a', ca_file: a",
      "ca_file: is for TLS, and the upstream is reached without it",
    ],
  ])("refuses %p", (keys, message) => {
    expect(problemsOf(`providers: [{type: openai, ${keys}}]`)).toEqual([
      `1 providers[0].${message}`,
    ]);
  });
});

describe("connectionOfApi()", () => {
  test.each([
    [{ max_idle_conns_per_host: 20 }, {}, 20, 90_000, []],
    [{ max_idle_conns: 10 }, { idle_connection: "5s" }, 10, 5_000, []],
    [{ max_idle_conns: 10, max_idle_conns_per_host: 0 }, {}, 10, 90_000, []],
    [
      { max_idle_conns_per_host: 100 },
      {},
      64,
      90_000,
      ["connection.max_idle_conns_per_host: is taken as 64, the most there can be"],
    ],
    [
      { max_idle_conns: 0 },
      { idle_connection: "0" },
      64,
      14_280_000,
      [
        "timeouts.idle_connection: is taken as 238m, the most there can be",
        "connection.max_idle_conns: is taken as 64, the most there can be",
      ],
    ],
  ])("keeps connections as %p and %p say, as far as it can", (connection, timeouts, ...rest) => {
    const [idleMax, idleTimeoutMs, warnings] = rest;
    const api = {
      base_url: "https://api.openai.com",
      allowed_endpoints: ["/v1/models"],
      allowed_methods: ["GET"],
      timeouts,
      connection,
    };
    const { config, warnings: found } = parse(JSON.stringify({ apis: { openai: api } }));
    expect(config.providers[0]?.connection).toEqual({ idleMax, idleTimeoutMs });
    expect(found.map(({ path, message }) => `${path}: ${message}`).toSorted()).toEqual(
      warnings.map((one) => `apis.openai.${one}`).toSorted(),
    );
  });
});
