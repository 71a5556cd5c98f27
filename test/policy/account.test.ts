import { expect, test } from "bun:test";

import { Account, capsOf } from "../../src/policy/account.ts";
import type { LimitName } from "../../src/exchange.ts";
import type { Lease, LeaseReport, LeaseRequest, LimitQuantity } from "../../src/store/leases.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 23, 59, 30);
const MINUTE = Math.floor(NOW_MS / 60_000);

function accountOf(
  quantity: LimitQuantity,
  limits: Partial<Record<LimitName, number>>,
  granted = 0,
): Account {
  const account = new Account("token:t1", quantity, capsOf(quantity, limits));
  grant(account, { granted });
  return account;
}

/** The store answers at once. */
function grant(account: Account, lease: Partial<Lease>, nowMs = NOW_MS): void {
  const statement = account.statement(nowMs);
  account.credit(statement, { granted: 0, left: 100, unspent: 1_000, ...lease }, nowMs);
}

/** A report arrives. */
function report(account: Account): LeaseReport {
  account.beginReport();
  const statement = account.statement(NOW_MS);
  const said = account.report(statement);
  account.reported(statement);
  return said;
}

function request(account: Account, total: number, least = total): LeaseRequest {
  return account.leaseRequest(account.statement(NOW_MS), { total, least }, NOW_MS);
}

/** The most that it has: accounts tell nobody how much that is. */
function freeOf(account: Account): number {
  let free = -1_000;
  while (account.has(free + 1)) free += 1;
  return free;
}

test("leaseRequest() names the periods in UTC", () => {
  const limits = {
    budget_micros_per_day: 1,
    budget_micros_per_month: 2,
    budget_micros_total: 3,
    tokens_per_minute: 4,
    concurrent_sessions: 5,
  };
  const requests = (["cost_micros", "tokens_per_minute", "concurrent_sessions"] as const).map(
    (quantity) => request(accountOf(quantity, limits), 7),
  );
  expect(requests.map(({ period, caps }) => [period, caps])).toEqual([
    [
      "now",
      [
        { period: "day:2026-11-21", limit: 1 },
        { period: "month:2026-11", limit: 2 },
        { period: "total", limit: 3 },
      ],
    ],
    [`minute:${MINUTE}`, [{ period: `minute:${MINUTE}`, limit: 4 }]],
    ["now", [{ period: "now", limit: 5 }]],
  ]);
});

test("leaseRequest() wants what is missing, and says all that is held, debts included", () => {
  const account = accountOf("tokens_per_minute", { tokens_per_minute: 100 }, 10);
  expect(request(account, 25, 15)).toMatchObject({ held: 10, wanted: 15, least: 5 });
  expect(request(account, 0)).toMatchObject({ held: 10, wanted: 0, least: 0 });
  account.take(30, NOW_MS);
  expect(request(account, 15)).toMatchObject({ held: 30, wanted: 15, least: 15 });
});

test("credit() of another minute counts for nothing", () => {
  const account = accountOf("requests_per_minute", { requests_per_minute: 100 });
  const statement = account.statement(NOW_MS);
  account.credit(statement, { granted: 5, left: 0, unspent: 100 }, NOW_MS + 60_000);
  expect(freeOf(account)).toBe(0);
  expect(account.remaining).toBe(100);
});

test("credit() forgives a debt once the store says that it is within the limit", () => {
  const account = accountOf("concurrent_exchanges", { concurrent_exchanges: 100 }, 2);
  account.take(5, NOW_MS);
  expect(freeOf(account)).toBe(-3);
  grant(account, { granted: 0, left: 0 });
  expect(freeOf(account)).toBe(-3);
  const statement = account.statement(NOW_MS);
  account.take(1, NOW_MS);
  account.credit(statement, { granted: 2, left: 1, unspent: 100 }, NOW_MS);
  expect(freeOf(account)).toBe(1);
});

test("isRefused() believes what is left for half a second", () => {
  const account = accountOf("concurrent_sessions", { concurrent_sessions: 100 });
  grant(account, { granted: 1, left: 2 });
  expect(account.isRefused(3, NOW_MS)).toBe(false);
  expect(account.isRefused(4, NOW_MS + 499)).toBe(true);
  expect(account.isRefused(4, NOW_MS + 500)).toBe(false);
  expect(account.isProbablyRefused(4)).toBe(true);
  expect(account.isRefused(101, NOW_MS + 500)).toBe(true);
});

test("isRefused() knows what only this node uses for as long as it does", () => {
  const account = accountOf("requests_per_minute", { requests_per_minute: 100 });
  grant(account, { granted: 100, left: 0 });
  account.take(100, NOW_MS);
  expect(account.isRefused(1, NOW_MS + 20_000)).toBe(true);
  account.release(1, MINUTE);
  expect(account.isRefused(1, NOW_MS + 20_000)).toBe(false);
  account.take(1, NOW_MS);
  account.roll(NOW_MS + 30_000);
  expect(account.isRefused(1, NOW_MS + 30_000)).toBe(false);
});

test("isSpent() tells what is used from what is only held", () => {
  const budget = accountOf("cost_micros", { budget_micros_total: 1_000 });
  grant(budget, { granted: 60, left: 0, unspent: 100 });
  budget.take(60, NOW_MS);
  expect([budget.isSpent(100), budget.isSpent(101)]).toEqual([false, true]);
  budget.settle(60, 0, 50);
  expect([budget.isSpent(50), budget.isSpent(51)]).toEqual([false, true]);
  budget.stored(50);
  expect([budget.isSpent(50), budget.isSpent(51)]).toEqual([false, true]);
  const requests = accountOf("requests", { max_requests: 1_000 });
  grant(requests, { granted: 3, left: 0, unspent: 3 });
  requests.take(2, NOW_MS);
  expect([requests.isSpent(1), requests.isSpent(2)]).toEqual([false, true]);
  // Narrowed to what this node used, before the store was asked.
  requests.setCaps(capsOf("requests", { max_requests: 2 }));
  expect(requests.isSpent(1)).toBe(true);
});

