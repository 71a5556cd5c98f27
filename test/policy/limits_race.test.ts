/**
 * Four nodes race on one PostgreSQL: each has a limiter and a store with connections of its own,
 * and only the limits in common. Time stands still unless a test moves it, save for the database's.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";

import type { Limits, Reservation, UsageEvent } from "../../src/exchange.ts";
import { type Ask, Limiter } from "../../src/policy/limiter.ts";
import type { LeaseSource } from "../../src/policy/lease_desk.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { migrate } from "../../src/store/migrate.ts";
import { openPostgres, openPostgresStore } from "../../src/store/postgres.ts";
import type { SqlDriver } from "../../src/store/sql_driver.ts";
import type { Store } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { EXCHANGE, token } from "../support/limiter_world.ts";
import { databaseConfig, PostgresServer } from "../support/postgres_server.ts";
import { usageEvent } from "../support/usage_event.ts";

const NODES = ["n1", "n2", "n3", "n4"];
const MAY_FAIL_MS = 30_000;

let server: PostgresServer;
beforeAll(async () => {
  server = await PostgresServer.start();
}, MAY_FAIL_MS);
afterAll(() => server.stop());

/** Does not wait for a test where something is to be done soon: the database takes real time. */
class RaceClock extends FakeClock {
  override soon(run: () => void): void {
    queueMicrotask(run);
  }
}

/** Knows what is under way, so that a test can wait for reports that nobody else waits for. */
class Tracked implements LeaseSource {
  readonly #store: Store;
  readonly #calls = new Set<Promise<unknown>>();

  constructor(store: Store) {
    this.#store = store;
  }

  lease(...asked: Parameters<Store["lease"]>): ReturnType<Store["lease"]> {
    return this.#note(this.#store.lease(...asked));
  }

  reportLeases(...report: Parameters<Store["reportLeases"]>): ReturnType<Store["reportLeases"]> {
    return this.#note(this.#store.reportLeases(...report));
  }

  removeNode(nodeId: string): Promise<void> {
    return this.#note(this.#store.removeNode(nodeId));
  }

  async idle(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
  }

  #note<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    call.catch(() => undefined).then(() => this.#calls.delete(call));
    return call;
  }
}

interface Node {
  readonly id: string;
  readonly limiter: Limiter;
  readonly store: Store;
  readonly leases: Tracked;
}

class Race {
  readonly clock: RaceClock;
  readonly nodes: readonly Node[];
  readonly driver: SqlDriver;
  readonly #close: () => Promise<unknown>;
  /** What turns came to, shipped or not. */
  spent = 0;
  #unshipped: UsageEvent[] = [];
  #rows = 0;

  private constructor(
    clock: RaceClock,
    nodes: readonly Node[],
    driver: SqlDriver,
    close: () => Promise<unknown>,
  ) {
    this.clock = clock;
    this.nodes = nodes;
    this.driver = driver;
    this.#close = close;
  }

  static async start(): Promise<Race> {
    const config = databaseConfig(await server.createDatabase());
    const report = (message: string): never => {
      throw new Error(message);
    };
    const options = { config, clock: systemClock, report };
    const driver = await openPostgres(options);
    await migrate(driver, 0);
    const clock = new RaceClock(Date.now());
    const nodes = await Promise.all(
      NODES.map(async (id) => {
        const store = await openPostgresStore({ ...options, nodeId: id });
        const leases = new Tracked(store);
        const events = (): never => report("Limits were not enforced");
        const limiter = new Limiter({
          nodeId: id,
          leases,
          clock,
          onStoreDown: "deny",
          report: events,
        });
        return { id, limiter, store, leases };
      }),
    );
    const all = [driver, ...nodes.map(({ store }) => store)];
    return new Race(clock, nodes, driver, () => Promise.all(all.map((each) => each.close())));
  }

  node(at: number): Node {
    const node = this.nodes[at];
    if (node === undefined) throw new RangeError(`There is no node ${at}`);
    return node;
  }

