/** Connections through a proxy, and certificates on both sides, over real sockets. */

import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";

import { bunRuntime } from "../../src/runtime/bun.ts";
import type { ConnectOptions, Stream } from "../../src/runtime/runtime.ts";
import { LOCALHOST_CERTIFICATE, OTHER_CERTIFICATE } from "../support/certificates.ts";
import { ConnectProxy } from "../support/connect_proxy.ts";
import { RawClient } from "../support/raw_client.ts";
import { rawServer, type RawServer } from "../support/raw_server.ts";
import { tlsFront, type TlsFront } from "../support/tls_front.ts";

const NONE = { ca: null, cert: null, key: null };
const TRUSTING = { ...NONE, serverName: "localhost", ca: LOCALHOST_CERTIFICATE.cert };
const SHOWING = { ...TRUSTING, cert: OTHER_CERTIFICATE.cert, key: OTHER_CERTIFICATE.key };

let proxy: ConnectProxy;
let upstream: RawServer;
let front: TlsFront | null = null;

beforeEach(async () => {
  proxy = await ConnectProxy.start();
  upstream = rawServer((socket) => void socket.write("answer"));
});

afterEach(() => {
  proxy.stop();
  upstream.stop();
  front?.stop();
  front = null;
});

/** A connection that says hello as soon as it is open, and what came of it. */
function open(over: Partial<ConnectOptions> = {}, login: string | null = null) {
  const answered = Promise.withResolvers<string>();
  const closed = Promise.withResolvers<Error | null>();
  const calls: string[] = [];
  let stream: Stream | null = null;
  let received = 0;
  const authorization = login === null ? null : `Basic ${Buffer.from(login).toString("base64")}`;
  const giveUp = bunRuntime.connect(
    {
      hostname: "localhost",
      port: front?.port ?? upstream.port,
      tls: null,
      proxy: { hostname: "127.0.0.1", port: proxy.port, authorization },
      ...over,
    },
    {
      opened(opened) {
        calls.push("opened");
        stream = opened;
        opened.write(Buffer.from("hello"));
      },
      data(bytes) {
        received += bytes.length;
        answered.resolve(Buffer.from(bytes).toString());
      },
      drained() {},
      closed(error) {
        calls.push("closed");
        closed.resolve(error);
      },
    },
  );
  return {
    answered: answered.promise,
    closed: closed.promise,
    calls,
    giveUp,
    stream: () => stream,
    received: () => received,
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe("connect() through a proxy", () => {
  test("asks for a tunnel with the login, and then speaks to the upstream", async () => {
    proxy.login = "user:pass";
    const { answered, stream, closed, calls } = open({}, "user:pass");
    expect(await answered).toBe("answer");
    expect(proxy.heads[0]?.split("\r\n")).toEqual([
      `CONNECT localhost:${upstream.port} HTTP/1.1`,
      `Host: localhost:${upstream.port}`,
      `Proxy-Authorization: Basic ${Buffer.from("user:pass").toString("base64")}`,
    ]);
    // The upstream gets to see nothing of it.
    expect(upstream.received()).toBe("hello");
    stream()?.terminate();
    expect(await closed).toBeNull();
    expect(calls).toEqual(["opened", "closed"]);
    await upstream.closed;
  });

  test("puts an IPv6 address into brackets", async () => {
    proxy.behaviour = 502;
    await open({ hostname: "::1", port: 8443 }).closed;
    expect(proxy.heads[0]).toStartWith("CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443");
  });

  test("hands on what comes right behind the proxy's answer", async () => {
    proxy.early = "early";
    expect(await open().answered).toBe("early");
  });

  test.each<[string, ConnectProxy["behaviour"], string]>([
    ["refuses", 403, "The egress proxy refused the connection with 403"],
    ["has no upstream", 502, "The egress proxy refused the connection with 502"],
    ["switches protocols", 101, "The egress proxy refused the connection with 101"],
    ["answers nonsense", "garbage", "The egress proxy refused the connection in no HTTP"],
  ])("fails once with a ProxyError where it %s", async (_title, behaviour, message) => {
    proxy.behaviour = behaviour;
    const { closed, calls } = open();
    expect(await closed).toMatchObject({ name: "ProxyError", message });
    expect(calls).toEqual(["closed"]);
    await until(() => proxy.open === 0);
  });

  test("fails where it wants another login, and never says which one it got", async () => {
    proxy.login = "user:right";
    const error = await open({}, "user:wrong").closed;
    expect(error).toMatchObject({ name: "ProxyError" });
    expect(String(error?.message)).toContain("407");
    expect(String(error?.message)).not.toContain("wrong");
  });

  test("fails where it has too much to say", async () => {
    const endless = rawServer((socket) => void socket.write("x".repeat(100_000)));
    const address = { hostname: "127.0.0.1", port: endless.port, authorization: null };
    expect(await open({ proxy: address }).closed).toMatchObject({ name: "ProxyError" });
    endless.stop();
  });

  test("fails where it breaks off, or nothing listens", async () => {
    proxy.behaviour = "breaks_off";
    const broken = open();
    await broken.closed;
    expect(broken.calls).toEqual(["closed"]);
    proxy.stop();
    const { closed, calls } = open();
    expect(await closed).toBeInstanceOf(Error);
    expect(calls).toEqual(["closed"]);
  });

  test("leaves no connection behind when it is given up while the proxy keeps silent", async () => {
    proxy.behaviour = "silent";
    const { giveUp, closed, calls } = open();
    await until(() => proxy.heads.length === 1);
    giveUp();
    await closed;
    await until(() => proxy.open === 0);
    expect(calls).toEqual(["closed"]);
  });

  test("ends when the proxy dies, once", async () => {
    const { answered, closed, calls } = open();
    await answered;
    proxy.cut();
    await closed;
    expect(calls).toEqual(["opened", "closed"]);
  });
});

describe("connect() with TLS", () => {
  const ways = [
    ["directly", true],
    ["through a proxy", false],
  ] as const;
  const over = (isDirect: boolean) => (isDirect ? { proxy: null } : {});

  test.each(ways)("names the host and shows a client certificate, %s", async (_title, isDirect) => {
    front = await tlsFront(upstream.port, OTHER_CERTIFICATE.cert);
    const { answered, stream, closed } = open({ tls: SHOWING, ...over(isDirect) });
    expect(await answered).toBe("answer");
    expect(front.names).toEqual(["localhost"]);
    stream()?.end();
    expect(await closed).toBeNull();
  });

  test.each(ways)("is a TlsError without the certificate asked for, %s", async (_t, isDirect) => {
    front = await tlsFront(upstream.port, OTHER_CERTIFICATE.cert);
    expect(await open({ tls: TRUSTING, ...over(isDirect) }).closed).toMatchObject({
      name: "TlsError",
    });
    expect(upstream.received()).toBe("");
  });

  test.each(ways)("verifies also where the environment says not to, %s", async (_t, isDirect) => {
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    front = await tlsFront(upstream.port);
    try {
      for (const tls of [
        { ...TRUSTING, ca: null },
        { ...TRUSTING, ca: OTHER_CERTIFICATE.cert },
        { ...TRUSTING, serverName: "other.example" },
      ]) {
        const { closed, calls } = open({ tls, ...over(isDirect) });
        expect(await closed).toMatchObject({ name: "TlsError" });
        expect(calls).toEqual(["closed"]);
      }
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
    expect(upstream.received()).toBe("");
  });

  test.each(ways)("pauses, and loses nothing of what came meanwhile, %s", async (_t, isDirect) => {
    const size = 4 * 1024 * 1024;
    const flood = await RawClient.server("x".repeat(size), true);
    front = await tlsFront(flood.port);
    const { closed, calls, stream, received } = open({ tls: TRUSTING, ...over(isDirect) });
    await until(() => stream() !== null);
    stream()?.pause();
    for (let turn = 0; turn < 200; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received()).toBeLessThan(size);
    expect(calls).toEqual(["opened"]);
    stream()?.resume();
    await closed;
    expect([received(), calls]).toEqual([size, ["opened", "closed"]]);
    flood.stop();
  });

  test("fails where the proxy speaks ahead of the upstream, or goes in the handshake", async () => {
    front = await tlsFront(upstream.port);
    proxy.early = "x";
    expect(await open({ tls: TRUSTING }).closed).toMatchObject({ name: "ProxyError" });
    const mute = rawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.data.asked = false;
      if (mute.received().includes("\r\n\r\n\x16")) socket.terminate();
    });
    const address = { hostname: "127.0.0.1", port: mute.port, authorization: null };
    const { closed, calls } = open({ tls: TRUSTING, proxy: address });
    expect(await closed).toBeInstanceOf(Error);
    expect(calls).toEqual(["closed"]);
    mute.stop();
  });
});
