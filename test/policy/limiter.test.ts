import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { admittedOf, EXCHANGE, LimiterWorld, SESSION, token } from "../support/limiter_world.ts";

const DAY = "day:2026-11-21";

/** Whoever waits for it throws. */
async function refusal(run: () => unknown): Promise<GatewayError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error("Not refused");
}

test("reserve() without limits takes nothing, asks nobody and carries the cost", () => {
  const world = new LimiterWorld();
  const reservation = world.limiter().reserve([], EXCHANGE);
  expect(reservation).toHaveProperty("costMicros", 100);
  expect(world.leases.asked).toEqual([]);
});

test("reserve() returns no promise while what is leased suffices", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ requests_per_minute: 800, budget_micros_total: 800_000 });
  expect(limiter.reserve(subjects, EXCHANGE)).toBeInstanceOf(Promise);
  await world.settle();
  for (let at = 1; at < 70; at++) {
    expect(limiter.reserve(subjects, EXCHANGE)).not.toBeInstanceOf(Promise);
  }
  expect(world.leases.asked).toHaveLength(1);
});

test("reserve() fetches more before there is none, while there is plenty", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ requests_per_minute: 8_000 });
  await world.admitted(limiter, subjects);
  for (let at = 0; at < 5_000; at++) {
    expect(limiter.reserve(subjects, EXCHANGE)).not.toBeInstanceOf(Promise);
    await world.settle();
  }
});

test("reserve() asks for what all who wait need at once", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = [...token({ max_requests: 10 }), ...token({ budget_micros_total: 9_000 }, "t2")];
  const all = Array.from({ length: 5 }, () => limiter.reserve(subjects, EXCHANGE));
  await world.settle();
  expect(await Promise.all(all)).toHaveLength(5);
  expect(world.leases.asked).toHaveLength(1);
  expect(world.leases.asked[0]?.map(({ wanted }) => wanted)).toEqual([5, 500]);
});

test.each([
  ["rate_limited", { requests_per_minute: 3 }, "3 requests a minute"],
  ["rate_limited", { tokens_per_minute: 35 }, "35 tokens a minute"],
  ["rate_limited", { concurrent_exchanges: 3 }, "3 exchanges at a time"],
  ["quota_exhausted", { max_requests: 3 }, "3 requests in total"],
  ["budget_exhausted", { budget_micros_per_day: 399 }, "399 micro-dollars a day"],
  ["budget_exhausted", { budget_micros_per_month: 399 }, "399 micro-dollars a month"],
  ["budget_exhausted", { budget_micros_total: 399 }, "399 micro-dollars in total"],
] as const)("reserve() refuses with %s beyond %p", async (code, limits, words) => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const admitted = await admittedOf(world, limiter, token(limits), 5);
  expect(admitted).toHaveLength(3);
  if (!("concurrent_exchanges" in limits)) {
    for (const reservation of admitted) reservation.settle(10, 100);
  }
  const pending = refusal(() => limiter.reserve(token(limits), EXCHANGE));
  await world.settle();
  const error = await pending;
  expect(error.code).toBe(code);
  expect(error.message).toContain(words);
  expect(error.subject).toBe("token:t1");
});

test("reserve() refuses sessions beyond their limit, and takes nothing else of them", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ concurrent_sessions: 2, max_requests: 1, concurrent_exchanges: 1 });
  const first = await world.admitted(limiter, subjects, SESSION);
  await world.admitted(limiter, subjects, SESSION);
  expect(await world.reserve(limiter, subjects, SESSION)).toBe("too_many_sessions");
  await world.admitted(limiter, subjects);
  first.settle(null, null);
  await world.admitted(limiter, subjects, SESSION);
});

test("reserve() takes nothing where one of several limits refuses", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const project = { subject: "project:p", limits: { max_requests: 4, tokens_per_minute: 40 } };
  const spent = [...token({ max_requests: 1 }), project];
  await world.admitted(limiter, spent);
  expect(await admittedOf(world, limiter, spent, 20)).toEqual([]);
  expect(await admittedOf(world, limiter, [project], 20)).toHaveLength(3);
});

test("reserve() takes no tokens and no budget for an exchange that bills nothing", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const free = { kind: "exchange", tokens: 0, costMicros: 0 } as const;
  const subjects = token({ budget_micros_total: 100, tokens_per_minute: 10, max_requests: 3 });
  (await world.admitted(limiter, subjects)).settle(10, 100);
  await world.admitted(limiter, subjects, free);
  expect(await world.reserve(limiter, subjects)).toBe("budget_exhausted");
  await world.admitted(limiter, subjects, free);
  expect(await world.reserve(limiter, subjects, free)).toBe("quota_exhausted");
});