  /** What is admitted of `count` on each node, all at once. */
  async reserve(count: number, limits: Limits, ask: Ask = EXCHANGE): Promise<Admitted[]> {
    const all = this.nodes.flatMap((node) =>
      Array.from({ length: count }, () => reserveOn(node, limits, ask)),
    );
    return (await Promise.all(all)).flatMap((one) => (one === null ? [] : [one]));
  }

  /** Seconds pass, and what the limiters tell the store arrives. */
  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1_000);
      await Promise.all(this.nodes.map(({ leases }) => leases.idle()));
    }
  }

  /** Settles at a cost, and ships the usage rows of the time before. */
  async settle(admitted: readonly Admitted[], costMicros: number): Promise<void> {
    const before = this.#unshipped;
    this.#unshipped = admitted.map(({ node, reservation }) => {
      reservation.settle(1, costMicros);
      return usageEvent(this.#rows++, {
        node_id: node.id,
        token_id: "t1",
        recorded_at: this.clock.nowMs(),
        settled_micros: costMicros,
      });
    });
    this.spent += admitted.length * costMicros;
    await Promise.all(
      this.nodes.map(async ({ id, store, limiter, leases }) => {
        const rows = before.filter((row) => row.node_id === id);
        await store.insertUsage(rows);
        limiter.stored(rows);
        // What was settled for more than is leased is being told.
        await leases.idle();
      }),
    );
  }

  async used(quantity: string): Promise<number> {
    const spend = await this.node(0).store.listSpend("token:t1");
    return spend.find((one) => one.quantity === quantity && one.period === "total")?.used ?? 0;
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map(({ limiter }) => limiter.stop()));
    await this.#close();
  }
}

interface Admitted {
  readonly node: Node;
  readonly reservation: Reservation;
}

async function reserveOn(node: Node, limits: Limits, ask: Ask): Promise<Admitted | null> {
  try {
    return { node, reservation: await node.limiter.reserve(token(limits), ask) };
  } catch {
    return null;
  }
}

test("four limiters admit exactly max_requests together", async () => {
  const race = await Race.start();
  const limits = { max_requests: 100 };
  let total = 0;
  for (let round = 0; round < 6; round++) {
    const admitted = await race.reserve(round === 0 ? 60 : 20, limits);
    for (const { reservation } of admitted) reservation.settle(1, 1);
    total += admitted.length;
    expect(total).toBeLessThanOrEqual(100);
    // What one did not need is free for the others.
    await race.pass(3);
  }
  expect(total).toBe(100);
  expect(await race.used("requests")).toBe(100);
  await race.close();
});

test("four limiters never run more than a concurrency limit together", async () => {
  const race = await Race.start();
  const limits = { concurrent_exchanges: 10 };
  let running: Admitted[] = [];
  for (let round = 0; round < 12; round++) {
    running.push(...(await race.reserve(4, limits)));
    expect(running.length).toBeLessThanOrEqual(10);
    expect(running.length).toBeGreaterThan(0);
    const kept = running.filter((_, at) => at % 3 === round % 3);
    for (const one of running) if (!kept.includes(one)) one.reservation.settle(null, null);
    running = kept;
    if (round % 4 === 3) await race.pass(3);
  }
  await race.close();
});

test("four limiters keep within a budget that no turn exceeds its reservation of", async () => {
  const race = await Race.start();
  const limits = { budget_micros_total: 20_000 };
  for (let round = 0; round < 15; round++) {
    await race.settle(await race.reserve(8, limits), round % 2 === 0 ? 100 : 60);
    expect(race.spent).toBeLessThanOrEqual(20_000);
    await race.pass(round % 5 === 4 ? 3 : 1);
  }
  // And nothing of it stays out of reach.
  for (let round = 0; round < 4; round++) {
    await race.pass(16);
    await race.settle(await race.reserve(1, limits), 100);
  }
  expect(race.spent).toBeGreaterThan(20_000 - 100);
  await race.settle([], 0);
  expect(await race.used("cost_micros")).toBe(race.spent);
  await race.close();
});

