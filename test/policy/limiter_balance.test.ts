/**
 * The balance of several limiters on one store, over seeded interleavings of everything that they
 * do: whatever is granted is used or comes back, and together they keep within the limits.
 */

import { expect, test } from "bun:test";

import type { Reservation } from "../../src/exchange.ts";
import type { Limiter } from "../../src/policy/limiter.ts";
import { EXCHANGE, LimiterWorld, SESSION, token } from "../support/limiter_world.ts";
import { Prng } from "../support/prng.ts";

const SUBJECT = "token:t1";
const LIMITS = {
  concurrent_exchanges: 12,
  concurrent_sessions: 5,
  max_requests: 150,
  budget_micros_per_month: 12_000,
  budget_micros_total: 14_000,
};
const SUBJECTS = token(LIMITS);
const PERIODS = ["month:2026-11", "total"];
const NODES = ["n1", "n2", "n3"];
const STEPS = 600;

interface Running {
  readonly node: string;
  readonly kind: "exchange" | "session";
  readonly reservation: Reservation;
}

/** What really happened, to be compared with what the store believes. */
class Balance {
  readonly world = new LimiterWorld();
  readonly #random: Prng;
  readonly #limiters = new Map<string, Limiter>();
  readonly #mayExceed: boolean;
  readonly running: Running[] = [];
  #unshipped: { readonly node: string; readonly cost: number }[] = [];
  settled = 0;
  refused = 0;
  cost = 0;

  /** @param mayExceed turns may cost more than was reserved, or be charged without leave */
  constructor(seed: number, mayExceed: boolean) {
    this.#random = new Prng(seed);
    this.#mayExceed = mayExceed;
    const onStoreDown = mayExceed ? "allow" : "deny";
    for (const node of NODES) this.#limiters.set(node, this.world.limiter(node, onStoreDown));
  }

  async step(): Promise<void> {
    const [node, limiter] = this.#random.pick([...this.#limiters]);
    const what = this.#random.next();
    if (what < 0.35) await this.#begin(node, limiter, "exchange");
    else if (what < 0.45) await this.#begin(node, limiter, "session");
    else if (what < 0.5 && this.#mayExceed) this.#charge(node, limiter);
    else if (what < 0.85) this.#end();
    else if (what < 0.92) this.ship(1);
    else if (what < 0.94) await this.#stumble();
    else await this.world.pass(this.#random.int(1, 3) * 700);
  }

  count(kind: Running["kind"]): number {
    return this.running.filter((one) => one.kind === kind).length;
  }

  /** Everything ends, and every row arrives. */
  async finish(): Promise<void> {
    while (this.running.length > 0) this.#end();
    this.ship(Infinity);
    await this.world.pass(20_000);
  }

  ship(count: number): void {
    for (const { node, cost } of this.#unshipped.splice(0, count)) {
      const limiter = this.#limiters.get(node);
      if (limiter !== undefined) this.world.ship(limiter, cost, PERIODS, { nodeId: node });
    }
  }

  async #begin(node: string, limiter: Limiter, kind: Running["kind"]): Promise<void> {
    const ask = kind === "session" ? SESSION : EXCHANGE;
    const reservation = await this.world.reserve(limiter, SUBJECTS, ask);
    if (typeof reservation === "string") this.refused += 1;
    else this.running.push({ node, kind, reservation });
  }

  /** The database is slow, away or loses its answers for a while. */
  async #stumble(): Promise<void> {
    const { leases } = this.world;
    leases.mode = this.#random.pick(["failing", "hanging", "lost"]);
    await this.world.pass(this.#random.pick([500, 1_000, 2_500, 40_000]));
    leases.resume();
    await this.world.settle();
  }

  #charge(node: string, limiter: Limiter): void {
    const { reservation } = limiter.charge(SUBJECTS, EXCHANGE);
    this.running.push({ node, kind: "exchange", reservation });
  }

  #end(): void {
    if (this.running.length === 0) return;
    const at = this.#random.int(0, this.running.length - 1);
    const [ended] = this.running.splice(at, 1);
    if (ended === undefined) return;
    if (this.#random.next() < 0.2) {
      ended.reservation.release();
      return;
    }
    const isUnknown = this.#random.next() < 0.2;
    const cost = isUnknown ? 100 : this.#random.int(0, this.#mayExceed ? 300 : 100);
    ended.reservation.settle(cost, isUnknown ? null : cost);
    if (ended.kind === "session") return;
    this.settled += 1;
    this.cost += cost;
    this.#unshipped.push({ node: ended.node, cost });
  }
}

const SEEDS = Array.from({ length: 12 }, (_, at) => at + 1);

test.each(SEEDS)("limiters keep within the limits together, seed %d", async (seed) => {
  const balance = new Balance(seed, false);
  for (let step = 0; step < STEPS; step++) {
    await balance.step();
    const exchanges = balance.count("exchange");
    expect(exchanges).toBeLessThanOrEqual(LIMITS.concurrent_exchanges);
    expect(balance.count("session")).toBeLessThanOrEqual(LIMITS.concurrent_sessions);
    expect(balance.settled + exchanges).toBeLessThanOrEqual(LIMITS.max_requests);
    const spent = balance.cost + exchanges * EXCHANGE.costMicros;
    expect(spent).toBeLessThanOrEqual(LIMITS.budget_micros_per_month);
  }
  // Something must have run into a limit, or this shows nothing.
  expect(balance.refused).toBeGreaterThan(0);
});

test.each(SEEDS)("limiters give back all that they do not use, seed %d", async (seed) => {
  const balance = new Balance(seed, true);
  const { leases } = balance.world;
  for (let step = 0; step < STEPS; step++) {
    await balance.step();
    for (const { held } of leases.spend.leases) expect(held).toBeGreaterThan(0);
  }
  await balance.finish();
  expect(leases.spend.leases).toEqual([]);
  expect(leases.spend.used(SUBJECT, "requests", "total")).toBe(balance.settled);
  expect(leases.spend.used(SUBJECT, "cost_micros", "total")).toBe(balance.cost);
});

test("a limiter holds no memory for tokens that are not used any more", async () => {
  const world = new LimiterWorld();
  const limiter = world.limiter();
  for (let at = 0; at < 50; at++) {
    const reservation = await world.admitted(limiter, token(LIMITS, `t${at}`));
    reservation.settle(1, 1);
    world.ship(limiter, 1, PERIODS, { tokenId: `t${at}` });
  }
  await world.pass(20_000);
  const reported = world.leases.spend.seenAtMs.get("n1");
  await world.pass(10_000);
  // It reports as long as it holds anything.
  expect(world.leases.spend.seenAtMs.get("n1")).toBe(reported);
});
