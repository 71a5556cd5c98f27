/** Dialling an upstream that the test plays on an in-memory connection. */

import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";

import type { Message } from "../../src/exchange.ts";
import { DialFailed, DialRefused } from "../../src/relay/close.ts";
import { dial, type DialOptions } from "../../src/relay/dial.ts";
import { acceptValue } from "../../src/relay/handshake.ts";
import { Outbox } from "../../src/relay/outbox.ts";
import {
  type ConnectOptions,
  ProxyError,
  type Stream,
  type StreamHandler,
  TlsError,
} from "../../src/runtime/runtime.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { serverMessage } from "../support/reference_codec.ts";

const ROUTE: ConnectOptions = { hostname: "localhost", port: 443, tls: null, proxy: null };

/** A connection whose both ends the test holds. */
class Wire implements Stream {
  sent = "";
  paused = false;
  givenUp = false;
  takes = Number.MAX_SAFE_INTEGER;
  options: ConnectOptions | null = null;
  handler: StreamHandler | null = null;

  readonly connect = (options: ConnectOptions, handler: StreamHandler) => {
    this.options = options;
    this.handler = handler;
    return () => {
      this.givenUp = true;
    };
  };

  write(bytes: Uint8Array): number {
    const taken = Math.min(this.takes, bytes.length);
    this.sent += Buffer.from(bytes.subarray(0, taken)).toString("latin1");
    return taken;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {}

  terminate(): void {
    this.givenUp = true;
  }

  handOver(handler: StreamHandler): void {
    this.handler = handler;
  }

  open(): void {
    this.handler?.opened(this);
  }

  answer(text: string | Uint8Array): void {
    this.handler?.data(Buffer.from(text as string));
  }

  get key(): string {
    return /Sec-WebSocket-Key: (\S+)/.exec(this.sent)?.[1] ?? "";
  }

  upgradeHead(more = ""): string {
    return (
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${acceptValue(this.key)}\r\n${more}\r\n`
    );
  }
}

function start(over: Partial<DialOptions> = {}) {
  const wire = new Wire();
  const clock = new FakeClock();
  const result = dial({
    runtime: wire,
    clock,
    outbox: new Outbox(clock),
    route: ROUTE,
    hostname: "localhost",
    port: 443,
    tls: false,
    path: "/v1/realtime",
    headers: [],
    subprotocols: [],
    timeoutMs: 10_000,
    signal: null,
    messageBytesMax: 0,
    ...over,
  });
  // Looked at below; never unhandled meanwhile.
  result.catch(() => {});
  return { wire, clock, result };
}

async function failure(result: Promise<unknown>): Promise<DialFailed | DialRefused> {
  try {
    await result;
  } catch (thrown) {
    if (thrown instanceof DialFailed || thrown instanceof DialRefused) return thrown;
    throw thrown;
  }
  throw new Error("It did not fail");
}

describe("dial()", () => {
  test("resolves with headers and subprotocol, paused, and leaves no timer", async () => {
    const { wire, clock, result } = start({ subprotocols: ["realtime"] });
    wire.open();
    wire.answer(wire.upgradeHead("Sec-WebSocket-Protocol: realtime\r\nx-request-id: r1\r\n"));
    const dialed = await result;
    expect(dialed.subprotocol).toBe("realtime");
    expect(dialed.headers).toContainEqual(["x-request-id", "r1"]);
    expect([wire.paused, wire.givenUp, clock.pendingTimers]).toEqual([true, false, 0]);
  });

  test("keeps frames that come with the head until a session attaches", async () => {
    const { wire, result } = start();
    wire.open();
    const frames = Buffer.concat([serverMessage("session.created"), serverMessage("next")]);
    const whole = Buffer.concat([Buffer.from(wire.upgradeHead()), frames]);
    wire.answer(whole.subarray(0, 40));
    wire.answer(whole.subarray(40, whole.length - 3));
    const { socket } = await result;
    const got: (Message | null)[] = [];
    const take = () => {
      for (let item = socket.next(); typeof item === "string"; item = socket.next()) got.push(item);
    };
    socket.attach({ upstreamReadable: take, upstreamDrained() {}, upstreamEnded() {} });
    expect(got).toEqual(["session.created"]);
    wire.answer(whole.subarray(whole.length - 3));
    expect(got).toEqual(["session.created", "next"]);
  });

  test("skips interim answers, and writes a request that the kernel takes in parts", async () => {
    const { wire, result } = start();
    wire.takes = 50;
    wire.open();
    while (!wire.sent.endsWith("\r\n\r\n")) wire.handler?.drained();
    wire.answer(`HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${wire.upgradeHead()}`);
    expect((await result).subprotocol).toBeNull();
  });

  test("connects by the given route, and asks the host that it is for", () => {
    const tls = { serverName: "::1", ca: "PEM", cert: null, key: null };
    const proxy = { hostname: "proxy.example", port: 3128, authorization: null };
    const route = { hostname: "::1", port: 443, tls, proxy };
    const { wire } = start({ hostname: "[::1]", tls: true, route });
    wire.open();
    expect(wire.options).toEqual(route);
    expect(wire.sent).toContain("\r\nHost: [::1]\r\n");
  });

  test("says with what the proxy refused", async () => {
    const { wire, result } = start();
    wire.handler?.closed(new ProxyError(407));
    expect(await failure(result)).toMatchObject({
      kind: "connect",
      message: "The egress proxy refused the connection with 407",
    });
  });

  test.each([
    ["by its length", "content-length: 7\r\n\r\n", ["no mo", "re", "EXTRA"], "no more"],
    [
      "in chunks",
      "transfer-encoding: chunked\r\n\r\n",
      ["3\r\nno \r", "\n4;x=y\r\nmore\r\n0\r", "\n\r\n"],
      "no more",
    ],
    ["not at all", "content-length: 0\r\n\r\n", [], ""],
  ])("rejects with the upstream's refusal, its body delimited %s", async (...row) => {
    const [, head, parts, body] = row;
    const { wire, clock, result } = start();
    wire.open();
    wire.answer(`HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\n${head}`);
    for (const part of parts) wire.answer(part);
    const error = await failure(result);
    if (!(error instanceof DialRefused)) throw error;
    expect([error.status, Buffer.from(error.body).toString()]).toEqual([429, body]);
    expect(error.headers).toContainEqual(["retry-after", "7"]);
    expect([wire.givenUp, clock.pendingTimers]).toEqual([true, 0]);
  });

  test("rejects with a refusal whose body ends with the connection", async () => {
    const { wire, result } = start();
    wire.open();
    wire.answer("HTTP/1.1 500 Oops\r\n\r\nbro");
    wire.answer("ken");
    wire.handler?.closed(null);
    const error = await failure(result);
    expect(error instanceof DialRefused && Buffer.from(error.body).toString()).toBe("broken");
  });

  test("rejects with what came of a refusal when time is up", async () => {
    const { wire, clock, result } = start();
    wire.open();
    wire.answer("HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\npart");
    clock.advance(10_000);
    const error = await failure(result);
    expect(error instanceof DialRefused && Buffer.from(error.body).toString()).toBe("part");
  });

  test("keeps at most 64 KiB of a refusal's body", async () => {
    const { wire, result } = start();
    wire.open();
    wire.answer("HTTP/1.1 400 No\r\n\r\n");
    for (let i = 0; i < 20; i++) wire.answer("x".repeat(10_000));
    const error = await failure(result);
    expect(error instanceof DialRefused && error.body.length).toBe(65_536);
  });

  test.each([
    ["no connection", "connect", (wire: Wire) => wire.handler?.closed(new Error("ECONNREFUSED"))],
    ["no trust", "tls", (wire: Wire) => wire.handler?.closed(new TlsError("self-signed"))],
    [
      "an end before the answer",
      "closed",
      (wire: Wire) => {
        wire.open();
        wire.answer("HTTP/1.1 101 Sw");
        wire.handler?.closed(null);
      },
    ],
    [
      "an answer that is not HTTP",
      "protocol",
      (wire: Wire) => {
        wire.open();
        wire.answer("220 smtp ready\r\n\r\n");
      },
    ],
    [
      "a wrong accept value",
      "protocol",
      (wire: Wire) => {
        wire.open();
        wire.answer(wire.upgradeHead().replace(/Accept: \S+/, "Accept: AAAA"));
      },
    ],
    [
      "a head without end",
      "protocol",
      (wire: Wire) => {
        wire.open();
        for (let i = 0; i < 10; i++) wire.answer(`x: ${"y".repeat(10_000)}\r\n`);
      },
    ],
  ] as [string, string, (wire: Wire) => void][])("fails once on %s", async (_t, kind, behave) => {
    const { wire, clock, result } = start();
    behave(wire);
    const error = await failure(result);
    expect(error).toMatchObject({ name: "DialFailed", kind });
    expect([wire.givenUp, clock.pendingTimers]).toEqual([true, 0]);
  });

  test("fails when time is up, before and after it is connected", async () => {
    for (const connected of [false, true]) {
      const { wire, clock, result } = start();
      if (connected) wire.open();
      clock.advance(9_999);
      expect(wire.givenUp).toBe(false);
      clock.advance(1);
      const error = await failure(result);
      expect([error instanceof DialFailed && error.kind, wire.givenUp]).toEqual(["timeout", true]);
    }
  });

  test("is given up when the client leaves, or has left", async () => {
    const leaving = new AbortController();
    const { wire, result } = start({ signal: leaving.signal });
    wire.open();
    leaving.abort();
    const error = await failure(result);
    expect([error instanceof DialFailed && error.kind, wire.givenUp]).toEqual(["aborted", true]);
    const late = start({ signal: leaving.signal });
    expect((await failure(late.result)).name).toBe("DialFailed");
    expect(late.wire.options).toBeNull();
  });
});
