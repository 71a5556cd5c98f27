import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { type LiveExchange, LiveExchanges } from "../../src/relay/live.ts";

function exchange(live: LiveExchanges, over: Partial<LiveExchange>): LiveExchange {
  const self: LiveExchange = {
    id: "s1",
    transport: "websocket",
    projectId: "p",
    tokenId: "t",
    issuedAtMs: 0,
    provider: "openai",
    endpoint: "/v1/responses",
    startedAtMs: 0,
    remoteAddress: "127.0.0.1",
    turns: 0,
    end: () => live.remove(self),
    drain: () => {},
    ...over,
  };
  live.add(self);
  return self;
}

test("LiveExchanges counts sessions by token, and requests as exchanges only", () => {
  const live = new LiveExchanges();
  exchange(live, { id: "a" });
  const second = exchange(live, { id: "b" });
  exchange(live, { id: "c", transport: "http" });
  expect([live.size, live.sessions, live.sessionsOf("t")]).toEqual([3, 2, 2]);
  live.remove(second);
  live.remove(second);
  expect([live.size, live.sessions, live.sessionsOf("t")]).toEqual([2, 1, 1]);
});

test("LiveExchanges.replace() puts another one in the place of the same session", () => {
  const live = new LiveExchanges();
  exchange(live, { id: "a", tokenId: "x" });
  const after = { ...exchange(new LiveExchanges(), { id: "a", tokenId: "x" }), turns: 3 };
  live.replace(after);
  expect([live.size, live.sessions, live.sessionsOf("x"), live.get("a")?.turns]).toEqual([
    1, 1, 1, 3,
  ]);
  live.remove(after);
  expect([live.size, live.sessions, live.sessionsOf("x")]).toEqual([0, 0, 0]);
});

test("LiveExchanges.endWhere() ends those that match and leaves the others", () => {
  const live = new LiveExchanges();
  exchange(live, { id: "a", tokenId: "x" });
  exchange(live, { id: "b", tokenId: "y" });
  exchange(live, { id: "c", tokenId: "x" });
  const ended = live.endWhere((one) => one.tokenId === "x", new GatewayError("token_revoked"));
  expect(ended).toBe(2);
  expect(live.list().map((one) => one.id)).toEqual(["b"]);
});

test("LiveExchanges.drain() asks each exchange and resolves when the last is gone", async () => {
  const live = new LiveExchanges();
  let asked = 0;
  const one = exchange(live, { id: "a", drain: () => asked++ });
  const two = exchange(live, { id: "b", drain: () => asked++ });
  let drained = false;
  const done = live.drain().then(() => (drained = true));
  expect(asked).toBe(2);
  live.remove(one);
  await Promise.resolve();
  expect(drained).toBe(false);
  live.remove(two);
  await done;
  expect(drained).toBe(true);
});

test("LiveExchanges.drain() resolves at once when nothing is in flight", async () => {
  await new LiveExchanges().drain();
});
