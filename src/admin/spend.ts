/**
 * What was used of a project or a token, as the management API shows it.
 *
 * Owns: which sums are shown. Does not own: the sums, which are the store's.
 * Invariant: what was never used is 0, not missing.
 */

import type { Store } from "../store/store.ts";

/**
 * The sums of a subject, which lag behind by a second or so.
 * @param subject `token:<jti>` or `project:<id>`
 * @returns requests that counted for `max_requests`, and millionths of a dollar by UTC's day and
 *   month and altogether
 */
export async function spendOf(
  store: Pick<Store, "listSpend">,
  subject: string,
  nowMs: number,
): Promise<object> {
  const sums = await store.listSpend(subject);
  const date = new Date(nowMs).toISOString();
  const used = (quantity: string, period: string) =>
    sums.find((sum) => sum.quantity === quantity && sum.period === period)?.used ?? 0;
  return {
    requests: used("requests", "total"),
    cost_micros: {
      today: used("cost_micros", `day:${date.slice(0, 10)}`),
      this_month: used("cost_micros", `month:${date.slice(0, 7)}`),
      total: used("cost_micros", "total"),
    },
  };
}
