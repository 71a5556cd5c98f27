/**
 * Four nodes race on one PostgreSQL: each has a limiter and a store with connections of its own,
 * and only the limits in common. Time stands still unless a test moves it, save for the database's.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";

import type { Limits, Reservation } from "../../src/exchange.ts";
import { type Ask, Limiter } from "../../src/policy/limiter.ts";
import type { LeaseSource } from "../../src/policy/lease_desk.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { migrate } from "../../src/store/migrate.ts";
import { openPostgres, openPostgresStore } from "../../src/store/postgres.ts";
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

  reportLeases(...report: Parameters<Store["reportLeases"]>): Promise<void> {
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
  readonly exec: (sql: string) => Promise<void>;
  readonly #close: () => Promise<unknown>;
  #rows = 0;

  private constructor(
    clock: RaceClock,
    nodes: readonly Node[],
    exec: (sql: string) => Promise<void>,
    close: () => Promise<unknown>,
  ) {
    this.clock = clock;
    this.nodes = nodes;
    this.exec = exec;
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
    return new Race(
      clock,
      nodes,
      (sql) => driver.exec(sql),
      () => Promise.all(all.map((each) => each.close())),
    );
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

  /** Settles at a cost, and ships the usage rows. */
  async settle(admitted: readonly Admitted[], costMicros: number): Promise<void> {
    for (const { reservation } of admitted) reservation.settle(1, costMicros);
    const rows = admitted.map(({ node }) => ({
      node,
      row: usageEvent(this.#rows++, {
        node_id: node.id,
        token_id: "t1",
        recorded_at: this.clock.nowMs(),
        settled_micros: costMicros,
      }),
    }));
    await Promise.all(
      this.nodes.map(({ id, store }) =>
        store.insertUsage(rows.flatMap(({ node, row }) => (node.id === id ? [row] : []))),
      ),
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
    expect(await race.used("cost_micros")).toBeLessThanOrEqual(20_000);
    await race.pass(round % 5 === 4 ? 3 : 1);
  }
  // And nothing of it stays out of reach.
  expect(await race.used("cost_micros")).toBeGreaterThan(20_000 - 100);
  await race.close();
});

test("four limiters exceed a budget only by what turns exceed their reservation", async () => {
  const race = await Race.start();
  const limits = { budget_micros_total: 20_000 };
  const turnsAtATime = 8;
  const excess = 50;
  for (let round = 0; round < 15; round++) {
    await race.settle(await race.reserve(turnsAtATime, limits), EXCHANGE.costMicros + excess);
    await race.pass(1);
  }
  const running = NODES.length * turnsAtATime;
  // Once for the turns that run, and once more for leases that they ate into.
  expect(await race.used("cost_micros")).toBeLessThanOrEqual(20_000 + 2 * running * excess);
  expect(await race.reserve(1, limits)).toEqual([]);
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
  await race.exec("UPDATE nodes SET seen_at = seen_at - 31000 WHERE node_id = 'n1'");
  race.clock.advance(500);
  const taken = await Promise.all(
    Array.from({ length: 6 }, () => reserveOn(alive, limits, EXCHANGE)),
  );
  expect(taken.filter((one) => one !== null)).toHaveLength(5);
  await race.close();
});
