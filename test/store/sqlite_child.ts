/**
 * A process that writes to a database which it shares, for `sqlite.test.ts`.
 *
 *   bun sqlite_child.ts PATH NODE_ID ROUNDS
 */

import { systemClock } from "../../src/runtime/clock.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { by } from "../conformance/store_fixtures.ts";
import { usageEvent } from "../support/usage_event.ts";

const [path = "", nodeId = "", rounds = "0"] = process.argv.slice(2);
const report = (message: string) => {
  throw new Error(message);
};
const store = await openSqliteStore({ path, nodeId, clock: systemClock, report });
const caps = [{ period: "total", limit: 1_000_000 }];
const request = {
  subject: "project:default",
  quantity: "cost_micros",
  period: "now",
  held: 0,
  wanted: 3,
  least: 3,
  caps,
} as const;

for (let round = 0; round < Number(rounds); round += 1) {
  const id = `${nodeId} ${round}`;
  await store.insertRevocation({ jti: id, revoked_at: 1, expires_at: 2 }, by());
  // Reads before it writes, which must not be answered from before the other's last write.
  await store.updateProject("default", { limits: { max_requests: 1 + round } }, round, by());
  await store.lease(nodeId, [request]);
  await store.insertUsage([
    usageEvent(round, { event_id: id, node_id: nodeId, settled_micros: 3 }),
  ]);
  await store.listRevocations(0, 0);
}
await store.close();
