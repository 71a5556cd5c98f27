/** A node in this process, on a folder of its own: what it tells its operator. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type RunningNode, startNode } from "../../src/cli/node.ts";
import { loadConfig } from "../../src/config/load.ts";
import { openSqlite } from "../../src/runtime/sqlite.ts";
import { segmentPath } from "../../src/store/spool_folder.ts";
import { RecordEncoder } from "../../src/store/spool_record.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { usageEvent } from "../support/usage_event.ts";
import { withWorkers } from "../support/workers.ts";

type Line = Record<string, unknown> & { event: string };

let dataDir: string;
let lines: Line[];
let clock: FakeClock;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-node-"));
  lines = [];
  clock = new FakeClock();
});

afterEach(() => rmSync(dataDir, { recursive: true }));

async function start(adminPort = 0, more = ""): Promise<RunningNode> {
  const text = `
http_port: 0
http_bind_address: 127.0.0.1
admin_port: ${adminPort}
data_dir: ${JSON.stringify(dataDir)}
providers: [{ name: openai, type: openai, endpoint: "http://127.0.0.1:9", api_key: sk-provider }]
${more}
`;
  const { config } = await loadConfig({ file: null, text, env: {} });
  const log = (event: string, fields = {}) => void lines.push({ event, ...fields });
  return startNode({ config, clock, log, addSecrets: () => {} });
}

/** What a process leaves that was killed while it wrote: a turn begun, and half a record. */
function leaveDeadSpool(): void {
  const folder = join(dataDir, "spool", "node-dead");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const event = usageEvent(1, { status: "interrupted", usage_source: "missing" });
  const record = new RecordEncoder().encode("open", JSON.stringify(event));
  writeFileSync(segmentPath(folder, 1), Buffer.concat([record, record.subarray(0, 20)]));
}

async function manage(node: RunningNode, path: string): Promise<string> {
  const headers = { authorization: `Bearer ${node.adminToken}` };
  return (await fetch(`${node.adminUrl}${path}`, { headers })).text();
}

/** The node's usage events, once there are any. The ledger is shipped while the clock goes on. */
async function usageEvents(node: RunningNode): Promise<Record<string, unknown>[]> {
  for (let round = 0; round < 100; round += 1) {
    const { events } = JSON.parse(await manage(node, "/manage/usage/events"));
    if (events.length > 0) return events;
    clock.advance(1_000);
  }
  return [];
}

const isOpen = (url: string) =>
  fetch(`${url}/health/live`).then(
    () => true,
    () => false,
  );