test("reserve() refuses what is more than the whole limit without asking", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ budget_micros_total: 99 });
  expect(await world.reserve(limiter, subjects)).toBe("budget_exhausted");
  expect(world.leases.asked).toEqual([]);
});

test("reserve() begins anew with the minute", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ requests_per_minute: 2 });
  expect(await admittedOf(world, limiter, subjects, 5)).toHaveLength(2);
  await world.pass(59_000);
  expect(await admittedOf(world, limiter, subjects, 5)).toHaveLength(0);
  await world.pass(1_000);
  expect(await admittedOf(world, limiter, subjects, 5)).toHaveLength(2);
});

test("reserve() does not ask again for half a second where it was refused", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ concurrent_exchanges: 1 });
  const first = await world.admitted(world.limiter("n2"), subjects);
  expect(await admittedOf(world, limiter, subjects, 100)).toEqual([]);
  expect(world.leases.asked).toHaveLength(2);
  first.settle(null, null);
  await world.pass(3_000);
  await world.admitted(limiter, subjects);
});

test("reserve() holds to a limit that was narrowed at once, and to a wider one too", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  await world.admitted(limiter, token({ max_requests: 80, budget_micros_total: 8_000 }));
  expect(world.leases.held("token:t1", "requests")).toBe(10);
  expect(await admittedOf(world, limiter, token({ max_requests: 3 }), 20)).toHaveLength(2);
  await world.pass(1_000);
  expect(world.leases.held("token:t1", "requests")).toBe(3);
  expect(world.leases.held("token:t1", "cost_micros")).toBe(100);
  expect(await admittedOf(world, limiter, token({ max_requests: 5 }), 20)).toHaveLength(2);
});

test("settle() frees the place, keeps the request and gives back what was not used", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({
    concurrent_exchanges: 1,
    max_requests: 2,
    tokens_per_minute: 19,
    budget_micros_total: 150,
  });
  const first = await world.admitted(limiter, subjects);
  expect(await world.reserve(limiter, subjects)).toBe("rate_limited");
  first.settle(4, 20);
  first.settle(0, 0);
  first.release();
  const second = await world.admitted(limiter, subjects);
  second.settle(null, null);
  expect(await world.reserve(limiter, subjects)).toBe("quota_exhausted");
});

test("settle() takes more than was reserved from what is left", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ tokens_per_minute: 100 });
  const first = await world.admitted(limiter, subjects);
  first.settle(85, 0);
  await world.settle();
  await world.admitted(limiter, subjects);
  expect(await world.reserve(limiter, subjects)).toBe("rate_limited");
  // Another node is not granted them either.
  const small = { kind: "exchange", tokens: 6, costMicros: 0 } as const;
  expect(await world.reserve(world.limiter("n2"), subjects, small)).toBe("rate_limited");
});

test("settle() leaves the next minute alone", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ tokens_per_minute: 20 });
  const first = await world.admitted(limiter, subjects);
  await world.pass(60_000);
  await world.admitted(limiter, subjects);
  first.settle(0, 0);
  await world.admitted(limiter, subjects);
  expect(await world.reserve(limiter, subjects)).toBe("rate_limited");
});

test("release() gives back everything, the request too", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({
    max_requests: 1,
    requests_per_minute: 1,
    tokens_per_minute: 10,
    concurrent_exchanges: 1,
    budget_micros_per_day: 100,
  });
  for (let at = 0; at < 3; at++) {
    const reservation = await world.admitted(limiter, subjects);
    expect(await world.reserve(limiter, subjects)).toBe("quota_exhausted");
    reservation.release();
    reservation.settle(10, 100);
  }
});

test("a budget holds with what usage rows add to it, and is free again the next day", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ budget_micros_per_day: 300 });
  for (const cost of [120, 130]) {
    const reservation = await world.admitted(limiter, subjects);
    reservation.settle(1, cost);
    world.ship(limiter, cost, [DAY]);
  }
  await world.pass(5_000);
  expect(world.leases.held("token:t1", "cost_micros")).toBe(0);
  expect(await world.reserve(limiter, subjects)).toBe("budget_exhausted");
  await world.pass(12 * 3600 * 1000);
  await world.admitted(limiter, subjects);
});

test("charge() takes what is asked for beyond the limit, and says so once it knows", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ max_requests: 2 });
  const charged = [];
  for (let at = 0; at < 5; at++) {
    charged.push(limiter.charge(subjects, EXCHANGE));
    await world.settle();
  }
  expect(charged.map(({ refusal }) => refusal?.code ?? null)).toEqual([
    null,
    null,
    "quota_exhausted",
    "quota_exhausted",
    "quota_exhausted",
  ]);
  for (const { reservation } of charged) reservation.settle(1, 1);
  await world.pass(5_000);
  expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(5);
  expect(world.leases.held("token:t1", "requests")).toBe(0);
});

