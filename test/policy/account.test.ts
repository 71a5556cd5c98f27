import { expect, test } from "bun:test";

import { Account, capsOf } from "../../src/policy/account.ts";
import type { LimitName } from "../../src/exchange.ts";
import type { LimitQuantity } from "../../src/store/store.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 23, 59, 30);
const MINUTE = Math.floor(NOW_MS / 60_000);

function accountOf(
  quantity: LimitQuantity,
  limits: Partial<Record<LimitName, number>>,
  granted = 0,
): Account {
  const account = new Account("token:t1", quantity, capsOf(quantity, limits));
  account.roll(NOW_MS);
  account.credit({ granted, left: 100 }, MINUTE, NOW_MS);
  return account;
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
  const periods = (["cost_micros", "tokens_per_minute", "concurrent_sessions"] as const).map(
    (quantity) => accountOf(quantity, limits).leaseRequest(7, NOW_MS).caps,
  );
  expect(periods).toEqual([
    [
      { period: "day:2026-11-21", limit: 1 },
      { period: "month:2026-11", limit: 2 },
      { period: "total", limit: 3 },
    ],
    [{ period: `minute:${MINUTE}`, limit: 4 }],
    [{ period: "now", limit: 5 }],
  ]);
});

test("leaseRequest() wants what is missing, debts included, and at least 1", () => {
  const account = accountOf("tokens_per_minute", { tokens_per_minute: 100 }, 10);
  expect(account.leaseRequest(15, NOW_MS).wanted).toBe(5);
  expect(account.leaseRequest(0, NOW_MS).wanted).toBe(1);
  account.take(30, NOW_MS);
  expect(account.leaseRequest(15, NOW_MS).wanted).toBe(35);
});

test("credit() of another minute counts for nothing", () => {
  const account = accountOf("requests_per_minute", { requests_per_minute: 100 });
  account.credit({ granted: 5, left: 0 }, MINUTE, NOW_MS + 60_000);
  expect(freeOf(account)).toBe(0);
  expect(account.remaining).toBe(100);
});

test("credit() after the lease was forgotten is given back", () => {
  const account = accountOf("requests", { max_requests: 100 }, 10);
  account.void();
  account.credit({ granted: 5, left: 0 }, MINUTE, NOW_MS);
  expect(freeOf(account)).toBe(0);
  expect(account.takeReport()).toMatchObject({ used: 0, released: 5 });
});

test("isRefused() believes what is left for half a second", () => {
  const account = accountOf("concurrent_sessions", { concurrent_sessions: 100 });
  account.credit({ granted: 1, left: 2 }, MINUTE, NOW_MS);
  expect(account.isRefused(3, NOW_MS)).toBe(false);
  expect(account.isRefused(4, NOW_MS + 499)).toBe(true);
  expect(account.isRefused(4, NOW_MS + 500)).toBe(false);
  expect(account.isProbablyRefused(4)).toBe(true);
  expect(account.isRefused(101, NOW_MS + 500)).toBe(true);
});

test("isRefused() believes what is left of a minute to its end", () => {
  const account = accountOf("requests_per_minute", { requests_per_minute: 100 });
  account.credit({ granted: 1, left: 0 }, MINUTE, NOW_MS);
  account.take(1, NOW_MS);
  expect(account.isRefused(1, NOW_MS + 20_000)).toBe(true);
  account.roll(NOW_MS + 30_000);
  expect(account.isRefused(1, NOW_MS + 30_000)).toBe(false);
});

test("settle() of more than is leased is paid for only as long as something is reserved", () => {
  const account = accountOf("cost_micros", { budget_micros_total: 1_000 }, 20);
  account.take(10, NOW_MS);
  account.take(10, NOW_MS);
  account.settle(10, MINUTE, 35);
  expect(freeOf(account)).toBe(-10);
  account.settle(10, MINUTE, 10);
  expect(freeOf(account)).toBe(0);
  expect(account.takeReport()).toBeNull();
});

test("settle() of requests that were not leased reports them as used, and not as returned", () => {
  const account = accountOf("requests", { max_requests: 100 }, 1);
  for (let at = 0; at < 3; at++) account.take(1, NOW_MS);
  for (let at = 0; at < 3; at++) account.settle(1, MINUTE, null);
  expect(account.takeReport()).toMatchObject({ used: 3, released: -2 });
  expect(freeOf(account)).toBe(0);
});

test("putBack() adds a report that did not arrive to the next", () => {
  const account = accountOf("requests", { max_requests: 100 }, 5);
  account.take(1, NOW_MS);
  account.settle(1, MINUTE, null);
  account.giveBack();
  const report = account.takeReport();
  expect(report).toMatchObject({ used: 1, released: 4 });
  expect(account.takeReport()).toBeNull();
  if (report !== null) account.putBack(report);
  expect(account.takeReport()).toEqual(report);
});

test("tick() gives back what was not needed since the tick before the last", () => {
  const account = accountOf("concurrent_exchanges", { concurrent_exchanges: 100 }, 10);
  account.tick();
  expect(account.returns).toBe(false);
  account.take(3, NOW_MS);
  account.release(3, MINUTE);
  account.tick();
  expect(account.returns).toBe(false);
  account.take(1, NOW_MS);
  account.tick();
  expect(account.takeReport()).toMatchObject({ released: 7 });
  expect(freeOf(account)).toBe(2);
  account.tick();
  expect(account.takeReport()).toMatchObject({ released: 2 });
});

test("isLow() asks for more while there is plenty", () => {
  const account = accountOf("requests", { max_requests: 1_000 }, 20);
  expect(account.isLow).toBe(false);
  account.take(16, NOW_MS);
  expect(account.isLow).toBe(true);
  account.credit({ granted: 0, left: 79 }, MINUTE, NOW_MS);
  expect(account.isLow).toBe(false);
});

test("setCaps() gives back what was leased under others", () => {
  const account = accountOf("requests", { max_requests: 100 }, 10);
  account.setCaps(capsOf("requests", { max_requests: 100 }));
  expect(freeOf(account)).toBe(10);
  account.setCaps(capsOf("requests", { max_requests: 5 }));
  expect([freeOf(account), account.limit, account.returns]).toEqual([0, 5, true]);
});

test("isIdle() is false while anything could be lost", () => {
  const account = accountOf("requests", { max_requests: 100 }, 1);
  const laterMs = NOW_MS + 3_000;
  expect(account.isIdle(laterMs)).toBe(false);
  account.take(1, NOW_MS);
  expect(account.isIdle(laterMs)).toBe(false);
  account.settle(1, MINUTE, null);
  expect(account.isIdle(laterMs)).toBe(false);
  account.takeReport();
  expect(account.isIdle(NOW_MS + 2_000)).toBe(false);
  expect(account.isIdle(laterMs)).toBe(true);
});
