/**
 * An answer's body on its way: the tap, back-pressure, timeouts, and how it looks when it is cut.
 */

import { afterEach, describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { BodyTap } from "../../src/exchange.ts";
import { ClientGone } from "../../src/relay/ending.ts";
import { BodyRelay, isSmall } from "../../src/relay/response_body.ts";
import type { BodyEnd, RelayBodyOptions } from "../../src/relay/response_body.ts";
import { bunRuntime } from "../../src/runtime/bun.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FakeClock } from "../support/fake_clock.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** A tap that writes down its calls. */
class SpyTap implements BodyTap {
  readonly calls: string[] = [];
  onChunk: BodyTap["chunk"] = (bytes) => bytes;
  onEnd: BodyTap["end"] = () => null;

  chunk(bytes: Uint8Array): ReturnType<BodyTap["chunk"]> {
    this.calls.push(`chunk ${decode(bytes)}`);
    return this.onChunk(bytes);
  }

  end(): ReturnType<BodyTap["end"]> {
    this.calls.push("end");
    return this.onEnd();
  }

  abort(): void {
    this.calls.push("abort");
  }
}

/** A relay whose upstream the test plays. */
class Setup {
  readonly clock = new FakeClock();
  readonly tap = new SpyTap();
  readonly ends: BodyEnd[] = [];
  aborts = 0;
  dones = 0;
  pulls = 0;
  /** What the failed read means. */
  failure: GatewayError | ClientGone = new GatewayError("upstream_closed");
  upstream: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly relay: BodyRelay;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(changes: Partial<RelayBodyOptions> = {}) {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        start: (controller) => void (this.upstream = controller),
        pull: () => void (this.pulls += 1),
      },
      { highWaterMark: 0 },
    );
    this.relay = new BodyRelay({
      answer: {
        body,
        abort: () => {
          this.aborts += 1;
          this.fail();
        },
        failure: () => this.failure,
        done: () => void (this.dones += 1),
      },
      tap: this.tap,
      clock: this.clock,
      timeouts: { idleMs: 1_000, writeMs: 400 },
      errorEvent: (error) => `data: ${error.code}\n\n`,
      onEnd: (end) => this.ends.push(end),
      ...changes,
    });
    if (this.relay.stream === null) throw new Error("There is a body");
    this.reader = this.relay.stream.getReader();
  }

  send(text: string): void {
    this.upstream?.enqueue(encode(text));
  }

  fail(): void {
    this.upstream?.error(new Error("reset"));
    this.upstream = null;
  }

  /** Reads to the end; a cut shows as `(cut)`. */
  async rest(): Promise<string> {
    let text = "";
    for (;;) {
      const read = await this.reader.read().then(
        (result) => result,
        () => null,
      );
      if (read === null) return `${text}(cut)`;
      if (read.done) return text;
      text += decode(read.value);
    }
  }

  /** The rest, once the time between the last bytes and the cut has passed. */
  async cut(): Promise<string> {
    const rest = this.rest();
    await settle();
    this.clock.advance(100);
    return await rest;
  }

  /** What must hold after every end. */
  expectEnded(outcome: BodyEnd["outcome"], lastCall: "end" | "abort"): void {
    expect(this.ends.map((end) => end.outcome)).toEqual([outcome]);
    expect(this.tap.calls.filter((name) => name === "end" || name === "abort")).toEqual([lastCall]);
    expect(this.tap.calls.at(-1)).toBe(lastCall);
    expect([this.dones, this.aborts]).toEqual([1, lastCall === "abort" ? 1 : 0]);
  }
}

async function settle(): Promise<void> {
  for (let round = 0; round < 50; round += 1) await Promise.resolve();
}

