import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { admittedOf, EXCHANGE, LimiterWorld, token } from "../support/limiter_world.ts";

const SUBJECTS = token({ max_requests: 800, concurrent_exchanges: 80 });

test("LeaseDesk waits 2 s for a lease, and then lets through what it cannot check", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  world.leases.mode = "hanging";
  const pending = limiter.reserve(SUBJECTS, EXCHANGE);
  let isOver = false;
  void Promise.resolve(pending).then(() => (isOver = true));
  await world.pass(1_000);
  world.clock.advance(999);
  await world.settle();
  expect(isOver).toBe(false);
  world.clock.advance(1);
  await world.settle();
  expect(isOver).toBe(true);
  expect(world.events).toEqual([{ event: "limits_unenforced" }]);
});

test("LeaseDesk makes nobody wait for a store that is known to be down", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  world.leases.mode = "failing";
  await world.admitted(limiter, SUBJECTS);
  for (let at = 0; at < 50; at++) {
    expect(limiter.reserve(SUBJECTS, EXCHANGE)).not.toBeInstanceOf(Promise);
    await world.settle();
  }
  expect(world.leases.asked).toHaveLength(1);
  expect(world.events).toHaveLength(51);
});

test("LeaseDesk with `deny` refuses what it cannot check, and nothing else", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter("n1", "deny");
  await world.admitted(limiter, SUBJECTS);
  world.leases.mode = "failing";
  await world.pass(1_000);
  expect(await admittedOf(world, limiter, SUBJECTS, 20)).toHaveLength(9);
  expect(await world.reserve(limiter, SUBJECTS)).toBe("limits_unavailable");
  expect(limiter.charge(SUBJECTS, EXCHANGE).refusal?.code).toBe("limits_unavailable");
  expect(limiter.reserve([], EXCHANGE)).toHaveProperty("costMicros");
  expect(world.events).toEqual([]);
});

test("LeaseDesk holds to limits again within a second of the store's return", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter("n1", "deny");
  world.leases.mode = "failing";
  expect(await world.reserve(limiter, SUBJECTS)).toBe("limits_unavailable");
  world.leases.mode = "up";
  await world.pass(1_000);
  await world.admitted(limiter, SUBJECTS);
});

test("LeaseDesk still refuses what is known to be used up while the store is down", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ requests_per_minute: 2 });
  expect(await admittedOf(world, limiter, subjects, 3)).toHaveLength(2);
  world.leases.mode = "failing";
  await world.pass(5_000);
  expect(await world.reserve(limiter, subjects)).toBe("rate_limited");
});

test("LeaseDesk reports what was let through once the store is there again", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  world.leases.mode = "failing";
  const subjects = token({ max_requests: 3 });
  for (const reservation of await admittedOf(world, limiter, subjects, 5)) {
    reservation.settle(1, 1);
  }
  await world.pass(10_000);
  world.leases.mode = "up";
  await world.pass(3_000);
  expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(5);
  expect(await world.reserve(limiter, subjects)).toBe("quota_exhausted");
});

test("LeaseDesk takes a lease that comes late", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  world.leases.mode = "hanging";
  const late = world.reserve(limiter, SUBJECTS);
  await world.pass(2_000);
  expect(await late).not.toBeString();
  world.leases.resume();
  await world.settle();
  const held = world.leases.held("token:t1", "concurrent_exchanges");
  expect(held).toBeGreaterThan(1);
  expect(await admittedOf(world, limiter, SUBJECTS, held - 1)).toHaveLength(held - 1);
  expect(world.events).toHaveLength(1);
});

test("LeaseDesk does not trust what it holds after 25 s without the store", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter("n1", "deny");
  const running = await world.admitted(limiter, SUBJECTS);
  world.leases.mode = "failing";
  async function admittedAtOnce(): Promise<number> {
    const admitted = await admittedOf(world, limiter, SUBJECTS, 9);
    for (const reservation of admitted) reservation.release();
    return admitted.length;
  }
  for (let second = 0; second < 25; second++) {
    expect(await admittedAtOnce()).toBe(9);
    await world.pass(1_000);
  }
  expect(await admittedAtOnce()).toBe(9);
  world.clock.advance(1);
  expect(await world.reserve(limiter, SUBJECTS)).toBe("limits_unavailable");
  world.leases.mode = "up";
  await world.pass(1_000);
  expect(world.leases.removed).toEqual(["n1"]);
  expect(world.leases.held("token:t1", "concurrent_exchanges")).toBe(0);
  await world.admitted(limiter, SUBJECTS);
  running.settle(null, null);
  await world.pass(5_000);
  expect(world.leases.held("token:t1", "concurrent_exchanges")).toBe(1);
  expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(1);
});

test("LeaseDesk says every second that the node is alive while it holds something", async () => {
  const world = new LimiterWorld();
  await world.admitted(world.limiter(), SUBJECTS);
  await world.pass(120_000);
  const other = world.limiter("n2");
  await world.admitted(other, SUBJECTS);
  expect(world.leases.held("token:t1", "concurrent_exchanges", "n1")).toBe(1);
});

test("LeaseDesk reports before it asks, so that what was given back is there", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  await world.admitted(limiter, token({ max_requests: 80 }));
  const narrowed = token({ max_requests: 2 });
  await world.admitted(limiter, narrowed);
  expect(world.leases.reports).toEqual([
    { subject: "token:t1", quantity: "requests", used: 0, released: 9 },
  ]);
});

test("LeaseDesk asks and reports in batches", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const all = Array.from({ length: 1_200 }, (_, at) =>
    limiter.reserve(token({ max_requests: 8 }, `t${at}`), EXCHANGE),
  );
  for (let at = 0; at < 2_000; at++) limiter.noteUse(`t${at}`, { cacheHit: false });
  await world.settle();
  for (const reserved of all) (await reserved).settle(1, 1);
  expect(world.leases.asked.slice(0, 3).map(({ length }) => length)).toEqual([500, 500, 200]);
  await world.pass(3_000);
  expect(world.leases.uses).toHaveLength(2_000);
  expect(world.leases.reports.reduce((sum, { used }) => sum + used, 0)).toBe(1_200);
});

test("LeaseDesk survives a store that throws at once", async () => {
  const world = new LimiterWorld();
  world.leases.lease = () => {
    throw new Error("closed");
  };
  const error = await world.reserve(world.limiter("n1", "deny"), SUBJECTS);
  expect(error).toBe(new GatewayError("limits_unavailable").code);
});
