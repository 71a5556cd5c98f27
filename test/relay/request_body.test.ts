/** Held and streamed uploads: limits on size, memory and time, and back-pressure. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { BodyBudget, holdBody, Upload } from "../../src/relay/request_body.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A body that the test feeds. */
class Feed {
  readonly stream: ReadableStream<Uint8Array>;
  pulls = 0;
  cancelled = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;

  constructor() {
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => void (this.pulls += 1),
        cancel: () => void (this.cancelled = true),
      },
      { highWaterMark: 0 },
    );
  }

  send(bytes: number): void {
    this.#controller?.enqueue(new Uint8Array(bytes).fill(97));
  }

  end(): void {
    this.#controller?.close();
  }

  fail(): void {
    this.#controller?.error(new DOMException("gone", "AbortError"));
  }
}

function request(body: ReadableStream<Uint8Array> | string, headers: Record<string, string> = {}) {
  return new Request("http://gw.example/v1/x", { method: "POST", body, headers });
}

/** Lets promises that are due settle; a stream needs a few rounds. */
async function settle(): Promise<void> {
  for (let round = 0; round < 50; round += 1) await Promise.resolve();
}

async function refusal(promise: Promise<unknown>): Promise<[string, number]> {
  const thrown = await promise.then(
    () => null,
    (error) => error,
  );
  if (thrown instanceof GatewayError) return [thrown.code, thrown.status];
  throw new Error("Nothing was refused", { cause: thrown });
}

function hold(
  body: Request,
  changes: { bytesMax?: number; budget?: BodyBudget; clock?: FakeClock } = {},
) {
  return holdBody(body, {
    bytesMax: 100,
    budget: new BodyBudget(1_000),
    clock: new FakeClock(),
    ...changes,
  });
}

describe("holdBody()", () => {
  test.each([
    ["with a declared length", "content-length"],
    ["chunked", "x-none"],
  ])("returns the bytes of a body %s", async (_title, header) => {
    const clock = new FakeClock();
    const budget = new BodyBudget(1_000);
    const text = '{"model": "é"}';
    const bytes = new TextEncoder().encode(text);
    const held = await hold(request(text, { [header]: String(bytes.length) }), { budget, clock });
    expect(new TextDecoder().decode(held.bytes)).toBe(text);
    expect([budget.usedBytes, clock.pendingTimers]).toEqual([bytes.length, 0]);
    held.release();
    held.release();
    expect(budget.usedBytes).toBe(0);
  });

  test("joins what comes in pieces", async () => {
    const feed = new Feed();
    const held = hold(request(feed.stream));
    for (const size of [1, 40, 0, 59]) feed.send(size);
    feed.end();
    expect((await held).bytes).toEqual(new Uint8Array(100).fill(97));
  });

  test("refuses a declared length beyond the limit without reading", async () => {
    const feed = new Feed();
    expect(await refusal(hold(request(feed.stream, { "content-length": "101" })))).toEqual([
      "body_too_large",
      413,
    ]);
    expect(feed.pulls).toBe(0);
  });

  test("refuses a chunked body once it passes the limit, and stops reading it", async () => {
    const feed = new Feed();
    const budget = new BodyBudget(1_000);
    const held = refusal(hold(request(feed.stream), { budget }));
    feed.send(60);
    feed.send(60);
    expect(await held).toEqual(["body_too_large", 413]);
    await settle();
    expect([feed.cancelled, budget.usedBytes]).toEqual([true, 0]);
  });

  test("refuses with 503 what exceeds the budget, and takes it when there is room", async () => {
    const budget = new BodyBudget(150);
    const first = await hold(request("x".repeat(100), { "content-length": "100" }), { budget });
    const second = () => hold(request("y".repeat(60)), { budget });
    expect(await refusal(second())).toEqual(["node_full", 503]);
    expect(budget.usedBytes).toBe(100);
    first.release();
    expect((await second()).bytes).toHaveLength(60);
  });

  test("takes no memory for bytes that are only announced", async () => {
    const budget = new BodyBudget(200_000);
    const feed = new Feed();
    const headers = { "content-length": "200000" };
    const held = hold(request(feed.stream, headers), { budget, bytesMax: 0 });
    feed.send(10);
    await settle();
    expect(budget.usedBytes).toBe(10);
    feed.fail();
    expect(await refusal(held)).toEqual(["bad_request", 400]);
    expect(budget.usedBytes).toBe(0);
  });

  test.each(["gzip", "br, identity", "ZSTD"])("refuses content-encoding %s", async (encoding) => {
    const body = request("x", { "content-encoding": encoding });
    expect(await refusal(hold(body))).toEqual(["unsupported_encoding", 415]);
  });

  test("takes content-encoding identity", async () => {
    expect((await hold(request("x", { "content-encoding": "Identity" }))).bytes).toHaveLength(1);
  });

  test.each([
    ["with a declared length", { "content-length": "50" }],
    ["chunked", {}],
  ])("refuses with 408 a body that stalls, %s", async (_title, headers) => {
    const clock = new FakeClock();
    const feed = new Feed();
    const held = refusal(hold(request(feed.stream, headers), { clock }));
    feed.send(10);
    await settle();
    clock.advance(70_000);
    expect(await held).toEqual(["bad_request", 408]);
    expect(clock.pendingTimers).toBe(0);
  });
});

