/**
 * Refusals of the limiter, as they are told to the caller.
 *
 * Owns: code, message and retry advice of each. Does not own: the decision (`limiter.ts`).
 * Invariant: a message names the limit and its amount, and never what others used of it.
 */

import { GatewayError } from "../errors.ts";
import type { LimitQuantity } from "../store/leases.ts";
import { type Account, type Cap, MINUTE_MS } from "./account.ts";

const UNITS: Readonly<Record<LimitQuantity, string>> = {
  requests: "requests in total",
  cost_micros: "micro-dollars",
  concurrent_exchanges: "exchanges at a time",
  concurrent_sessions: "sessions at a time",
  requests_per_minute: "requests a minute",
  tokens_per_minute: "tokens a minute",
};

/** What nodes do not need is given back after so long. */
const GIVEN_BACK_S = 3;

/** SDKs retry every 429, and only make it worse where waiting does not help. */
const NO_RETRY = { "x-should-retry": "false" };

/**
 * Why an account refuses an amount.
 * @param nowMs says when there is more
 */
export function refusalOf(account: Account, amount: number, nowMs: number): GatewayError {
  const { subject, quantity, limit } = account;
  const owner = subject.startsWith("token:") ? "token" : "project";
  switch (quantity) {
    case "requests":
      if (!account.isSpent(amount)) return heldRefusal(account, owner, "quota");
      return new GatewayError("quota_exhausted", {
        subject,
        message: `The ${owner}'s quota of ${limit} ${UNITS.requests} is used up`,
        headers: NO_RETRY,
      });
    case "cost_micros":
      if (!account.isSpent(amount)) return heldRefusal(account, owner, "budget");
      return budgetRefusal(account, owner, amount, nowMs);
    case "concurrent_sessions":
      return new GatewayError("too_many_sessions", {
        subject,
        message: `The ${owner}'s limit of ${limit} ${UNITS.concurrent_sessions} is reached`,
      });
    case "concurrent_exchanges":
      return new GatewayError("rate_limited", {
        subject,
        message: `The ${owner}'s limit of ${limit} ${UNITS.concurrent_exchanges} is reached`,
      });
    case "requests_per_minute":
    case "tokens_per_minute":
      return minuteRefusal(account, owner, nowMs);
  }
}

function minuteRefusal(
  { subject, quantity, limit }: Account,
  owner: string,
  nowMs: number,
): GatewayError {
  const message = `The ${owner}'s limit of ${limit} ${UNITS[quantity]} is reached`;
  const seconds = Math.ceil((MINUTE_MS - (nowMs % MINUTE_MS)) / 1000);
  return new GatewayError("rate_limited", {
    subject,
    message: `${message}. There is more in ${seconds} s`,
    headers: { "retry-after": String(Math.max(1, seconds)) },
  });
}

/** Nothing is used up: what runs, or a node that needs it no more, gives some of it back soon. */
function heldRefusal(
  { subject, limit, quantity }: Account,
  owner: string,
  name: string,
): GatewayError {
  const whole = `The ${owner}'s ${name} of ${limit} ${UNITS[quantity]}`;
  return new GatewayError("rate_limited", {
    subject,
    message: `${whole} is set aside for what runs now. Try again in ${GIVEN_BACK_S} s`,
    headers: { "retry-after": String(GIVEN_BACK_S) },
  });
}

/** Of several budgets all are named: which of them is used up, the store does not say. */
function budgetRefusal(
  { subject, caps, limit }: Account,
  owner: string,
  amount: number,
  nowMs: number,
): GatewayError {
  const amounts = caps.map(({ span, limit }) => `${limit} micro-dollars ${SPANS[span]}`);
  const why =
    amount > limit
      ? `is less than this request may cost, which is ${amount}. Ask for less output`
      : "is used up";
  const retryAfterS = secondsLeft(caps[0], nowMs);
  return new GatewayError("budget_exhausted", {
    subject,
    message: `The ${owner}'s budget of ${amounts.join(", ")} ${why}`,
    headers: retryAfterS === null ? NO_RETRY : { ...NO_RETRY, "retry-after": String(retryAfterS) },
  });
}

const SPANS: Readonly<Record<Cap["span"], string>> = {
  day: "a day",
  month: "a month",
  total: "in total",
  minute: "a minute",
  now: "at a time",
};

/** Until the end of the UTC day or month; null: it does not end. */
function secondsLeft(cap: Cap | undefined, nowMs: number): number | null {
  const now = new Date(nowMs);
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  if (cap?.span === "day") return Math.ceil((Date.UTC(year, month, day + 1) - nowMs) / 1000);
  if (cap?.span === "month") return Math.ceil((Date.UTC(year, month + 1) - nowMs) / 1000);
  return null;
}
