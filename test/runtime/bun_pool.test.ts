/** What Bun's pools keep, whom they trust, and how they go through a proxy. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";

import { bunRuntime } from "../../src/runtime/bun.ts";
import { type FetchInit, type PoolOptions, ProxyError } from "../../src/runtime/runtime.ts";
import { LOCALHOST_CERTIFICATE, OTHER_CERTIFICATE } from "../support/certificates.ts";
import { ConnectProxy } from "../support/connect_proxy.ts";
import { tlsFront, type TlsFront } from "../support/tls_front.ts";

const NONE = { ca: null, cert: null, key: null };
const TRUSTING = { ...NONE, ca: LOCALHOST_CERTIFICATE.cert };
const SHOWING = { ...TRUSTING, cert: OTHER_CERTIFICATE.cert, key: OTHER_CERTIFICATE.key };
const INIT: FetchInit = { decompress: false, timeout: false, redirect: "manual" };

let upstream: ReturnType<typeof Bun.serve>;
/** The client's port of each request: which connection it came on. */
let ports: number[] = [];
let seen: Headers[] = [];
/** Answers are held back until so many have come. */
let together = 1;
let held: (() => void)[] = [];
let proxy: ConnectProxy;
const fronts: TlsFront[] = [];

beforeEach(async () => {
  [ports, seen, together, held] = [[], [], 1, []];
  proxy = await ConnectProxy.start();
  upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request, server) {
      ports.push(server.requestIP(request)?.port ?? 0);
      seen.push(request.headers);
      await new Promise<void>((resolve) => {
        held.push(resolve);
        if (held.length >= together) for (const release of held.splice(0)) release();
      });
      return new Response(new URL(request.url).pathname, {
        status: request.url.endsWith("/407") ? 407 : 200,
      });
    },
  });
});

afterEach(async () => {
  for (const front of fronts.splice(0)) front.stop();
  proxy.stop();
  await upstream.stop(true);
});

function open(over: Partial<PoolOptions> = {}) {
  const rest = { proxy: null, certificates: NONE, idleMax: 64, idleTimeoutMs: 90_000 };
  return bunRuntime.openPool({ ...rest, ...over });
}

/** Through the proxy, with this `Proxy-Authorization`. */
const through = (authorization: string | null = null) => ({
  proxy: { hostname: "127.0.0.1", port: proxy.port, authorization },
});

async function secure(clientCa: string | null = null): Promise<string> {
  const front = await tlsFront(upstream.port ?? 0, clientCa);
  fronts.push(front);
  return `https://localhost:${front.port}`;
}

const cleartext = () => `http://127.0.0.1:${upstream.port}`;

async function text(pool: ReturnType<typeof open>, url: string): Promise<string> {
  return await (await pool.fetch(url, INIT)).text();
}

/** Asks `count` times at once, and then again; how many connections were new the second time. */
async function newConnections(pool: ReturnType<typeof open>, count: number): Promise<number> {
  together = count;
  for (let round = 0; round < 2; round += 1) {
    await Promise.all(Array.from({ length: count }, () => text(pool, cleartext())));
  }
  const first = new Set(ports.slice(0, count));
  return ports.slice(count).filter((port) => !first.has(port)).length;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => null,
    (thrown) => thrown,
  );
}

describe("openPool() keeps", () => {
  test.each([
    ["as many connections as it may", 64, 5, 0],
    ["no more than idleMax", 2, 5, 3],
    ["none where that is 0", 0, 3, 3],
  ])("%s", async (_title, idleMax, count, expected) => {
    const pool = open({ idleMax });
    expect(await newConnections(pool, count)).toBe(expected);
    pool.close();
  });

  test("none that another pool made, and none after close()", async () => {
    const [one, other] = [open(), open()];
    await text(one, cleartext());
    await text(other, cleartext());
    one.close();
    await text(one, cleartext());
    expect(new Set(ports).size).toBe(3);
  });

  test("a tunnel, and what goes through the proxy in cleartext", async () => {
    const pool = open({ ...through(), certificates: TRUSTING });
    const url = await secure();
    for (let count = 0; count < 3; count += 1) {
      await text(pool, url);
      await text(pool, cleartext());
    }
    expect(proxy.heads.map((head) => head.split(" ")[0])).toEqual(["CONNECT", "GET"]);
  });
});

