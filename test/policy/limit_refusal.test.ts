import { expect, test } from "bun:test";

import type { ErrorCode } from "../../src/errors.ts";
import { Account, capsOf } from "../../src/policy/account.ts";
import { refusalOf } from "../../src/policy/limit_refusal.ts";
import type { LimitName } from "../../src/exchange.ts";
import type { LimitQuantity } from "../../src/store/leases.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12, 0, 15, 500);

interface Case {
  readonly quantity: LimitQuantity;
  readonly limits: Partial<Record<LimitName, number>>;
  readonly amount?: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly headers?: Record<string, string>;
}

/** Nothing is left, and nobody holds anything. */
function spent(account: Account): Account {
  account.credit(account.statement(NOW_MS), { granted: 0, left: 0, unspent: 0 }, NOW_MS);
  return account;
}

const NO_RETRY = { "x-should-retry": "false" };

test.each<Case>([
  {
    quantity: "requests_per_minute",
    limits: { requests_per_minute: 60 },
    code: "rate_limited",
    message: "The token's limit of 60 requests a minute is reached. There is more in 45 s",
    headers: { "retry-after": "45" },
  },
  {
    quantity: "tokens_per_minute",
    limits: { tokens_per_minute: 1000 },
    amount: 1000,
    code: "rate_limited",
    message: "The token's limit of 1000 tokens a minute is reached. There is more in 45 s",
    headers: { "retry-after": "45" },
  },
  {
    quantity: "concurrent_exchanges",
    limits: { concurrent_exchanges: 2 },
    code: "rate_limited",
    message: "The token's limit of 2 exchanges at a time is reached",
  },
  {
    quantity: "concurrent_sessions",
    limits: { concurrent_sessions: 2 },
    code: "too_many_sessions",
    message: "The token's limit of 2 sessions at a time is reached",
  },
  {
    quantity: "requests",
    limits: { max_requests: 7 },
    code: "quota_exhausted",
    message: "The token's quota of 7 requests in total is used up",
    headers: NO_RETRY,
  },
  {
    quantity: "cost_micros",
    limits: { budget_micros_per_day: 50, budget_micros_total: 900 },
    code: "budget_exhausted",
    message: "The token's budget of 50 micro-dollars a day, 900 micro-dollars in total is used up",
    headers: { ...NO_RETRY, "retry-after": String(12 * 3600 - 15) },
  },
  {
    quantity: "cost_micros",
    limits: { budget_micros_per_month: 50 },
    code: "budget_exhausted",
    message: "The token's budget of 50 micro-dollars a month is used up",
    headers: { ...NO_RETRY, "retry-after": String((9 * 24 + 12) * 3600 - 15) },
  },
  {
    quantity: "cost_micros",
    limits: { budget_micros_total: 50 },
    code: "budget_exhausted",
    message: "The token's budget of 50 micro-dollars in total is used up",
    headers: NO_RETRY,
  },
  {
    quantity: "cost_micros",
    limits: { budget_micros_total: 50 },
    amount: 51,
    code: "budget_exhausted",
    message:
      "The token's budget of 50 micro-dollars in total is less than this request may cost, " +
      "which is 51. Ask for less output",
    headers: NO_RETRY,
  },
])("refusalOf() says $message", ({ quantity, limits, amount, code, message, headers }) => {
  const account = spent(new Account("token:t1", quantity, capsOf(quantity, limits)));
  const error = refusalOf(account, amount ?? 1, NOW_MS);
  expect(error.code).toBe(code);
  expect(error.message).toBe(message);
  expect(error.headers).toEqual(headers ?? {});
  expect(error.subject).toBe("token:t1");
});

test.each([
  ["requests", { max_requests: 7 }, "quota of 7 requests in total"],
  ["cost_micros", { budget_micros_total: 50 }, "budget of 50 micro-dollars"],
] as const)(
  "refusalOf() of %s that are only held says when to try again",
  (quantity, limits, name) => {
    const account = new Account("token:t1", quantity, capsOf(quantity, limits));
    account.credit(account.statement(NOW_MS), { granted: 0, left: 0, unspent: 1 }, NOW_MS);
    const error = refusalOf(account, 1, NOW_MS);
    expect(error.code).toBe("rate_limited");
    expect(error.message).toBe(
      `The token's ${name} is set aside for what runs now. Try again in 3 s`,
    );
    expect(error.headers).toEqual({ "retry-after": "3" });
  },
);

test("refusalOf() names the project where the limit is the project's", () => {
  const caps = capsOf("requests", { max_requests: 1 });
  const account = spent(new Account("project:p", "requests", caps));
  expect(refusalOf(account, 1, NOW_MS).message).toBe(
    "The project's quota of 1 requests in total is used up",
  );
});

test("refusalOf() never says that there is more at once", () => {
  const limits = { requests_per_minute: 1 };
  const account = new Account(
    "project:p",
    "requests_per_minute",
    capsOf("requests_per_minute", limits),
  );
  const { headers } = refusalOf(account, 1, Date.UTC(2026, 10, 21, 12, 0, 59, 999));
  expect(headers).toEqual({ "retry-after": "1" });
});
