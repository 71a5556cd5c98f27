import { expect, test } from "bun:test";

import { configOf, problemsOf, warningsOf } from "./support.ts";

const FILES = "cert_file: c.pem\nprivate_key_file: k.pem\n";

function listening(text: string | null, env = {}): string {
  const { http, https, admin } = configOf(text, env);
  const named = { http, https, admin };
  return Object.entries(named)
    .flatMap(([name, one]) => (one === null ? [] : [`${name} ${one.hostname}:${one.port}`]))
    .join(", ");
}

test.each([
  [null, {}, "http 127.0.0.1:8080, admin 127.0.0.1:9090"],
  ["", {}, "http 127.0.0.1:8080, admin 127.0.0.1:9090"],
  ["http_bind_address: 0.0.0.0", {}, "http 0.0.0.0:8080, admin 127.0.0.1:9090"],
  ["http_port: 80", {}, "http 0.0.0.0:80, admin 127.0.0.1:9090"],
  ["http_port: 0\nhttp_bind_address: '::1'", {}, "http ::1:0, admin 127.0.0.1:9090"],
  [null, { PORT: "80" }, "http 0.0.0.0:80, admin 127.0.0.1:9090"],
  [null, { SLUICE_HTTP_PORT: "80" }, "http 0.0.0.0:80, admin 127.0.0.1:9090"],
  [`${FILES}https_port: 8443`, {}, "https 0.0.0.0:8443, admin 127.0.0.1:9090"],
  [FILES, {}, "https 0.0.0.0:443, admin 127.0.0.1:9090"],
  [
    `${FILES}https_port: 1\nhttp_port: 2`,
    {},
    "http 0.0.0.0:2, https 0.0.0.0:1, admin 127.0.0.1:9090",
  ],
  ["admin_port: 0\nadmin_bind_address: 0.0.0.0", {}, "http 127.0.0.1:8080, admin 0.0.0.0:0"],
])("listenersOf() of %p with %j is %s", (text, env, expected) => {
  expect(listening(text, env)).toBe(expected);
});

test.each([
  ["https_port: 1", "1 https_port: needs both cert_file and private_key_file"],
  ["https_port: 1\ncert_file: c", "1 https_port: needs both cert_file and private_key_file"],
  ["http_port: 9090", "- admin_port: 9090 is also the http_port"],
  [`http_port: 1\nhttps_port: 1\n${FILES}`, "2 https_port: 1 is also the http_port"],
])("listenersOf() refuses %p", (text, problem) => {
  expect(problemsOf(text)).toEqual([problem]);
});

test("listenersOf() lets two addresses have the same port, and port 0 be given twice", () => {
  expect(listening("http_port: 7\nhttp_bind_address: 127.0.0.2\nadmin_port: 7")).toContain(":7");
  expect(listening("http_port: 0\nadmin_port: 0")).toContain("0.0.0.0:0");
});

test("listenersOf() warns of a certificate that nothing uses", () => {
  expect(warningsOf(`http_port: 1\n${FILES}`)).toEqual([
    "2 cert_file: is not used without https_port",
    "3 private_key_file: is not used without https_port",
  ]);
});

const OPEN =
  "open would let in anyone who reaches 0.0.0.0; bind to 127.0.0.1, or write " +
  "auth_open_anywhere: true";

test.each([
  ["auth: open\nhttp_port: 80", `1 auth: ${OPEN}`],
  [
    "auth: open\nhttp_port: 1\nhttp_bind_address: 127.0.0.1\nhttps_port: 2\n" + FILES,
    `1 auth: ${OPEN}`,
  ],
  ["http_port: 80\nproviders: [{type: openai, auth: open}]", `2 providers[0].auth: ${OPEN}`],
])("reportOpen() refuses %p", (text, problem) => {
  expect(problemsOf(text)).toEqual([problem]);
});

test.each([
  "auth: open",
  "auth: open\nhttp_port: 80\nhttp_bind_address: localhost",
  "auth: open\nhttp_port: 80\nhttp_bind_address: '::1'",
  "auth: open\nhttp_port: 80\nhttp_bind_address: 127.1.2.3",
  "auth: open\nhttp_port: 80\nauth_open_anywhere: true",
  "http_port: 80\nauth: required",
])("reportOpen() accepts %p", (text) => {
  expect(configOf(text).http).not.toBeNull();
});