test.each([
  { turnsAtATime: 8, reserved: 100, cost: 150 },
  { turnsAtATime: 1, reserved: 10, cost: 1_000 },
  { turnsAtATime: 3, reserved: 10, cost: 500 },
])(
  "four limiters exceed a budget at most by what running turns cost beyond their reservation, %p",
  async ({ turnsAtATime, reserved, cost }) => {
    const race = await Race.start();
    const limits = { budget_micros_total: 20_000 };
    const ask: Ask = { kind: "exchange", tokens: 1, costMicros: reserved };
    for (let round = 0; round < 40; round++) {
      await race.settle(await race.reserve(turnsAtATime, limits, ask), cost);
      if (round % 3 === 2) await race.pass(1);
    }
    const running = NODES.length * turnsAtATime;
    expect(race.spent).toBeGreaterThan(20_000 - cost);
    expect(race.spent).toBeLessThanOrEqual(20_000 + running * (cost - reserved));
    await race.pass(20);
    expect(await race.reserve(1, limits, ask)).toEqual([]);
    await race.close();
  },
);

test("four limiters keep within a budget that dear turns one after the other use up", async () => {
  const race = await Race.start();
  const limits = { budget_micros_total: 20_000 };
  const ask: Ask = { kind: "exchange", tokens: 1, costMicros: 10 };
  for (let at = 0; at < 60; at++) {
    const one = await reserveOn(race.node(at % NODES.length), limits, ask);
    if (one !== null) await race.settle([one], 1_000);
    // Rows that have arrived are held too, until their node says so.
    else await race.pass(1);
  }
  // Beyond it is at most one turn of each node: the one with which its share was used up.
  expect(race.spent).toBeGreaterThan(20_000 - 1_000);
  expect(race.spent).toBeLessThanOrEqual(20_000 + NODES.length * (1_000 - 10));
  await race.close();
});

test("a limiter that is gone holds nothing once the database missed it for 30 s", async () => {
  const race = await Race.start();
  const [dead, alive] = [race.node(0), race.node(1)];
  const limits = { concurrent_exchanges: 5, max_requests: 5 };
  const lost = await Promise.all(
    Array.from({ length: 5 }, () => reserveOn(dead, limits, EXCHANGE)),
  );
  expect(lost).not.toContain(null);
  expect(await reserveOn(alive, limits, EXCHANGE)).toBeNull();
  await race.driver.exec("UPDATE nodes SET seen_at = seen_at - 31000 WHERE node_id = 'n1'");
  race.clock.advance(500);
  const taken = await Promise.all(
    Array.from({ length: 6 }, () => reserveOn(alive, limits, EXCHANGE)),
  );
  expect(taken.filter((one) => one !== null)).toHaveLength(5);
  await race.close();
});

/** The lock under which leases are granted. */
const LOCK = "SELECT pg_advisory_xact_lock(736174003)";

test.each(["limits", "brief"] as const)(
  "a limiter goes on leasing where another node is frozen in a transaction `%s`",
  async (kind) => {
    const race = await Race.start();
    const holds = Promise.withResolvers<void>();
    const frozen = race.driver.transaction(kind, async (queries) => {
      await queries.exec(LOCK);
      holds.resolve();
      await new Promise(() => undefined);
    });
    frozen.catch(() => undefined);
    await holds.promise;
    expect(await reserveOn(race.node(0), { max_requests: 5 }, EXCHANGE)).not.toBeNull();
    await race.close();
  },
  5_000,
);

test("a lease is given up where a transaction that is not frozen holds the lock", async () => {
  const race = await Race.start();
  const holds = Promise.withResolvers<void>();
  const busy = race.driver.transaction("limits", async (queries) => {
    holds.resolve();
    await queries.query("SELECT pg_sleep(3)");
  });
  await holds.promise;
  const lease = race.node(0).store.lease("n1", []);
  const first = await Promise.race([lease.catch((error: unknown) => error), busy]);
  expect(first).toMatchObject({ code: "55P03" });
  await busy;
  await race.close();
});
