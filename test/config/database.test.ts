import { describe, expect, test } from "bun:test";

import type { DatabaseConfig } from "../../src/config/config.ts";
import { configOf, parse, problemsOf } from "./support.ts";

const KEYS = `encryption_keys: 'k1:${"A".repeat(43)}='\n`;

function databaseOf(url: string, keys = ""): DatabaseConfig | null {
  return configOf(`${KEYS}database_url: "${url}"\ndatabase: {${keys}}\n`).database;
}

describe("databaseOf()", () => {
  test("without a URL means SQLite, and shipped segments are not kept", () => {
    const { database, usage } = configOf("database: {pool_size: 3}");
    expect(database).toBeNull();
    expect(usage.spoolKeepMs).toBe(0);
  });

  test("takes the URL apart and adds the defaults", () => {
    expect(databaseOf("postgres://us%40er:p%3Ass%2F@db.example/na%20me")).toEqual({
      hostname: "db.example",
      port: 5432,
      user: "us@er",
      password: "p:ss/",
      name: "na me",
      applicationName: "sluice",
      tls: null,
      poolSize: 5,
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 10_000,
      idleTimeoutMs: 300_000,
      transactionPooler: false,
    });
  });

  test("takes IPv6, a port, no password, and the keys of database", () => {
    const keys = "pool_size: 2, connect_timeout: 1s, statement_timeout: 2s, idle_timeout: 3s";
    const url = "postgresql://u@[::1]:6432/d?application_name=node-7";
    expect(databaseOf(url, `${keys}, transaction_pooler: true`)).toMatchObject({
      hostname: "::1",
      port: 6432,
      password: "",
      applicationName: "node-7",
      poolSize: 2,
      connectTimeoutMs: 1_000,
      statementTimeoutMs: 2_000,
      idleTimeoutMs: 3_000,
      transactionPooler: true,
    });
  });

  const verified = { verify: true, caFile: null, serverName: "h" };
  test.each([
    ["?sslmode=disable", "", null],
    ["?sslmode=require", "", verified],
    ["?sslmode=verify-ca", "", verified],
    ["?sslmode=verify-full&sslrootcert=/ca.pem", "", { ...verified, caFile: "/ca.pem" }],
    ["?sslrootcert=/ca.pem", "", { ...verified, caFile: "/ca.pem" }],
    ["?sslmode=no-verify", "", { ...verified, verify: false }],
    ["", "tls: on", verified],
    ["", "tls_ca_file: /ca.pem", { ...verified, caFile: "/ca.pem" }],
    ["", "tls: no_verify", { ...verified, verify: false }],
    ["?sslmode=disable", "tls: on, tls_server_name: n", { ...verified, serverName: "n" }],
    ["?sslmode=require", "tls: off", null],
  ])("makes of %p and {%s} the TLS %j", (query, keys, tls) => {
    expect(databaseOf(`postgres://u:p@h/d${query}`, keys)?.tls).toEqual(tls);
  });

  test.each([
    ["postgres://h/d", "names no user: postgres://user:password@host:port/name"],
    ["postgres://u:p@h", "names no database: postgres://user:password@host:port/name"],
    ["postgres://u:%zz@h/d", "has a % that encodes nothing"],
    ["postgres://u:p@h/d?sslmode=prefer", "has an sslmode that is not supported: one of disable, "],
    ["postgres://u:p@h/d?options=-cx", "has the parameter options, which is not known"],
  ])("refuses %p", (url, message) => {
    const [problem = ""] = problemsOf(`${KEYS}database_url: "${url}"`);
    expect(problem).toStartWith(`2 database_url: ${message}`);
  });

  test("hides the password in messages, and hands it to the log's redaction", () => {
    const text = `${KEYS}database_url: "postgres://u:hunter%32%32@h/d"`;
    expect(parse(text).secrets).toContain("hunter22");
    expect(problemsOf(`${text}\nworkers: 0`).join()).not.toContain("hunter");
  });
});

test("PostgreSQL needs encryption_keys, and keeps shipped segments for a day", () => {
  const [problem] = problemsOf("database_url: postgres://u:p@h/d");
  expect(problem).toStartWith("- encryption_keys: is missing, and PostgreSQL needs it");
  expect(problem).toEndWith("sluice keys generate");
  const empty = problemsOf("database_url: postgres://u:p@h/d\nencryption_keys: []");
  expect(empty).toHaveLength(1);
  const text = `${KEYS}database_url: postgres://u:p@h/d`;
  expect(configOf(text).usage.spoolKeepMs).toBe(86_400_000);
  expect(configOf(`${text}\nusage: {spool_keep: 1h}`).usage.spoolKeepMs).toBe(3_600_000);
});