function upload(
  feed: Feed,
  changes: {
    bytesMax?: number;
    clock?: FakeClock;
    headers?: Record<string, string>;
    observe?: (chunk: Uint8Array | null) => void;
  } = {},
) {
  const { headers, ...rest } = changes;
  const options = {
    bytesMax: 0,
    clock: new FakeClock(),
    writeTimeoutMs: 30_000,
    observe: null,
    ...rest,
  };
  return new Upload(request(feed.stream, headers), options);
}

describe("Upload", () => {
  test("reads from the client only when the upstream asks", async () => {
    const feed = new Feed();
    const body = upload(feed);
    await settle();
    expect(feed.pulls).toBe(0);
    const reader = body.stream.getReader();
    const read = reader.read();
    await settle();
    expect(feed.pulls).toBe(1);
    feed.send(5);
    expect((await read).value).toHaveLength(5);
    await settle();
    expect([feed.pulls, body.bytes]).toEqual([1, 5]);
  });

  test("ends as the client ends, and leaves no timer", async () => {
    const clock = new FakeClock();
    const feed = new Feed();
    const body = upload(feed, { clock });
    let ended = 0;
    body.whenEnded(() => (ended += 1));
    const all = new Response(body.stream).bytes();
    feed.send(5);
    feed.send(6);
    feed.end();
    expect(await all).toHaveLength(11);
    expect([ended, body.failure, clock.pendingTimers]).toEqual([1, null, 0]);
  });

  test("shows what passes, and the end before the upstream learns of it", async () => {
    const feed = new Feed();
    const seen: (number | null)[] = [];
    const body = upload(feed, { observe: (chunk) => seen.push(chunk?.byteLength ?? null) });
    const all = new Response(body.stream).bytes();
    feed.send(5);
    feed.end();
    expect(await all).toHaveLength(5);
    expect(seen).toEqual([5, null]);
  });

  test("breaks off where the observer refuses the end", async () => {
    const feed = new Feed();
    const body = upload(feed, {
      observe(chunk) {
        if (chunk === null) throw new GatewayError("model_not_allowed");
      },
    });
    const all = new Response(body.stream).bytes();
    feed.send(5);
    feed.end();
    expect(await all.catch(() => "broken off")).toBe("broken off");
    expect(body.failure?.code).toBe("model_not_allowed");
  });

  test("refuses a declared length beyond the limit", () => {
    expect(() => upload(new Feed(), { bytesMax: 10, headers: { "content-length": "11" } })).toThrow(
      "larger than 10 bytes",
    );
  });

  test("fails once more has come than the limit", async () => {
    const feed = new Feed();
    const body = upload(feed, { bytesMax: 10 });
    const all = new Response(body.stream).bytes();
    feed.send(10);
    await settle();
    expect(body.failure).toBeNull();
    feed.send(1);
    expect(all).rejects.toThrow();
    await all.catch(() => {});
    expect(body.failure?.code).toBe("body_too_large");
    await settle();
    expect(feed.cancelled).toBe(true);
  });

  test("an honest 10 KB/s is never too slow", async () => {
    const clock = new FakeClock();
    const feed = new Feed();
    const body = upload(feed, { clock });
    const all = new Response(body.stream).bytes();
    for (let second = 0; second < 900; second += 1) {
      feed.send(10_000);
      await settle();
      clock.advance(1_000);
    }
    feed.end();
    expect(await all).toHaveLength(9_000_000);
  });

  test("a byte now and then is too slow", async () => {
    const clock = new FakeClock();
    const feed = new Feed();
    const body = upload(feed, { clock });
    const all = new Response(body.stream).bytes().catch(() => null);
    let second = 0;
    for (; second < 300 && body.failure === null; second += 10) {
      feed.send(1);
      await settle();
      clock.advance(10_000);
    }
    expect(await all).toBeNull();
    expect([body.failure?.status, second]).toEqual([408, 70]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("an upstream that stops reading is the upstream's fault", async () => {
    const clock = new FakeClock();
    const feed = new Feed();
    const body = upload(feed, { clock });
    const reader = body.stream.getReader();
    const read = reader.read();
    feed.send(5);
    await read;
    clock.advance(29_999);
    expect(body.failure).toBeNull();
    clock.advance(1);
    expect(body.failure?.code).toBe("upstream_timeout");
  });

  test("a client that breaks off fails the stream: the upstream sees no clean end", async () => {
    const feed = new Feed();
    const body = upload(feed);
    const all = new Response(body.stream).bytes();
    feed.send(5);
    feed.fail();
    const outcome = await all.then(
      () => "clean",
      () => "cut",
    );
    expect([outcome, body.failure?.code]).toEqual(["cut", "bad_request"]);
  });
});