describe("openPool() trusts", () => {
  test("who is signed by the given authority, and shows its certificate", async () => {
    const url = await secure(OTHER_CERTIFICATE.cert);
    expect(await text(open({ certificates: SHOWING }), `${url}/x`)).toBe("/x");
    expect(fronts[0]?.names).toEqual(["localhost"]);
    const thrown = await failure(open({ certificates: TRUSTING }).fetch(url, INIT));
    expect(thrown).toMatchObject({ code: "EPROTO" });
  });

  test("nobody else, whatever the environment says", async () => {
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      const url = await secure();
      for (const way of [{}, through()]) {
        for (const ca of [null, OTHER_CERTIFICATE.cert]) {
          const pool = open({ ...way, certificates: { ...NONE, ca } });
          const thrown = await failure(pool.fetch(url, INIT));
          expect(String((thrown as { code?: unknown }).code)).toMatch(/SELF_SIGNED|UNABLE_TO_/);
        }
      }
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
    expect(seen).toEqual([]);
  });

  test("no certificate of another name", async () => {
    const url = await secure();
    const elsewhere = url.replace("localhost", "elsewhere.example");
    proxy.resolveTo = "127.0.0.1";
    const pool = open({ ...through(), certificates: TRUSTING });
    expect(await failure(pool.fetch(elsewhere, INIT))).toMatchObject({
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    });
    expect(seen).toEqual([]);
  });
});

describe("openPool() goes through the proxy", () => {
  const login = `Basic ${btoa("user:pass")}`;

  test("with the login, of which the upstream behind a tunnel sees nothing", async () => {
    proxy.login = "user:pass";
    const pool = open({ ...through(login), certificates: TRUSTING });
    expect(await text(pool, `${await secure()}/x`)).toBe("/x");
    expect(proxy.heads[0]).toStartWith("CONNECT localhost:");
    expect([...(seen[0] ?? new Headers()).keys()].filter((name) => /proxy/.test(name))).toEqual([]);
  });

  test("in cleartext too, with our login and not the request's", async () => {
    proxy.login = "user:pass";
    const headers = { "proxy-authorization": "Basic other" };
    const answer = await open(through(login)).fetch(`${cleartext()}/x?y=1`, { ...INIT, headers });
    expect(await answer.text()).toBe("/x");
    expect(proxy.heads[0]).toStartWith(`GET ${cleartext()}/x?y=1 HTTP/1.1`);
  });

  test("whatever the environment says", async () => {
    const saved = process.env["NO_PROXY"];
    process.env["NO_PROXY"] = "*";
    process.env["HTTP_PROXY"] = "http://127.0.0.1:1";
    try {
      await text(open(through()), cleartext());
      expect(proxy.heads).toHaveLength(1);
      expect(await text(open(), `${cleartext()}/direct`)).toBe("/direct");
    } finally {
      delete process.env["HTTP_PROXY"];
      if (saved === undefined) delete process.env["NO_PROXY"];
      else process.env["NO_PROXY"] = saved;
    }
    expect(proxy.heads).toHaveLength(1);
  });

  test.each([407, 403, 502])("and rejects when it refuses a tunnel with %p", async (status) => {
    proxy.behaviour = status;
    const thrown = await failure(open(through(login)).fetch(await secure(), INIT));
    expect(thrown).toBeInstanceOf(ProxyError);
    expect(String(thrown)).toEndWith(`refused the connection with ${status}`);
  });

  test("and takes a 407 for the proxy's where there is no tunnel, else for an answer", async () => {
    proxy.login = "user:other";
    const refused = await failure(open(through(login)).fetch(cleartext(), INIT));
    expect(refused).toBeInstanceOf(ProxyError);
    proxy.login = null;
    const pool = open({ ...through(login), certificates: TRUSTING });
    expect((await pool.fetch(`${await secure()}/407`, INIT)).status).toBe(407);
  });
});
