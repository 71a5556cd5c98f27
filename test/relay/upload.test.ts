/** Uploads that stream by: limits on size and time, and back-pressure. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { Ending } from "../../src/relay/ending.ts";
import { BodyBudget, holdStart } from "../../src/relay/request_body.ts";
import { Upload } from "../../src/relay/upload.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Feed, refusal, request, settle } from "../support/feed.ts";

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

  test("fails one whose beginning was read where the client breaks off behind it", async () => {
    const feed = new Feed();
    const budget = new BodyBudget(1_000);
    const options = { bytesMax: 100, budget, clock: new FakeClock(), ending: new Ending() };
    const begun = holdStart(request(feed.stream), options);
    feed.send(101);
    const source = await begun;
    if ("release" in source) throw new Error("It was held");
    const clock = new FakeClock();
    const body = new Upload(source, { bytesMax: 0, clock, writeTimeoutMs: 0, observe: null });
    const reader = body.stream.getReader();
    expect((await reader.read()).value?.byteLength).toBe(101);
    feed.fail();
    expect(await refusal(reader.read())).toEqual(["bad_request", 400]);
  });
});