describe("BodyRelay", () => {
  test("forwards the very view that the tap returns", async () => {
    const setup = new Setup();
    const bytes = encode("hello");
    setup.upstream?.enqueue(bytes);
    expect((await setup.reader.read()).value).toBe(bytes);
  });

  test("forwards a part, nothing, and what the tap held back to the end", async () => {
    const setup = new Setup();
    setup.tap.onChunk = (bytes) =>
      decode(bytes) === "drop" ? null : decode(bytes) === "part" ? bytes.subarray(1) : bytes;
    setup.tap.onEnd = () => encode("!");
    for (const text of ["a", "drop", "part", "drop"]) setup.send(text);
    setup.upstream?.close();
    expect(await setup.rest()).toBe("aart!");
    setup.expectEnded("complete", "end");
    expect(setup.ends[0]).toMatchObject({ bytes: 5, chunks: 3, error: null });
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("holds back a chunk, and those behind it, while the tap's promise is open", async () => {
    const setup = new Setup();
    const written = Promise.withResolvers<Uint8Array | null>();
    setup.tap.onChunk = (bytes) => (decode(bytes) === "last" ? written.promise : bytes);
    setup.send("first");
    setup.send("last");
    setup.upstream?.close();
    expect(decode((await setup.reader.read()).value)).toBe("first");
    const next = setup.reader.read();
    await settle();
    expect(setup.tap.calls).toEqual(["chunk first", "chunk last"]);
    written.resolve(encode("last"));
    expect(decode((await next).value)).toBe("last");
    expect(await setup.rest()).toBe("");
    setup.expectEnded("complete", "end");
  });

  test("awaits the tap's end before it closes", async () => {
    const setup = new Setup();
    const end = Promise.withResolvers<Uint8Array | null>();
    setup.tap.onEnd = () => end.promise;
    setup.upstream?.close();
    const rest = setup.rest();
    await settle();
    expect(setup.ends).toEqual([]);
    end.resolve(encode("held"));
    expect(await rest).toBe("held");
    setup.expectEnded("complete", "end");
  });

  test("without a tap passes every chunk", async () => {
    const setup = new Setup({ tap: null });
    setup.send("a");
    setup.upstream?.close();
    expect(await setup.rest()).toBe("a");
    expect(setup.ends[0]).toMatchObject({ outcome: "complete", bytes: 1 });
  });

  test("reads upstream only when the client takes", async () => {
    const setup = new Setup();
    await settle();
    expect(setup.pulls).toBe(0);
    void setup.reader.read();
    await settle();
    expect(setup.pulls).toBe(1);
    setup.send("a");
    setup.send("b");
    await settle();
    expect(setup.tap.calls).toEqual(["chunk a"]);
  });

  test("an answer without a body ends the tap", async () => {
    const setup = new Setup();
    const relay = new BodyRelay({
      answer: { body: null, abort() {}, failure: () => setup.failure, done() {} },
      tap: setup.tap,
      clock: setup.clock,
      timeouts: { idleMs: 1_000, writeMs: 400 },
      errorEvent: null,
      onEnd: (end) => setup.ends.push(end),
    });
    expect(relay.stream).toBeNull();
    await relay.endWithoutBody();
    expect([setup.tap.calls, setup.ends[0]?.outcome]).toEqual([["end"], "complete"]);
  });
});

describe("BodyRelay.whole()", () => {
  test("hands out what the tap lets pass", async () => {
    const setup = new Setup();
    setup.tap.onChunk = (bytes) => Promise.resolve(bytes.subarray(0, 2));
    setup.tap.onEnd = () => encode("!");
    const whole = setup.relay.whole(() => Promise.resolve(encode("abc")));
    expect(await whole).toEqual(encode("ab!"));
    setup.expectEnded("complete", "end");
    expect([setup.ends[0]?.bytes, setup.clock.pendingTimers]).toEqual([3, 0]);
  });

  test.each<[string, BodyEnd["outcome"], (setup: Setup) => void]>([
    ["breaks off", "upstream_failed", (setup) => setup.fail()],
    ["is silent", "upstream_failed", (setup) => setup.clock.advance(1_000)],
    ["is ended", "ended", (setup) => setup.relay.end(new GatewayError("token_revoked"))],
  ])("of a body that %s is a stream that is cut", async (_title, outcome, act) => {
    const setup = new Setup({ errorEvent: null });
    setup.reader.releaseLock();
    const read = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    setup.fail = () => read.reject(new Error("reset"));
    const whole = setup.relay.whole(() => read.promise);
    act(setup);
    const body = await whole;
    if (!(body instanceof ReadableStream)) throw new Error("It is not cut");
    setup.clock.advance(100);
    expect(body.getReader().read()).rejects.toThrow();
    setup.expectEnded(outcome, "abort");
  });

  test("of a body that is ended while the tap waits is a stream that is cut", async () => {
    const setup = new Setup({ errorEvent: null });
    setup.reader.releaseLock();
    const recorded = Promise.withResolvers<Uint8Array>();
    setup.tap.onChunk = () => recorded.promise;
    const whole = setup.relay.whole(() => Promise.resolve(encode("abc")));
    await settle();
    setup.relay.end(new GatewayError("token_revoked"));
    setup.clock.advance(100);
    recorded.resolve(encode("abc"));
    const body = await whole;
    if (!(body instanceof ReadableStream)) throw new Error("It is not cut");
    expect(body.getReader().read()).rejects.toThrow();
    setup.expectEnded("ended", "abort");
  });

  test.each<[Record<string, string>, boolean]>([
    [{ "content-length": "65536", "content-type": "application/json" }, true],
    [{ "content-length": "65537", "content-type": "application/json" }, false],
    [{ "content-length": "5" }, false],
    [{ "content-length": "0", "content-type": "application/json" }, false],
    [{ "content-length": "5", "content-type": "text/event-stream" }, false],
    [{ "content-type": "text/event-stream" }, false],
  ])("isSmall(%j) is %p", (headers, small) => {
    expect(isSmall(new Headers(headers))).toBe(small);
  });
});

describe("a cut body", () => {
  test("of an upstream that breaks off never ends cleanly", async () => {
    const setup = new Setup({ errorEvent: null });
    setup.send("half");
    expect(decode((await setup.reader.read()).value)).toBe("half");
    setup.fail();
    expect(await setup.cut()).toBe("(cut)");
    setup.expectEnded("upstream_failed", "abort");
    expect(setup.ends[0]?.error?.code).toBe("upstream_closed");
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test.each([
    ["data: a\n\n", "data: token_revoked\n\n(cut)"],
    ['data: {"a', "\n\ndata: token_revoked\n\n(cut)"],
  ])("after %j says why it ends, then is cut", async (sent, rest) => {
    const setup = new Setup();
    setup.send(sent);
    expect(decode((await setup.reader.read()).value)).toBe(sent);
    const read = setup.cut();
    await settle();
    setup.relay.end(new GatewayError("token_revoked"));
    await settle();
    setup.clock.advance(100);
    expect(await read).toBe(rest);
    setup.expectEnded("ended", "abort");
    expect(setup.ends[0]?.error?.code).toBe("token_revoked");
  });

  test("of a client that does not read is cut just the same", async () => {
    const setup = new Setup();
    setup.send("a");
    await setup.reader.read();
    setup.relay.end(new GatewayError("token_revoked"));
    setup.clock.advance(100);
    setup.expectEnded("ended", "abort");
    expect(await setup.rest()).toEndWith("(cut)");
  });

  test("by the signal of the exchange counts as ended by us", async () => {
    const setup = new Setup();
    setup.failure = new GatewayError("project_inactive");
    const rest = setup.cut();
    setup.fail();
    expect(await rest).toBe("data: project_inactive\n\n(cut)");
    setup.expectEnded("ended", "abort");
  });

  test("of a client that left is nobody's error", async () => {
    const setup = new Setup();
    void setup.reader.read();
    await setup.reader.cancel();
    setup.expectEnded("client_gone", "abort");
    setup.clock.advance(100);
    expect([setup.ends[0]?.error, setup.clock.pendingTimers]).toEqual([null, 0]);
  });

  test("of a client that left, as the aborted upstream tells it", async () => {
    const setup = new Setup();
    setup.failure = new ClientGone();
    const rest = setup.cut();
    setup.fail();
    expect(await rest).toBe("(cut)");
    setup.expectEnded("client_gone", "abort");
  });

  test("is reported once, whatever comes together", async () => {
    const setup = new Setup();
    const rest = setup.cut();
    setup.relay.end(new GatewayError("token_revoked"));
    setup.relay.end(new GatewayError("draining"));
    setup.fail();
    await rest;
    setup.expectEnded("ended", "abort");
    expect(setup.ends[0]?.error?.code).toBe("token_revoked");
  });

  test.each([
    [
      "throws",
      () => {
        throw new GatewayError("ledger_unavailable");
      },
    ],
    ["rejects", () => Promise.reject(new GatewayError("ledger_unavailable"))],
  ])("stops before the chunk for which the tap %s", async (_title, onChunk) => {
    const setup = new Setup();
    setup.tap.onChunk = onChunk;
    setup.send("terminal");
    expect(await setup.cut()).toBe("data: ledger_unavailable\n\n(cut)");
    setup.expectEnded("ended", "abort");
  });

  test("has lost what the tap still held when it was ended", async () => {
    const setup = new Setup();
    const written = Promise.withResolvers<Uint8Array | null>();
    setup.tap.onChunk = () => written.promise;
    setup.send("held");
    const rest = setup.cut();
    await settle();
    setup.relay.end(new GatewayError("token_revoked"));
    written.resolve(encode("held"));
    await settle();
    setup.clock.advance(100);
    expect(await rest).toBe("data: token_revoked\n\n(cut)");
  });
});

describe("timeouts", () => {
  test("idle ends a body whose upstream is silent, and not one that trickles", async () => {
    const setup = new Setup();
    for (let event = 0; event < 10; event += 1) {
      const read = setup.reader.read();
      await settle();
      setup.clock.advance(999);
      setup.send("a");
      await read;
    }
    const rest = setup.rest();
    await settle();
    setup.clock.advance(999);
    expect(setup.ends).toEqual([]);
    setup.clock.advance(1);
    setup.clock.advance(100);
    expect(await rest).toBe("\n\ndata: upstream_timeout\n\n(cut)");
    setup.expectEnded("upstream_failed", "abort");
  });

  test("write ends a body whose client does not read", async () => {
    const setup = new Setup();
    setup.send("a");
    await setup.reader.read();
    setup.clock.advance(399);
    expect(setup.ends).toEqual([]);
    setup.clock.advance(1);
    setup.expectEnded("ended", "abort");
    expect(setup.ends[0]?.error?.code).toBe("write_timeout");
  });

  test("0 turns both off", async () => {
    const setup = new Setup({ timeouts: { idleMs: 0, writeMs: 0 } });
    expect(setup.clock.pendingTimers).toBe(0);
  });
});

describe("over a socket", () => {
  const stops: (() => void)[] = [];

  afterEach(() => {
    for (const stop of stops.splice(0)) stop();
  });

  /** A gateway that relays what `upstreamUrl` answers, and the relay of its last request. */
  function gateway(upstreamUrl: string, ends: BodyEnd[]) {
    const relays: BodyRelay[] = [];
    const listener = bunRuntime.listen({
      hostname: "127.0.0.1",
      port: 0,
      bodyBytesMax: 1024,
      messageBytesMax: 1024,
      async handle() {
        const abort = new AbortController();
        const response = await fetch(upstreamUrl, { signal: abort.signal });
        const relay = new BodyRelay({
          answer: {
            body: response.body,
            abort: () => abort.abort(),
            failure: () => new GatewayError("upstream_closed"),
            done() {},
          },
          tap: new SpyTap(),
          clock: systemClock,
          timeouts: { idleMs: 0, writeMs: 0 },
          errorEvent: (error) => `data: ${error.code}\n\n`,
          onEnd: (end) => ends.push(end),
        });
        relays.push(relay);
        return new Response(relay.stream, { headers: { "content-type": "text/event-stream" } });
      },
    });
    stops.push(() => void listener.stop(true));
    return { url: `http://127.0.0.1:${listener.port}`, port: listener.port, relays };
  }

  interface Upstream {
    readonly url: string;
    /** Bytes that the kernel has taken. */
    taken(): number;
    finish(): void;
    reset(): void;
  }

  /** Sends `head`, then `total` bytes as fast as they are taken. */
  function upstream(head: string, total: number): Upstream {
    const block = Buffer.alloc(1024 * 1024, 0x61);
    let left = total;
    let live: { end(): unknown; terminate(): unknown } | null = null;
    const pump = (socket: { write(bytes: Uint8Array): number }) => {
      while (left > 0) {
        const taken = socket.write(block.subarray(0, Math.min(left, block.length)));
        if (taken <= 0) return;
        left -= taken;
      }
    };
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket) {
          live = socket;
          socket.write(head);
          pump(socket);
        },
        drain: pump,
        close: () => void (left = 0),
        error() {},
      },
    });
    stops.push(() => listener.stop(true));
    return {
      url: `http://127.0.0.1:${listener.port}/`,
      taken: () => total - left,
      finish: () => live?.end(),
      reset: () => live?.terminate(),
    };
  }

  test("a frozen client stops the reading of upstream, and gets all when it goes on", async () => {
    const total = 200 * 1024 * 1024;
    const source = upstream(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`, total);
    const ends: BodyEnd[] = [];
    const node = gateway(source.url, ends);
    const finished = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    let received = 0;
    const client = await Bun.connect({
      hostname: "127.0.0.1",
      port: node.port,
      socket: {
        open: (socket) =>
          void socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        data(socket, bytes) {
          if (received === 0) socket.pause();
          received += bytes.length;
          started.resolve();
        },
        close: () => finished.resolve(),
        error() {},
      },
    });
    await started.promise;
    let before = -1;
    let same = 0;
    // Until nothing has moved for a hundred turns of the event loop.
    while (same < 100) {
      same = source.taken() === before ? same + 1 : 0;
      before = source.taken();
      await new Promise<void>((resolve) => systemClock.soon(resolve));
    }
    // What the kernel's buffers and one chunk in each hand hold.
    expect(source.taken()).toBeLessThan(32 * 1024 * 1024);
    expect(ends).toEqual([]);
    client.resume();
    await finished.promise;
    expect(received).toBeGreaterThan(total);
    expect(ends[0]).toMatchObject({ outcome: "complete", bytes: total });
  });

  test("a client of a stream that we end reads why, and then sees a cut", async () => {
    const source = upstream("HTTP/1.1 200 OK\r\n\r\n", 10);
    const ends: BodyEnd[] = [];
    const node = gateway(source.url, ends);
    const response = await fetch(node.url);
    const reader = response.body?.getReader();
    expect(decode((await reader?.read())?.value)).toBe("aaaaaaaaaa");
    node.relays[0]?.end(new GatewayError("token_revoked"));
    expect(decode((await reader?.read())?.value)).toBe("\n\ndata: token_revoked\n\n");
    expect(reader?.read()).rejects.toThrow();
    await reader?.read().catch(() => {});
    expect(ends.map((end) => end.outcome)).toEqual(["ended"]);
  });

  test.each(["finish", "reset"] as const)(
    "what was received before the upstream's %s arrives, and then a cut",
    async (how) => {
      const source = upstream("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", 10);
      const node = gateway(source.url, []);
      const response = await fetch(node.url);
      const reader = response.body?.getReader();
      expect(decode((await reader?.read())?.value)).toBe("aaaaaaaaaa");
      source[how]();
      expect(decode((await reader?.read())?.value)).toContain("upstream_closed");
      const last = await reader?.read().then(
        () => "clean",
        () => "cut",
      );
      expect(last).toBe("cut");
    },
  );

  test("a client that leaves ends the relay, and the upstream is aborted", async () => {
    const source = upstream("HTTP/1.1 200 OK\r\n\r\n", 10);
    const ended = Promise.withResolvers<BodyEnd>();
    const ends: BodyEnd[] = [];
    ends.push = (end) => {
      ended.resolve(end);
      return 1;
    };
    const node = gateway(source.url, ends);
    const client = new AbortController();
    const response = await fetch(node.url, { signal: client.signal });
    await response.body?.getReader().read();
    client.abort();
    expect((await ended.promise).outcome).toBe("client_gone");
  });
});