test("charge() without limits refuses nothing", () => {
  const { reservation, refusal } = new LimiterWorld().limiter().charge([], EXCHANGE);
  expect([reservation.costMicros, refusal]).toEqual([100, null]);
});

test("rates() has the tightest limit of the subjects", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const project = {
    subject: "project:p",
    limits: { requests_per_minute: 5, tokens_per_minute: 1000 },
  };
  const subjects = [...token({ requests_per_minute: 100, tokens_per_minute: 80 }), project];
  expect(limiter.rates(token({ max_requests: 1 }))).toEqual({ requests: null, tokens: null });
  expect(limiter.rates(subjects).requests).toEqual({ limit: 5, remaining: 5, resetMs: 60_000 });
  await admittedOf(world, limiter, subjects, 2);
  world.clock.advance(20_000);
  expect(limiter.rates(subjects)).toEqual({
    requests: { limit: 5, remaining: 3, resetMs: 40_000 },
    tokens: { limit: 80, remaining: 60, resetMs: 40_000 },
  });
});

test("a limiter gives back what it did not need for two seconds", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ concurrent_exchanges: 24 });
  const all = await admittedOf(world, limiter, subjects, 3);
  const held = () => world.leases.held("token:t1", "concurrent_exchanges");
  expect(held()).toBe(5);
  for (const reservation of all) reservation.settle(null, null);
  await world.pass(1_000);
  expect(held()).toBe(5);
  await world.pass(2_000);
  expect(held()).toBe(0);
});

test("a limiter keeps a little for a slow client for 15 s, while there is plenty", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ max_requests: 800 });
  for (let at = 0; at < 40; at++) {
    (await world.admitted(limiter, subjects)).settle(1, 1);
    await world.pass(3_000);
    expect(world.leases.held("token:t1", "requests")).toBeLessThanOrEqual(100);
  }
  // Without it, nearly every request would ask.
  expect(world.leases.asked.length).toBeLessThan(14);
  await world.pass(15_000);
  expect(world.leases.held("token:t1", "requests")).toBe(0);
});

test("a limiter gives back what it did not need of the running minute", async () => {
  const world = new LimiterWorld();
  const subjects = token({ requests_per_minute: 100 });
  for (let at = 0; at < 12; at++) {
    const reservation = await world.admitted(world.limiter(`n${at}`), subjects);
    reservation.settle(1, 1);
  }
  await world.pass(20_000);
  expect(await admittedOf(world, world.limiter("last"), subjects, 100)).toHaveLength(88);
});

test("reserve() says that a budget is only held where waiting helps", async () => {
  const world = new LimiterWorld();
  const other = world.limiter("n2");
  const limiter = world.limiter();
  const subjects = token({ budget_micros_total: 400, max_requests: 4 });
  const running = await admittedOf(world, other, subjects, 4);
  expect(running).toHaveLength(4);
  const pending = refusal(() => limiter.reserve(subjects, EXCHANGE));
  await world.settle();
  const error = await pending;
  expect([error.code, error.headers]).toEqual(["rate_limited", { "retry-after": "3" }]);
  running.pop()?.release();
  for (const reservation of running) reservation.settle(1, 0);
  await world.pass(3_000);
  await world.admitted(limiter, subjects);
});

test("reserve() takes nothing in vain of a budget that is too small for it", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ budget_micros_total: 400 });
  await world.admitted(world.limiter("n2"), subjects, { ...EXCHANGE, costMicros: 250 });
  const large = { ...EXCHANGE, costMicros: 300 };
  expect(await world.reserve(limiter, subjects, large)).toBe("rate_limited");
  expect(world.leases.held("token:t1", "cost_micros", "n1")).toBe(0);
});

test("reserve() lets a request have the whole minute that may take more tokens", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ tokens_per_minute: 1_000 });
  const picture = { kind: "exchange", tokens: 60_000, costMicros: 1 } as const;
  const reservation = await world.admitted(limiter, subjects, picture);
  expect(await world.reserve(limiter, subjects)).toBe("rate_limited");
  reservation.settle(400, 1);
  await world.admitted(limiter, subjects);
  // It has less than the whole minute now.
  expect(await world.reserve(limiter, subjects, picture)).toBe("rate_limited");
});

