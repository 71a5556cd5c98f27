import { describe, expect, test } from "bun:test";

import {
  costChanges,
  grantOf,
  isSpentWhenLeased,
  leftOf,
  periodExpiryMs,
  subjectsOf,
  summed,
} from "../../src/store/spend.ts";
import type { LeaseRequest } from "../../src/store/leases.ts";
import { usageEvent } from "../support/usage_event.ts";

const DAY_MS = 86_400_000;

function change(subject: string, amount: number, period = "total") {
  return { subject, quantity: "cost_micros", period, amount } as const;
}

describe("costChanges()", () => {
  const recorded_at = Date.parse("2026-02-28T23:59:59.999Z");
  const place = { project_id: "p", token_id: "t", recorded_at };

  test("adds to day, month and total of project and token, in UTC", () => {
    expect(costChanges([usageEvent(1, { ...place, settled_micros: 7 })])).toEqual([
      change("project:p", 7, "day:2026-02-28"),
      change("project:p", 7, "month:2026-02"),
      change("project:p", 7),
      change("token:t", 7, "day:2026-02-28"),
      change("token:t", 7, "month:2026-02"),
      change("token:t", 7),
    ]);
  });

  test("adds nothing where nothing was settled", () => {
    const { settled_micros: _, ...older } = usageEvent(1, place);
    const events = [usageEvent(1, { settled_micros: null }), usageEvent(2, { settled_micros: 0 })];
    expect(costChanges([...events, older as ReturnType<typeof usageEvent>])).toEqual([]);
  });

  test("takes out again", () => {
    const event = usageEvent(1, { ...place, token_id: null, settled_micros: 7 });
    expect(costChanges([event], -1).map((each) => each.amount)).toEqual([-7, -7, -7]);
    expect(summed([...costChanges([event]), ...costChanges([event], -1)])).toEqual([]);
  });
});

test("subjectsOf() names the token where there is one", () => {
  expect(subjectsOf({ project_id: "p", token_id: null })).toEqual(["project:p"]);
  expect(subjectsOf({ project_id: "p", token_id: "t" })).toEqual(["project:p", "token:t"]);
});

test("summed() makes one change a key, the last one first, and leaves out what is 0", () => {
  const changes = [change("b", 1), change("a", 2), change("b", 3), change("a", 1, "day:x")];
  expect(summed(changes)).toEqual([change("b", 4), change("a", 2), change("a", 1, "day:x")]);
  expect(summed([change("a", 2), change("a", -2)])).toEqual([]);
});

test("periodExpiryMs() keeps a sum until nobody counts in its period any more", () => {
  expect(periodExpiryMs("minute:100")).toBe(103 * 60_000);
  expect(periodExpiryMs("day:2026-02-28")).toBe(Date.parse("2026-03-01") + 7 * DAY_MS);
  expect(periodExpiryMs("month:2026-02")).toBe(Date.parse("2026-02-01") + 38 * DAY_MS);
  expect(periodExpiryMs("total")).toBeNull();
});

test("isSpentWhenLeased() is true of quantities per minute only", () => {
  expect(isSpentWhenLeased("requests_per_minute")).toBe(true);
  expect(isSpentWhenLeased("tokens_per_minute")).toBe(true);
  for (const quantity of ["concurrent_exchanges", "requests", "cost_micros"] as const) {
    expect(isSpentWhenLeased(quantity)).toBe(false);
  }
});

describe("leftOf()", () => {
  const request: LeaseRequest = {
    subject: "token:t",
    quantity: "cost_micros",
    wanted: 1,
    caps: [
      { period: "total", limit: 100 },
      { period: "day:x", limit: 50 },
    ],
  };
  const used = (amounts: Record<string, number>) => (period: string) => amounts[period] ?? 0;

  test("goes by the tightest cap, less what is outstanding", () => {
    expect(leftOf(request, used({}), 0)).toBe(50);
    expect(leftOf(request, used({ total: 70 }), 10)).toBe(20);
    expect(leftOf(request, used({ "day:x": 45 }), 3)).toBe(2);
  });

  test("is 0 where more was used than is allowed", () => {
    expect(leftOf(request, used({ total: 200 }), 0)).toBe(0);
  });

  test("counts what is outstanding alone for now", () => {
    const now = { ...request, caps: [{ period: "now", limit: 5 }] };
    expect(leftOf(now, used({ now: 3 }), 3)).toBe(2);
  });
});

test.each([
  [10, 1000, 125],
  [200, 1000, 200],
  [200, 150, 150],
  [0, 7, 0],
  [5, 0, 0],
])("grantOf(%i) of %i left is %i", (wanted, left, granted) => {
  expect(grantOf(wanted, left)).toBe(granted);
});