describe("startNode()", () => {
  test("opens its listeners, says where, and stops with none of them open", async () => {
    const node = await start();
    const listening = lines.filter(({ event }) => event === "listening");
    expect(listening.map((line) => [line["listener"], line["url"]])).toEqual([
      ["http", node.urls[0]],
      ["admin", node.adminUrl],
    ]);
    expect(statSync(join(dataDir, "admin.json")).mode & 0o077).toBe(0);
    expect(await Promise.all([...node.urls, node.adminUrl].map(isOpen))).toEqual([true, true]);
    await node.stop(0);
    expect(await Promise.all([...node.urls, node.adminUrl].map(isOpen))).toEqual([false, false]);
  });

  test("leaves nothing open when a listener cannot be", async () => {
    const blocker = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const taken = Number(blocker.port);
    expect(await start(taken).catch(String)).toContain(String(taken));
    const [opened] = lines.filter(({ event }) => event === "listening");
    expect(opened?.["listener"]).toBe("http");
    expect(await isOpen(String(opened?.["url"]))).toBe(false);
    await blocker.stop(true);
  });

  test("says which policy is in force, and is degraded by an unreadable one", async () => {
    const node = await start(0, "service_tier_policy: { rules: [] }");
    const policies = () => lines.filter(({ event }) => event.startsWith("policy_"));
    expect(policies()).toMatchObject([{ source: "configuration", version: 0 }]);
    const database = openSqlite(join(dataDir, "sluice.db"));
    database.exec(`PRAGMA busy_timeout = 5000;
      INSERT INTO policies VALUES ('service-tier', 1, '{"rules":1}', 0, 'somebody');
      UPDATE revisions SET revision = revision + 1 WHERE name = 'policies';`);
    database.close();
    const health = async () => JSON.parse(await (await fetch(`${node.urls[0]}/health`)).text());
    for (let round = 0; round < 100 && policies().length < 2; round += 1) {
      clock.advance(500);
      await health();
    }
    expect(policies()[1]).toMatchObject({ event: "policy_unreadable", version: 1, in_force: 0 });
    expect(await health()).toMatchObject({ status: "degraded", reasons: ["policy_unreadable"] });
    const status = JSON.parse(await manage(node, "/manage/status"));
    expect(status.service_tier_policy).toMatchObject({ source: "configuration", version: 1 });
    expect(status.service_tier_policy.problem).toContain("rules must be a list");
    await node.stop(0);
  });

  test("does not start with a policy that cannot be used", async () => {
    const rule = "{ service_tier: flex, action: force }";
    const failure = await start(0, `service_tier_policy: { rules: [${rule}] }`).catch(String);
    expect(failure).toContain("rules[0].force_tier is required");
  });

  test("tells the log and the metrics what a dead process left in the ledger", async () => {
    leaveDeadSpool();
    const node = await start();
    expect(await usageEvents(node)).toMatchObject([{ event_id: "evt_00000001" }]);
    const told = lines.filter(({ event }) => event.startsWith("ledger_"));
    expect(told).toMatchObject([
      { event: "ledger_problem", problem: "torn_tail" },
      { event: "ledger_recovered", problem: "turns_interrupted" },
    ]);
    const metrics = await manage(node, "/metrics");
    for (const { problem } of told as { problem?: string }[]) {
      expect(metrics).toContain(`sluice_ledger_problems_total{problem="${problem}"} 1`);
    }
    await node.stop(0);
  });

  test("logs store_failed when the store's thread dies, and goes on with another", async () => {
    await withWorkers(async (started) => {
      const node = await start();
      started[0]?.terminate();
      // Its death is heard of with the first call; how that call ends is the store's matter.
      await manage(node, "/manage/usage/events");
      expect(JSON.parse(await manage(node, "/manage/usage/events"))).toMatchObject({ events: [] });
      // Once by the store, and once by the follower that found it dead.
      const told = lines.filter(({ event }) => event === "store_failed");
      expect(told.length).toBeWithin(1, 3);
      await node.stop(0);
    });
  });

  test("forgets what was revoked an hour after its token could last verify", async () => {
    const node = await start();
    const revokeOne = async () => {
      const minute = { project_id: "default", duration_minutes: 1 };
      const { id } = await (await send(node, "POST", "tokens", minute)).json();
      expect((await send(node, "DELETE", `tokens/${id}`)).status).toBe(204);
      return String(id);
    };
    const kept = async () => {
      await manage(node, "/manage/revocations");
      const database = openSqlite(join(dataDir, "sluice.db"));
      const rows = database.query("SELECT jti FROM revocations", []);
      database.close();
      return rows.map(({ jti }) => String(jti));
    };
    const early = await revokeOne();
    clock.advance(5_400_000);
    const late = await revokeOne();
    expect((await kept()).toSorted()).toEqual([early, late].toSorted());
    clock.advance(1_800_000);
    for (let round = 0; round < 100 && (await kept()).length > 1; round += 1);
    expect(await kept()).toEqual([late]);
    await node.stop(0);
  });
});

function send(node: RunningNode, method: string, path: string, body?: object): Promise<Response> {
  return fetch(`${node.adminUrl}/manage/${path}`, {
    method,
    headers: { authorization: `Bearer ${node.adminToken}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
