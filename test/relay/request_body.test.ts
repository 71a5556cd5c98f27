/** Held bodies: limits on size, memory and time. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { ClientGone, Ending } from "../../src/relay/ending.ts";
import { BodyBudget, hasBody, holdBody, holdStart } from "../../src/relay/request_body.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Feed, refusal, request, settle } from "../support/feed.ts";

function hold(
  body: Request,
  changes: { bytesMax?: number; budget?: BodyBudget; clock?: FakeClock; ending?: Ending } = {},
) {
  return holdBody(body, {
    bytesMax: 100,
    budget: new BodyBudget(1_000),
    clock: new FakeClock(),
    ending: new Ending(),
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

  test("refuses another charset, in which the keys may be written otherwise", async () => {
    const body = request("x", { "content-type": "application/json; charset=utf-7" });
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

describe("holdBody() of an exchange that is ended meanwhile", () => {
  test.each([{}, { "content-length": "8" }])("reads no more of it, with %j", async (headers) => {
    const [feed, budget, ending] = [new Feed(), new BodyBudget(1_000), new Ending()];
    const held = refusal(hold(request(feed.stream, headers), { budget, ending }));
    feed.send(5);
    await settle();
    ending.end(new GatewayError("token_revoked"));
    expect(await held).toEqual(["token_revoked", 401]);
    expect(budget.usedBytes).toBe(0);
  });

  test("does not begin where it is over already", async () => {
    const ending = new Ending();
    ending.end(new GatewayError("token_revoked"));
    const held = hold(request(new Feed().stream), { ending });
    expect(await refusal(held)).toEqual(["token_revoked", 401]);
  });

  test("leaves it to the reading to find that the client left", async () => {
    const [feed, ending] = [new Feed(), new Ending()];
    const held = refusal(hold(request(feed.stream), { ending }));
    feed.send(5);
    await settle();
    ending.end(new ClientGone());
    feed.fail();
    expect(await held).toEqual(["bad_request", 400]);
  });
});

describe("holdStart()", () => {
  function begin(feed: Feed, budget = new BodyBudget(1_000), clock = new FakeClock()) {
    return holdStart(request(feed.stream), { bytesMax: 100, budget, clock, ending: new Ending() });
  }

  test("holds a body without a length that is no longer than that", async () => {
    const [feed, budget] = [new Feed(), new BodyBudget(1_000)];
    const begun = begin(feed, budget);
    for (const bytes of [60, 40]) feed.send(bytes);
    feed.end();
    const held = await begun;
    if (!("release" in held)) throw new Error("It was not held");
    expect([held.bytes.length, budget.usedBytes]).toEqual([100, 100]);
    held.release();
    expect(budget.usedBytes).toBe(0);
  });

  test("gives a longer one back from its beginning, and no more than is asked for", async () => {
    const [feed, budget] = [new Feed(), new BodyBudget(1_000)];
    const begun = begin(feed, budget);
    for (const bytes of [60, 41, 7]) feed.send(bytes);
    const source = await begun;
    if ("release" in source || source.body === null) throw new Error("It was held");
    expect(budget.usedBytes).toBe(0);
    const reader = source.body.getReader();
    expect((await reader.read()).value?.byteLength).toBe(101);
    expect((await reader.read()).value?.byteLength).toBe(7);
    feed.end();
    expect((await reader.read()).done).toBe(true);
  });

  test("stops reading one that is not wanted any more", async () => {
    const feed = new Feed();
    const begun = begin(feed);
    feed.send(101);
    const source = await begun;
    if ("release" in source) throw new Error("It was held");
    await source.body?.cancel();
    expect(feed.cancelled).toBe(true);
  });

  test("cuts off who sends too slowly, and refuses a content coding", async () => {
    const [feed, clock] = [new Feed(), new FakeClock()];
    const begun = begin(feed, new BodyBudget(1_000), clock);
    await settle();
    const slow = refusal(begun);
    for (let ms = 0; ms < 70_000; ms += 5_000) {
      clock.advance(5_000);
      await settle();
    }
    expect(await slow).toEqual(["bad_request", 408]);
    const coded = request("x", { "content-encoding": "gzip" });
    const ending = new Ending();
    const options = { bytesMax: 100, budget: new BodyBudget(1_000), clock, ending };
    expect(await refusal(holdStart(coded, options))).toEqual(["unsupported_encoding", 415]);
  });
});

test("hasBody() goes by the declared length, and else by the body", () => {
  const asked: string[] = [];
  const source = (length: string | null, body: Request["body"]) => ({
    headers: new Headers(length === null ? {} : { "content-length": length }),
    get body() {
      asked.push(String(length));
      return body;
    },
  });
  const { body: stream } = new Response("x");
  const found = [source("0", stream), source("7", null), source(null, stream), source(null, null)];
  expect(found.map(hasBody)).toEqual([false, true, true, false]);
  expect(asked).toEqual(["null", "null"]);
});
