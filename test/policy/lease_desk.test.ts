import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { admittedOf, EXCHANGE, LimiterWorld, SESSION, token } from "../support/limiter_world.ts";

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
  // No more than this node alone could be granted.
  for (const reservation of await admittedOf(world, limiter, subjects, 5)) {
    reservation.settle(1, 1);
  }
  limiter.charge(subjects, EXCHANGE).reservation.settle(1, 1);
  await world.pass(10_000);
  world.leases.mode = "up";
  await world.pass(3_000);
  expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(4);
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
  await world.pass(2_000);
  // What runs, and nothing besides.
  expect(world.leases.held("token:t1", "concurrent_exchanges")).toBe(1);
  await world.admitted(limiter, SUBJECTS);
  running.settle(null, null);
  await world.pass(20_000);
  expect(world.leases.held("token:t1", "concurrent_exchanges")).toBe(1);
  expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(1);
});

test("LeaseDesk keeps what runs counted after an outage of any length", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter("n1", "deny");
  const other = world.limiter("n2", "deny");
  const subjects = token({ concurrent_exchanges: 10 });
  const running = await admittedOf(world, limiter, subjects, 10);
  world.leases.mode = "failing";
  await world.pass(60_000);
  world.leases.mode = "up";
  await world.pass(3_000);
  expect(await world.reserve(limiter, subjects)).toBe("rate_limited");
  expect(await world.reserve(other, subjects)).toBe("rate_limited");
  for (const reservation of running) reservation.settle(null, null);
  await world.pass(20_000);
  expect(await admittedOf(world, other, subjects, 11)).toHaveLength(10);
});

test("LeaseDesk drops what it did not use where an answer comes after 25 s", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ concurrent_exchanges: 80 });
  await world.admitted(limiter, subjects);
  world.leases.mode = "hanging";
  await world.pass(40_000);
  world.leases.resume();
  await world.pass(2_000);
  expect(world.leases.held("token:t1", "concurrent_exchanges", "n1")).toBe(1);
});

test.each([1_000, 3_000])(
  "LeaseDesk loses no grant that is answered after %i ms",
  async (waitMs) => {
    const world = new LimiterWorld();
    const limiter = world.limiter("n1", "deny");
    world.clock.advance(5_000);
    const limits = { budget_micros_total: 80_000, concurrent_sessions: 3 };
    for (let round = 0; round < 6; round++) {
      for (const ask of [EXCHANGE, SESSION]) {
        world.leases.mode = "hanging";
        const pending = world.reserve(limiter, token(limits), ask);
        await world.pass(waitMs);
        world.leases.resume();
        await world.settle();
        const reservation = await pending;
        if (typeof reservation !== "string") reservation.release();
        await world.pass(20_000);
        expect(world.leases.spend.leases).toEqual([]);
      }
    }
  },
);

test("LeaseDesk loses no grant of a limit that is lifted before the answer", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  world.leases.mode = "hanging";
  const pending = world.reserve(limiter, token({ max_requests: 80 }));
  await world.settle();
  limiter.rates(token({}));
  await world.pass(2_000);
  world.leases.resume();
  await world.settle();
  const reservation = await pending;
  if (typeof reservation !== "string") reservation.release();
  await world.pass(20_000);
  expect(world.leases.spend.leases).toEqual([]);
});

test("LeaseDesk counts once what is said again after a lost answer", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ max_requests: 80, budget_micros_total: 8_000 });
  for (let round = 1; round <= 5; round++) {
    (await world.admitted(limiter, subjects)).settle(1, 100);
    limiter.noteUse("t1", { cacheHit: false });
    world.leases.mode = "lost";
    await world.pass(3_000);
    world.leases.mode = "up";
    world.ship(limiter, 100, ["total"]);
    await world.pass(20_000);
    expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(round);
    expect(world.leases.uses.reduce((sum, { requests }) => sum + requests, 0)).toBe(round);
    expect(world.leases.spend.leases).toEqual([]);
  }
});

test("LeaseDesk gives back a grant whose answer is lost", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ concurrent_sessions: 3, requests_per_minute: 60 });
  for (let round = 0; round < 4; round++) {
    world.leases.mode = "lost";
    for (const ask of [SESSION, EXCHANGE]) {
      const reservation = await world.reserve(limiter, subjects, ask);
      if (typeof reservation !== "string") reservation.release();
    }
    world.leases.mode = "up";
    await world.pass(3_000);
    expect(world.leases.spend.leases).toEqual([]);
  }
});

test("LeaseDesk says no lower amount than it holds while a report is in doubt", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  const subjects = token({ max_requests: 10 });
  const admitted = await admittedOf(world, limiter, subjects, 6);
  for (const reservation of admitted) reservation.settle(1, 1);
  const { reportLeases } = world.leases;
  world.leases.reportLeases = () => Promise.reject(new Error("The connection was lost"));
  await world.pass(1_000);
  // The lease is asked for before the report is repeated.
  await world.admitted(limiter, subjects);
  world.leases.reportLeases = reportLeases;
  expect(world.leases.held("token:t1", "requests")).toBeGreaterThanOrEqual(7);
  expect(await admittedOf(world, world.limiter("n2"), subjects, 10)).toHaveLength(3);
  await world.pass(3_000);
  expect(world.leases.spend.used("token:t1", "requests", "total")).toBe(6);
});

test("LeaseDesk believes in leases again once one has worked, not once a report has", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter("n1", "deny");
  const { leases } = world;
  const lease = leases.lease.bind(leases);
  leases.lease = () => Promise.reject(new Error("lock timeout"));
  expect(await world.reserve(limiter, SUBJECTS)).toBe("limits_unavailable");
  await world.pass(3_000);
  expect(limiter.charge(SUBJECTS, EXCHANGE).refusal?.code).toBe("limits_unavailable");
  leases.lease = lease;
  await world.pass(1_000);
  await world.admitted(limiter, SUBJECTS);
});

test("LeaseDesk goes on leasing where only reports fail", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter("n1", "deny");
  world.leases.reportLeases = () => Promise.reject(new Error("deadlock"));
  for (let at = 0; at < 10; at++) {
    await world.admitted(limiter, SUBJECTS);
    await world.pass(1_000);
  }
});

test("LeaseDesk says every second that the node is alive while it holds something", async () => {
  const world = new LimiterWorld();
  await world.admitted(world.limiter(), SUBJECTS);
  await world.pass(120_000);
  const other = world.limiter("n2");
  await world.admitted(other, SUBJECTS);
  expect(world.leases.held("token:t1", "concurrent_exchanges", "n1")).toBe(1);
});

test("LeaseDesk says what is held as it asks, so that what was given back is there", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  await world.admitted(limiter, token({ max_requests: 80 }));
  const narrowed = token({ max_requests: 2 });
  await world.admitted(limiter, narrowed);
  expect(world.leases.asked[1]).toEqual([
    {
      subject: "token:t1",
      quantity: "requests",
      period: "now",
      held: 1,
      wanted: 1,
      least: 1,
      caps: [{ period: "total", limit: 2 }],
    },
  ]);
  expect(world.leases.held("token:t1", "requests")).toBe(2);
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