test("settle() of more than was reserved holds all of it, and owes what was not leased", () => {
  const account = accountOf("cost_micros", { budget_micros_total: 1_000 }, 20);
  account.take(10, NOW_MS);
  account.take(10, NOW_MS);
  expect(account.owes).toBe(false);
  account.settle(10, 0, 35);
  expect([freeOf(account), account.owes]).toEqual([-25, true]);
  expect(request(account, 0).held).toBe(45);
  account.settle(10, 0, 4);
  expect(request(account, 0).held).toBe(39);
  account.stored(35);
  account.stored(4);
  expect(request(account, 0).held).toBe(0);
});

test("settle() in a later minute changes nothing", () => {
  const account = accountOf("tokens_per_minute", { tokens_per_minute: 100 }, 50);
  account.take(30, NOW_MS);
  account.roll(NOW_MS + 60_000);
  account.settle(30, MINUTE, 20);
  expect(account.statement(NOW_MS + 60_000).held).toBe(0);
});

test("report() of requests moves what was used to the sum, leased or not", () => {
  const account = accountOf("requests", { max_requests: 100 }, 1);
  for (let at = 0; at < 3; at++) account.take(1, NOW_MS);
  for (let at = 0; at < 2; at++) account.settle(1, 0, null);
  expect(report(account)).toMatchObject({ used: 2, held: 1 });
  account.settle(1, 0, null);
  expect(account.isDirty).toBe(true);
  expect(report(account)).toMatchObject({ used: 1, held: 0 });
  expect(account.isDirty).toBe(false);
});

test("report() repeats what may not have arrived, with what is held now", () => {
  const account = accountOf("requests", { max_requests: 100 }, 5);
  account.take(1, NOW_MS);
  account.settle(1, 0, null);
  account.beginReport();
  expect(account.report(account.statement(NOW_MS))).toMatchObject({ used: 1, held: 4 });
  account.doubt();
  account.take(1, NOW_MS);
  account.settle(1, 0, null);
  expect(request(account, 0).held).toBe(5);
  const again = account.statement(NOW_MS);
  expect(account.report(again)).toMatchObject({ used: 1, held: 4 });
  account.reported(again);
  expect(report(account)).toMatchObject({ used: 1, held: 3 });
});

test("tick() gives back what was not needed since the tick before the last", () => {
  const account = accountOf("concurrent_exchanges", { concurrent_exchanges: 100 }, 10);
  account.tick(NOW_MS);
  expect(freeOf(account)).toBe(10);
  account.take(3, NOW_MS);
  account.release(3, 0);
  account.tick(NOW_MS);
  expect(freeOf(account)).toBe(10);
  account.take(1, NOW_MS);
  const remaining = account.remaining;
  account.tick(NOW_MS + 15_000);
  expect([freeOf(account), account.remaining]).toEqual([2, remaining]);
  account.tick(NOW_MS + 16_000);
  expect(freeOf(account)).toBe(0);
});

test("tick() keeps four exchanges' worth for 15 s while there is plenty", () => {
  const account = accountOf("requests", { max_requests: 1_000 });
  grant(account, { granted: 50, left: 200 });
  account.take(1, NOW_MS);
  for (let at = 1; at < 4; at++) account.tick(NOW_MS + 14_999);
  expect(freeOf(account)).toBe(4);
  account.tick(NOW_MS + 15_000);
  expect(freeOf(account)).toBe(0);
});

test("isLow() asks for more while there is plenty", () => {
  const account = accountOf("requests", { max_requests: 1_000 }, 20);
  expect(account.isLow).toBe(false);
  account.take(16, NOW_MS);
  expect(account.isLow).toBe(true);
  grant(account, { granted: 0, left: 79 });
  expect(account.isLow).toBe(false);
});

test("setCaps() gives back what was leased under others", () => {
  const account = accountOf("requests", { max_requests: 100 }, 10);
  account.setCaps(capsOf("requests", { max_requests: 100 }));
  expect(freeOf(account)).toBe(10);
  account.setCaps(capsOf("requests", { max_requests: 5 }));
  expect([freeOf(account), account.limit, account.isDirty]).toEqual([0, 5, true]);
});

test("lapse() keeps what runs, and what a minute has", () => {
  const account = accountOf("concurrent_exchanges", { concurrent_exchanges: 100 }, 10);
  account.take(3, NOW_MS);
  account.lapse();
  expect([account.statement(NOW_MS).held, account.isDirty]).toEqual([3, true]);
  const minute = accountOf("requests_per_minute", { requests_per_minute: 100 }, 10);
  minute.lapse();
  expect([minute.statement(NOW_MS).held, minute.isDirty]).toEqual([10, false]);
});

test("isIdle() is false while anything could be lost", () => {
  const account = accountOf("requests", { max_requests: 100 }, 1);
  const laterMs = NOW_MS + 3_000;
  expect(account.isIdle(laterMs)).toBe(false);
  account.take(1, NOW_MS);
  expect(account.isIdle(laterMs)).toBe(false);
  account.settle(1, 0, null);
  expect(account.isIdle(laterMs)).toBe(false);
  account.beginReport();
  account.doubt();
  expect(account.isIdle(laterMs)).toBe(false);
  report(account);
  expect(account.isIdle(NOW_MS + 2_000)).toBe(false);
  expect(account.isIdle(laterMs)).toBe(true);
});
