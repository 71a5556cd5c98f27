import { describe, expect, test } from "bun:test";

import { costChanges, grantOf, periodExpiryMs, subjectsOf, summed } from "../../src/store/spend.ts";
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
  expect(periodExpiryMs("day:2026-02-28")).toBe(Date.parse("2026-03-01") + 7 * DAY_MS);
  expect(periodExpiryMs("month:2026-02")).toBe(Date.parse("2026-02-01") + 38 * DAY_MS);
  expect(periodExpiryMs("total")).toBeNull();
});

describe("grantOf()", () => {
  const request: LeaseRequest = {
    subject: "token:t",
    quantity: "cost_micros",
    period: "now",
    held: 0,
    wanted: 1000,
    least: 1,
    caps: [
      { period: "total", limit: 100 },
      { period: "day:x", limit: 50 },
    ],
  };
  const used = (amounts: Record<string, number>) => (period: string) => amounts[period] ?? 0;

  test("goes by the tightest cap, less what is held", () => {
    expect(grantOf(request, used({}), 0)).toEqual({ granted: 50, left: 0, unspent: 50 });
    expect(grantOf({ ...request, held: 4 }, used({ total: 70 }), 6).granted).toBe(20);
    expect(grantOf(request, used({ "day:x": 45 }), 3).granted).toBe(2);
  });

  test("is nothing where more was used than is allowed", () => {
    expect(grantOf(request, used({ total: 200 }), 0)).toEqual({ granted: 0, left: 0, unspent: 0 });
  });

  test("tells what is only held", () => {
    const full = { ...request, held: 30 };
    expect(grantOf(full, used({ total: 10 }), 90)).toEqual({ granted: 0, left: 0, unspent: 50 });
  });

  test.each([
    [10, 10, 1000, 125],
    [200, 10, 1000, 200],
    [200, 10, 150, 150],
    [200, 151, 150, 0],
    [0, 0, 7, 0],
    [5, 5, 0, 0],
  ])("of %i wanted, at least %i, of %i left is %i", (wanted, least, left, granted) => {
    const caps = [{ period: "total", limit: left }];
    const lease = grantOf({ ...request, caps, wanted, least }, used({}), 0);
    expect(lease).toEqual({ granted, left: left - granted, unspent: left });
  });
});
