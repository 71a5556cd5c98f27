/** Two nodes of this process on one PostgreSQL, whose machines do not agree on the time. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type RunningNode, startNode } from "../../src/cli/node.ts";
import { loadConfig } from "../../src/config/load.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { openPostgres } from "../../src/store/postgres.ts";
import { migrate } from "../../src/store/migrate.ts";
import { generateKey } from "../../src/store/key_file.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { PostgresServer } from "../support/postgres_server.ts";

const TEN_MINUTES_MS = 600_000;

let server: PostgresServer;
let folder: string;

beforeAll(async () => {
  server = await PostgresServer.start();
  folder = mkdtempSync(join(tmpdir(), "sluice-clocks-"));
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

interface Started {
  readonly node: RunningNode;
  readonly clock: FakeClock;
  readonly lines: { readonly event: string }[];
}

async function start(name: string, shared: string, offsetMs: number): Promise<Started> {
  const text = `
http_port: 0
http_bind_address: 127.0.0.1
admin_port: 0
data_dir: ${JSON.stringify(join(folder, name))}
providers: [{ name: openai, type: openai, endpoint: "http://127.0.0.1:9", api_key: sk-provider }]
${shared}
`;
  const { config } = await loadConfig({ file: null, text, env: {} });
  const lines: Started["lines"] = [];
  const log = (event: string, fields = {}) => void lines.push({ event, ...fields });
  const clock = new FakeClock(Date.now() + offsetMs);
  return { node: await startNode({ config, clock, log, addSecrets: () => {} }), clock, lines };
}

async function manage({ node }: Started, method: string, path: string, body?: object) {
  const answer = await fetch(`${node.adminUrl}/manage/${path}`, {
    method,
    headers: { authorization: `Bearer ${node.adminToken}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return answer.status === 204 ? null : answer.json();
}

async function statusAt({ node }: Started, token: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${node.urls[0]}/v1/models`, { headers });
  return (await answer.json()).error.code;
}

test("openParts() goes by the database, also for the time where its own is wrong", async () => {
  const url = await server.createDatabase();
  const shared = `database_url: ${JSON.stringify(url)}\nencryption_keys: ["${generateKey()}"]`;
  const { config } = await loadConfig({ file: null, text: shared, env: {} });
  if (config.database === null) throw new Error("There is no database");
  const options = { config: config.database, clock: systemClock, report: () => {} };
  const driver = await openPostgres(options);
  await migrate(driver, systemClock.nowMs());
  await driver.close();

  const fast = await start("fast", shared, TEN_MINUTES_MS);
  const slow = await start("slow", shared, -TEN_MINUTES_MS);
  for (const { lines } of [fast, slow]) {
    expect(lines.filter(({ event }) => event === "clock_difference")).toHaveLength(1);
  }
  const minute = { project_id: "default", duration_minutes: 1 };
  for (const [here, there] of [
    [fast, slow],
    [slow, fast],
  ] as const) {
    const { id, token, expires_at } = await manage(here, "POST", "tokens", minute);
    expect(Math.abs(Date.parse(expires_at) - Date.now() - 60_000)).toBeLessThan(10_000);
    // The upstream is not there: whoever gets this far was let in.
    expect(await statusAt(there, token)).toBe("upstream_unreachable");
    await manage(here, "DELETE", `tokens/${id}`);
    expect(await statusAt(here, token)).toBe("token_revoked");
    let code = "";
    for (let round = 0; round < 1_000 && code !== "token_revoked"; round += 1) {
      there.clock.advance(10);
      code = await statusAt(there, token);
    }
    expect(code).toBe("token_revoked");
    const rules = [{ service_tier: "flex", action: "block" }];
    const { version } = await manage(here, "PUT", "policies/service-tier", { rules });
    const versionThere = async () => (await manage(there, "GET", "policies/service-tier")).version;
    for (let round = 0; round < 1_000 && (await versionThere()) !== version; round += 1) {
      there.clock.advance(10);
    }
    expect(await versionThere()).toBe(version);
  }
  await Promise.all([fast.node.stop(0), slow.node.stop(0)]);
}, 20_000);