test("settle() of turns dearer than reserved keeps within the budget, one at a time", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ budget_micros_total: 10_000 });
  const small = { kind: "exchange", tokens: 1, costMicros: 10 } as const;
  let spent = 0;
  let late = 0;
  for (let at = 0; at < 100; at++) {
    const reservation = await world.reserve(limiter, subjects, small);
    if (typeof reservation === "string") break;
    reservation.settle(1, 1_000);
    spent += 1_000;
    // Rows arrive one turn late.
    world.ship(limiter, late, ["total"]);
    late = 1_000;
    await world.settle();
  }
  expect(spent).toBe(10_000);
});

test("settle() for more than is leased is told before others are granted it", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ budget_micros_total: 1_000 });
  const small = { kind: "exchange", tokens: 1, costMicros: 10 } as const;
  (await world.admitted(limiter, subjects, small)).settle(1, 900);
  await world.settle();
  expect(world.leases.held("token:t1", "cost_micros")).toBeGreaterThanOrEqual(900);
  const large = { ...small, costMicros: 101 };
  expect(await world.reserve(world.limiter("n2"), subjects, large)).toBe("rate_limited");
});

test("stored() counts what was settled on this node, once, and no more than that", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ budget_micros_total: 1_000 });
  const held = () => world.leases.held("token:t1", "cost_micros");
  const first = await world.admitted(limiter, subjects);
  await world.pass(3_000);
  // From before there was a budget, and of another node.
  world.ship(limiter, 70, ["total"]);
  world.ship(limiter, 50, ["total"], { nodeId: "n2" });
  first.settle(1, 80);
  await world.pass(20_000);
  expect(held()).toBe(80);
  world.ship(limiter, 80, ["total"]);
  await world.pass(3_000);
  expect(held()).toBe(0);
});

test("a limit that comes back finds what still runs of it", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const limits = { concurrent_exchanges: 2 };
  const running = await admittedOf(world, limiter, token(limits), 2);
  limiter.reserve(token({ max_requests: 5 }), EXCHANGE);
  await world.pass(3_000);
  expect(world.leases.held("token:t1", "concurrent_exchanges")).toBe(2);
  expect(await world.reserve(limiter, token(limits))).toBe("rate_limited");
  for (const reservation of running) reservation.settle(1, 1);
  await world.pass(3_000);
  expect(world.leases.held("token:t1", "concurrent_exchanges")).toBe(0);
});

test("a limiter counts the uses of tokens, and tells the store once a second", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  limiter.noteUse("t1", { cacheHit: false });
  world.clock.advance(10);
  limiter.noteUse("t1", { cacheHit: true });
  limiter.noteUse("t2", { cacheHit: false });
  world.leases.mode = "failing";
  await world.pass(1_000);
  limiter.noteUse("t2", { cacheHit: false });
  world.leases.mode = "up";
  await world.pass(3_000);
  const startMs = Date.UTC(2026, 10, 21, 12);
  expect(world.leases.uses).toEqual([
    { tokenId: "t1", requests: 2, cacheHits: 1, lastUsedAt: startMs + 10 },
    { tokenId: "t2", requests: 1, cacheHits: 0, lastUsedAt: startMs + 10 },
    { tokenId: "t2", requests: 1, cacheHits: 0, lastUsedAt: startMs + 1_010 },
  ]);
});

test("a limiter without anything to say says nothing", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  (await world.admitted(limiter, token({ max_requests: 8 }))).release();
  await world.pass(10_000);
  const { size } = world.leases.spend.seenAtMs;
  world.leases.mode = "failing";
  await world.pass(60_000);
  expect(size).toBe(1);
  world.leases.mode = "up";
  await world.admitted(limiter, token({ max_requests: 8 }));
  expect(world.events).toEqual([]);
});

test("stop() gives everything back and forgets the node", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ max_requests: 80, budget_micros_total: 8_000 });
  (await world.admitted(limiter, subjects)).settle(1, 100);
  limiter.noteUse("t1", { cacheHit: false });
  const stopped = limiter.stop();
  await world.settle();
  await stopped;
  expect(world.leases.removed).toEqual(["n1"]);
  expect(world.leases.uses).toHaveLength(1);
  expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(1);
  expect(world.clock.pendingTimers).toBe(0);
});

test("stop() rejects when the store does not hear of it", async () => {
  const failing = new LimiterWorld();
  const limiter = failing.limiter();
  failing.leases.mode = "failing";
  expect(limiter.stop()).rejects.toThrow("The database is away");
  const hanging = new LimiterWorld();
  const other = hanging.limiter();
  hanging.leases.mode = "hanging";
  const stopped = other.stop();
  await hanging.settle();
  hanging.clock.advance(2_000);
  expect(stopped).rejects.toThrow("within 2000 ms");
});
