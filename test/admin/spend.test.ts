import { describe, expect, test } from "bun:test";
import { spendOf } from "../../src/admin/spend.ts";
import type { LimitQuantity } from "../../src/store/leases.ts";

const NOW_MS = Date.parse("2026-01-31T23:59:59Z");

function storeWith(sums: readonly (readonly [LimitQuantity, string, number])[]) {
  const rows = sums.map(([quantity, period, used]) => ({ quantity, period, used }));
  return {
    listSpend: (subject: string) => Promise.resolve(subject === "token:t" ? rows : []),
  };
}

describe("spendOf()", () => {
  test("picks today, this month and everything, in UTC", async () => {
    const store = storeWith([
      ["cost_micros", "day:2026-01-30", 1],
      ["cost_micros", "day:2026-01-31", 2],
      ["cost_micros", "month:2025-12", 4],
      ["cost_micros", "month:2026-01", 8],
      ["cost_micros", "total", 16],
      ["requests", "total", 32],
      ["requests_per_minute", "minute:1", 64],
    ]);
    expect(await spendOf(store, "token:t", NOW_MS)).toEqual({
      requests: 32,
      cost_micros: { today: 2, this_month: 8, total: 16 },
    });
  });

  test("is 0 where nothing was used", async () => {
    expect(await spendOf(storeWith([]), "token:t", NOW_MS)).toEqual({
      requests: 0,
      cost_micros: { today: 0, this_month: 0, total: 0 },
    });
  });
});
