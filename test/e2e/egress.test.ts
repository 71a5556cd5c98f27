/**
 * The executable on its way out: through a proxy, over TLS with certificates of its own, and what
 * becomes of a request where that way is barred.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { LOCALHOST_CERTIFICATE, OTHER_CERTIFICATE } from "../support/certificates.ts";
import { ConnectProxy } from "../support/connect_proxy.ts";
import { tlsFront, type TlsFront } from "../support/tls_front.ts";
import {
  cleanUp,
  metricsText,
  type Node,
  runCommand,
  startNode,
  startProvider,
  temporaryFolder,
  until,
} from "./harness.ts";
import { connect, refusal } from "./ws_client.ts";

const PASSWORD = "p@ss:wörd-of-the-proxy";
const SENT_LOGIN = Buffer.from(`us@er:${PASSWORD}`).toString("base64");

let folder: string;
let mock: Mock;
/** Shows the certificate of localhost, and wants the other one of whoever comes. */
let front: TlsFront;
let proxy: ConnectProxy;
let node: Node | null = null;
let token = "";

beforeAll(async () => {
  folder = await temporaryFolder();
  const files = {
    "ca.pem": LOCALHOST_CERTIFICATE.cert,
    "client.pem": OTHER_CERTIFICATE.cert,
    "client.key": OTHER_CERTIFICATE.key,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  mock = await startProvider();
  front = await tlsFront(mock.port, OTHER_CERTIFICATE.cert);
});

afterAll(async () => {
  front.stop();
  await mock.stop();
  await cleanUp(folder);
});

beforeEach(async () => {
  mock.clear();
  proxy = await ConnectProxy.start();
  proxy.login = `us@er:${PASSWORD}`;
});

afterEach(async () => {
  await node?.stop();
  node = null;
  proxy.stop();
});

const proxyUrl = () =>
  `http://${encodeURIComponent("us@er")}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${proxy.port}`;
const ca = () => `ca_file: ${folder}/ca.pem`;
const client = () =>
  `client_cert_file: ${folder}/client.pem, client_key_file: ${folder}/client.key`;
const secure = () => `https://localhost:${front.port}`;

function provider(name: string, url: string, ...more: string[]): string {
  const keys = [`name: ${name}`, "type: openai", `endpoint: "${url}"`, "api_key: sk-x", ...more];
  return `  - {${keys.join(", ")}}\n`;
}

async function start(providers: string, more = ""): Promise<Node> {
  const env = { HTTP_PROXY: "http://127.0.0.1:1", HTTPS_PROXY: "http://127.0.0.1:1" };
  node = await startNode({ config: `${more}providers:\n${providers}`, env });
  token = await node.mint();
  return node;
}

function ask(url: string, body: object = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/v1/responses`, {
    method: "POST",
    ...(signal === undefined ? {} : { signal }),
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-5.5", input: "Go", ...body }),
  });
}

const bearer = () => ({ authorization: `Bearer ${token}` });

/** One turn of a session. */
async function turn(url: string): Promise<string> {
  const session = await connect(url, "/v1/responses", bearer());
  session.send('{"type":"response.create","model":"gpt-5.5","input":"Go"}');
  const done = await session.until((text) => text.includes('"type":"response.completed"'));
  session.close();
  await session.closed;
  return done;
}

async function code(answer: Response): Promise<[number, string]> {
  return [answer.status, (await answer.json()).error.code];
}

describe("a provider behind a proxy, with certificates of its own", () => {
  const all = () => [`egress_proxy: "${proxyUrl()}"`, ca(), client()];

  test("answers requests, streams and sessions through tunnels that carry only TLS", async () => {
    const { url, logged } = await start(provider("far", secure(), ...all()));
    expect((await (await ask(url)).json()).status).toBe("completed");
    const events = await (await ask(url, { stream: true })).text();
    expect(events).toContain("event: response.completed");
    expect(await turn(url)).toContain("response.completed");
    expect(mock.requests).toHaveLength(3);
    // The second request took the first one's tunnel.
    expect(proxy.heads.map((head) => head.split("\r\n")[0])).toEqual([
      `CONNECT localhost:${front.port} HTTP/1.1`,
      `CONNECT localhost:${front.port} HTTP/1.1`,
    ]);
    expect(proxy.heads.every((head) => head.includes(`Basic ${SENT_LOGIN}`))).toBe(true);
    for (const event of ["relay_dial_start", "relay_dial_ok"]) {
      expect(await logged((line) => line.event === event)).toMatchObject({ proxy_enabled: true });
    }
    for (const { headers } of mock.requests) {
      expect(Object.keys(headers).filter((name) => name.startsWith("proxy-"))).toEqual([]);
    }
  });

  test("keeps the proxy's login out of the log, also where it is refused", async () => {
    proxy.login = "another:one";
    const running = await start(provider("far", secure(), ...all()));
    const refused = await ask(running.url);
    const text = await refused.text();
    expect(refused.status).toBe(502);
    expect(text).toContain("The egress proxy refused the connection with 407");
    expect(refused.headers.get("proxy-authenticate")).toBeNull();
    const session = await refusal(running.url, "/v1/responses", bearer());
    expect([session.status, JSON.parse(session.body).error.code]).toEqual([
      502,
      "upstream_unreachable",
    ]);
    const failed = await running.logged(({ event }) => event === "relay_dial_failed");
    expect(failed).toMatchObject({ proxy_enabled: true, status_code: null });
    expect(failed["reason"]).toContain("407");
    const told = [text, session.body, JSON.stringify(running.log), await metricsText(running)];
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), SENT_LOGIN]) {
      expect(told.join()).not.toContain(secret);
    }
    const shown = await runCommand(["check", "-c", join(running.dataDir, "sluice.yml")]);
    expect(shown.stdout + shown.stderr).not.toContain(encodeURIComponent(PASSWORD));
    expect(mock.requests).toEqual([]);
  });

  test.each<[string, (barred: ConnectProxy) => void]>([
    ["refuses", (barred) => (barred.behaviour = 403)],
    ["does not reach the upstream", (barred) => (barred.behaviour = 502)],
    ["is gone", (barred) => barred.stop()],
  ])("is left for the next one where the proxy %s, and left alone then", async (_title, bar) => {
    const { url, log } = await start(
      provider("far", secure(), ...all(), "priority: 1") + provider("near", mock.url),
      "retry: {on: [connect]}\ncircuit_breaker: {failures: 2, cooldown: 1h}\n",
    );
    bar(proxy);
    const first = await ask(url);
    expect([first.status, first.headers.get("x-sluice-provider")]).toEqual([200, "near"]);
    expect(await turn(url)).toContain("response.completed");
    expect(log.filter(({ event }) => event === "circuit_opened")).toMatchObject([
      { provider: "far" },
    ]);
    const asked = proxy.heads.length;
    expect((await ask(url)).headers.get("x-sluice-provider")).toBe("near");
    expect(proxy.heads).toHaveLength(asked);
  });

  test("ends a stream and a session when the proxy dies under them", async () => {
    const { url } = await start(provider("far", secure(), ...all()));
    const session = await connect(url, "/v1/responses", bearer());
    const stream = await ask(url, { stream: true, metadata: { mock: "delay=each:50ms" } });
    const reader = stream.body?.getReader();
    await reader?.read();
    proxy.cut();
    expect((await session.closed).code).toBe(1011);
    const readAll = async () => {
      while (!(await reader?.read())?.done);
    };
    await expect(readAll()).rejects.toThrow();
    // The next one makes a tunnel of its own.
    expect((await ask(url)).status).toBe(200);
  });

  test("takes an upload that is streamed, and hears at once when a client leaves", async () => {
    const { url } = await start(provider("far", secure(), ...all()));
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", new Blob([new Uint8Array(8 * 1024 * 1024)]), "a.bin");
    const stored = await fetch(`${url}/v1/files`, {
      method: "POST",
      headers: bearer(),
      body: form,
    });
    expect((await stored.json()).bytes).toBe(8 * 1024 * 1024);
    const leaving = new AbortController();
    const body = { stream: true, metadata: { mock: "delay=each:50ms" } };
    const stream = await ask(url, body, leaving.signal);
    await stream.body?.getReader().read();
    leaving.abort();
    await until("the abort", () => mock.requests.at(-1)?.outcome === "aborted", 4_000);
  });

  test("is a timeout where the proxy keeps silent", async () => {
    proxy.behaviour = "silent";
    const { url } = await start(
      provider("far", secure(), ...all(), "timeouts: {dial: 300ms}", "retry: {attempts: 1}"),
    );
    expect(await code(await ask(url))).toEqual([504, "upstream_timeout"]);
    const session = await refusal(url, "/v1/responses", bearer());
    expect([session.status, JSON.parse(session.body).error.code]).toEqual([
      504,
      "upstream_timeout",
    ]);
  });

  test("is checked through the proxy, with and without a request", async () => {
    proxy.behaviour = 503;
    const running = await start(
      provider("asked", secure(), ...all(), "health_check: {path: /v1/models}") +
        provider("dialled", secure(), ...all()),
      "health_check: {enabled: true, interval: 1s}\n",
    );
    const changes = (event: string, name: string) =>
      running.logged((line) => line.event === event && line["provider"] === name);
    for (const name of ["asked", "dialled"]) await changes("health_check_failed", name);
    proxy.behaviour = "works";
    for (const name of ["asked", "dialled"]) await changes("health_check_recovered", name);
    expect(mock.requests.some(({ path }) => path === "/v1/models")).toBe(true);
  }, 20_000);
});

describe("connection", () => {
  test("keeps what max_idle allows, and closes it after idle_timeout", async () => {
    const ways = [`egress_proxy: "${proxyUrl()}"`, ca(), client()];
    const { url } = await start(
      provider("kept", secure(), ...ways, "connection: {idle_timeout: 1s}", "host: kept.example") +
        provider("once", secure(), ...ways, "connection: {max_idle: 0}", "host: once.example"),
    );
    const askOf = (host: string) =>
      fetch(`${url}/v1/models`, { headers: { ...bearer(), host } }).then((answer) => answer.text());
    for (let count = 0; count < 3; count += 1) await askOf("once.example");
    expect(proxy.heads).toHaveLength(3);
    await until("the tunnels closed", () => proxy.open === 0, 4_000);
    for (let count = 0; count < 3; count += 1) await askOf("kept.example");
    expect([proxy.heads.length, proxy.open]).toEqual([4, 1]);
    const keptAtMs = Date.now();
    while (proxy.open > 0 && Date.now() - keptAtMs < 15_000) await Bun.sleep(50);
    expect(proxy.open).toBe(0);
    expect(Date.now() - keptAtMs).toBeWithin(1_000, 10_000);
  }, 20_000);
});

describe("an upstream without TLS behind a proxy", () => {
  test("is asked with its whole URL, and for sessions through a tunnel", async () => {
    const { url } = await start(
      provider("far", mock.url, `egress_proxy: "${proxyUrl()}"`, "retry: {attempts: 1}"),
    );
    expect((await ask(url)).status).toBe(200);
    expect(await turn(url)).toContain("response.completed");
    expect(proxy.heads.map((head) => head.split("\r\n")[0])).toEqual([
      `POST ${mock.url}/v1/responses HTTP/1.1`,
      `CONNECT 127.0.0.1:${mock.port} HTTP/1.1`,
    ]);
    proxy.cut();
    proxy.login = "another:one";
    const refused = await ask(url);
    expect(refused.headers.get("proxy-authenticate")).toBeNull();
    expect(await code(refused)).toEqual([502, "upstream_unreachable"]);
  });
});

describe("an upstream that wants a client certificate", () => {
  test("gets it, over HTTP and in sessions, and knows the name that is asked for", async () => {
    const names = front.names.length;
    const { url } = await start(provider("own", secure(), ca(), client()));
    expect((await ask(url)).status).toBe(200);
    expect(await turn(url)).toContain("response.completed");
    expect(front.names.slice(names)).toEqual(["localhost", "localhost"]);
    expect(proxy.heads).toEqual([]);
  });

  const elsewhere = () => {
    proxy.resolveTo = "127.0.0.1";
    return [ca(), client(), `egress_proxy: "${proxyUrl()}"`];
  };

  test.each([
    ["without one", () => [ca()], "localhost"],
    ["with an authority that did not sign its own", () => [client()], "localhost"],
    ["under a name that is not in its own", elsewhere, "elsewhere.example"],
  ])("is upstream_unreachable %s", async (_title, keys, name) => {
    const { url, logged } = await start(
      provider("own", secure().replace("localhost", name), ...keys(), "retry: {attempts: 1}"),
    );
    expect(await code(await ask(url))).toEqual([502, "upstream_unreachable"]);
    const session = await refusal(url, "/v1/responses", bearer());
    expect([session.status, JSON.parse(session.body).error.code]).toEqual([
      502,
      "upstream_unreachable",
    ]);
    const failed = await logged(({ event }) => event === "relay_dial_failed");
    expect(failed).toMatchObject({
      proxy_enabled: name !== "localhost",
      reason: "No TLS with the upstream",
    });
    expect(mock.requests).toEqual([]);
  });

  test("files that do not belong together are named before the node starts", async () => {
    const file = join(folder, "bad.yml");
    const keys = `client_cert_file: ${folder}/client.pem, client_key_file: ${folder}/ca.pem`;
    await writeFile(file, `providers:\n${provider("own", secure(), keys)}`);
    const { code: exit, stderr, stdout } = await runCommand(["check", "-c", file]);
    expect(exit).toBe(1);
    expect(stdout + stderr).toContain("providers[0].client_key_file");
    expect(stdout + stderr).toContain("holds no PEM private key without a passphrase");
  });
});
