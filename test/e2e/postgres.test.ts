/**
 * The executable on PostgreSQL: migrated by command, and unharmed by a database that freezes, dies
 * and comes back. `DATABASE_URL` runs what does not need to stop the server.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Mock } from "../../src/mock/mock.ts";
import { IS_OURS, PostgresServer } from "../support/postgres_server.ts";
import {
  cleanUp,
  metricsText,
  type Node,
  openaiConfig,
  runCommand,
  startNode,
  startProvider,
  temporaryFolder,
  tokenId,
  usageEvents,
} from "./harness.ts";
import { connect } from "./ws_client.ts";

const PASSWORD = "pg-test-password";

let provider: Mock;
let server: PostgresServer;
let dataDir: string;
let config: string;

beforeAll(async () => {
  [provider, server, dataDir] = await Promise.all([
    startProvider(),
    PostgresServer.start(),
    temporaryFolder(),
  ]);
  const key = (await runCommand(["keys", "generate"])).stdout.trim();
  const lines = [
    `database_url: ${JSON.stringify(await server.createDatabase())}`,
    "database: { pool_size: 2, connect_timeout: 500ms, statement_timeout: 500ms }",
    `encryption_keys: ["${key}"]`,
  ];
  config = openaiConfig(provider.url, lines.join("\n"));
});

afterAll(async () => {
  await Promise.all([provider.stop(), server.stop(), cleanUp(dataDir)]);
});

/** Every usage event, oldest first, page by page. */
async function allEvents(node: Node): Promise<Record<string, unknown>[]> {
  const events: Record<string, unknown>[] = [];
  let cursor: string[] = [];
  do {
    const page = await node.run(["usage", "--json", "--limit", "1000", ...cursor]);
    const answer = JSON.parse(page.stdout);
    events.push(...answer.events);
    cursor = answer.next_cursor === null ? [] : ["--cursor", answer.next_cursor];
  } while (cursor.length > 0);
  return events.reverse();
}

async function readiness(node: Node): Promise<string> {
  const answer = await fetch(`${node.url}/health/ready`);
  return `${answer.status} ${(await answer.json()).status}`;
}

/** Waits for it, at most 10 s; how long it took in ms. */
async function becomes(node: Node, expected: string): Promise<number> {
  const startMs = performance.now();
  while ((await readiness(node)) !== expected) {
    if (performance.now() - startMs > 10_000) throw new Error(`never ${expected}`);
    await Bun.sleep(20);
  }
  return performance.now() - startMs;
}

async function post(node: Node, token: string): Promise<string> {
  const answer = await fetch(`${node.url}/v1/responses`, {
    method: "POST",
    body: JSON.stringify({ model: "gpt-5.5", input: "Go" }),
    headers: { authorization: `Bearer ${token}` },
  });
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
  return (await answer.json()).id;
}

/** Clients that run turns until told to stop; the ids of the responses that they saw end. */
function traffic(node: Node, token: string) {
  let isOver = false;
  const seen: string[] = [];
  const overHttp = async () => {
    while (!isOver) {
      seen.push(await post(node, token));
      await Bun.sleep(10);
    }
  };
  const overWebSocket = async () => {
    const headers = { authorization: `Bearer ${token}`, "x-mock": "tokens=2" };
    const client = await connect(node.url, "/v1/responses", headers);
    while (!isOver) {
      client.send(JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Go" }));
      const text = await client.until((message) => message.includes('"response.completed"'));
      seen.push(JSON.parse(text).response.id);
      await Bun.sleep(10);
    }
    client.close();
  };
  const clients = Promise.all([overHttp(), overWebSocket(), overWebSocket()]);
  return {
    /** @throws when an exchange failed */
    async end(): Promise<string[]> {
      isOver = true;
      await clients;
      return seen;
    },
  };
}

describe("the executable on PostgreSQL", () => {
  test("refuses a database that is not migrated, and takes it once it is", async () => {
    const file = join(dataDir, "migrate.yml");
    await writeFile(file, `http_port: 0\nadmin_port: 0\ndata_dir: ${dataDir}\n${config}`);
    const refused = await runCommand(["serve", "-c", file]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("no schema yet, and this sluice needs version");
    expect(refused.stderr).toContain("sluice migrate");
    const before = await runCommand(["migrate", "--status", "-c", file]);
    expect(before).toMatchObject({ code: 1, stderr: "" });
    expect(before.stdout).toMatch(/^VERSION +NAME +APPLIED\n +1 +init +no\n/);
    const [one, two] = await Promise.all([
      runCommand(["migrate", "-c", file]),
      runCommand(["migrate", "-c", file]),
    ]);
    expect([one.code, two.code]).toEqual([0, 0]);
    expect(`${one.stdout}${two.stdout}`.match(/Applied init/g)).toHaveLength(1);
    const after = await runCommand(["migrate", "--status", "-c", file]);
    expect(after.code).toBe(0);
    expect(after.stdout).toMatch(/ 1 +init +20\d\d-/);
    expect(refused.stderr + before.stdout + one.stdout).not.toContain(PASSWORD);
  });

  test("two nodes serve one project, and both see all usage", async () => {
    const [node, other] = await Promise.all([startNode({ config }), startNode({ config })]);
    try {
      const token = await node.mint();
      await post(node, token);
      await post(other, token);
      const headers = { authorization: `Bearer ${token}` };
      const client = await connect(node.url, "/v1/responses", headers);
      client.send(JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Go" }));
      await client.until((message) => message.includes('"response.completed"'));
      client.close();
      const events = await usageEvents(other, 3);
      expect(events.map((event) => event["transport"]).toSorted()).toHaveLength(3);
      expect(new Set(events.map((event) => event["node_id"])).size).toBe(2);
      expect(await Bun.file(join(node.dataDir, "sluice.db")).exists()).toBe(false);
      expect(await Bun.file(join(node.dataDir, "encryption.key")).exists()).toBe(false);
    } finally {
      await Promise.all([node.stop(), other.stop()]);
    }
  });

  test("what one node revokes ends at the other within a second", async () => {
    const [node, other] = await Promise.all([startNode({ config }), startNode({ config })]);
    try {
      const token = await node.mint();
      const headers = { authorization: `Bearer ${token}` };
      const client = await connect(other.url, "/v1/responses", headers);
      const id = tokenId(token);
      expect((await node.run(["token", "delete", id])).code).toBe(0);
      const startMs = performance.now();
      expect(JSON.parse(await client.next()).error.code).toBe("token_revoked");
      expect(performance.now() - startMs).toBeLessThan(1_000);
      expect((await client.closed).code).toBe(1008);
      const answer = await fetch(`${other.url}/v1/models`, { headers });
      expect((await answer.json()).error.code).toBe("token_revoked");
    } finally {
      await Promise.all([node.stop(), other.stop()]);
    }
  });

  test("refuses to start with another encryption key than the database has", async () => {
    const other = (await runCommand(["keys", "generate"])).stdout.trim();
    const file = join(dataDir, "other_key.yml");
    const text = config.replace(/encryption_keys: .*/, `encryption_keys: ["${other}"]`);
    await writeFile(file, `http_port: 0\nadmin_port: 0\ndata_dir: ${dataDir}\n${text}`);
    const refused = await runCommand(["serve", "-c", file]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      "its key is not in the key ring. Put the key back into encryption_keys",
    );
    expect(refused.stderr).not.toContain(PASSWORD);
  });

  test.skipIf(!IS_OURS)(
    "a database that freezes, dies and comes back fails no exchange and loses no turn",
    async () => {
      const node = await startNode({ config, dataDir });
      const token = await node.mint();
      const before = (await allEvents(node)).length;
      const clients = traffic(node, token);
      await Bun.sleep(200);
      server.freeze();
      await becomes(node, "200 degraded");
      server.thaw();
      await becomes(node, "200 ok");
      await server.kill();
      await becomes(node, "200 degraded");
      await Bun.sleep(500);
      await server.resume();
      const recoveredMs = await becomes(node, "200 ok");
      expect(recoveredMs).toBeLessThan(6_000);
      const seen = await clients.end();
      const events = await eventually(node, before + seen.length);
      const ids = events.slice(before).map((event) => event["response_id"]);
      expect(ids.toSorted()).toEqual(seen.toSorted());
      expect(seen.length).toBeGreaterThan(50);
      const problems = node.log.filter((line) => line.event === "ledger_problem");
      expect(problems.every((line) => line["problem"] === "ship_failed")).toBe(true);
      expect(JSON.stringify(node.log)).not.toContain(PASSWORD);
      node.kill("SIGTERM");
      expect(await node.exited).toBe(0);
    },
    30_000,
  );

  test("secrets move to a new key while the node serves, and the old one can go", async () => {
    const old = /encryption_keys: \["([^"]+)"\]/.exec(config)?.[1] ?? "";
    const made = (await runCommand(["keys", "generate"])).stdout.trim();
    const withKeys = (keys: readonly string[]) =>
      config.replace(/encryption_keys: .*/, `encryption_keys: ${JSON.stringify(keys)}`);
    const first = await startNode({ config });
    const token = await first.mint();
    const create = ["credential", "create", "--project", "default", "--provider", "openai"];
    const created = await first.run([...create, "--api-key-stdin"], "sk-project-key-0001");
    expect(created.code).toBe(0);
    await first.stop();
    const both = await startNode({ config: withKeys([made, old]) });
    const rotated = await both.run(["keys", "rotate", "--json"]);
    expect([rotated.code, rotated.stderr]).toEqual([0, ""]);
    const report = JSON.parse(rotated.stdout);
    expect(report).toMatchObject({ failures: [], unused_key_ids: [old.split(":")[0]] });
    expect(report.credentials.rotated).toBe(1);
    expect(report.signing_keys.rotated).toBeGreaterThan(0);
    await both.stop();
    const after = await startNode({ config: withKeys([made]) });
    provider.clear();
    expect(await post(after, token)).toStartWith("resp_");
    expect(provider.requests[0]?.headers["authorization"]).toBe("Bearer sk-project-key-0001");
    await after.run(["keys", "rotate", "--json"]);
    await after.stop();
    config = withKeys([made]);
  });

  test.skipIf(!IS_OURS)(
    "limits that cannot be checked are let through and counted, or refused, as configured",
    async () => {
      const denying = config.replace("database:", "limits: { on_store_down: deny }\ndatabase:");
      const nodes = [await startNode({ config }), await startNode({ config: denying })] as const;
      const [allows, denies] = nodes;
      try {
        const token = await allows.sluice(["token", "mint", "--max-requests", "100"]);
        server.freeze();
        expect(await post(allows, token)).toStartWith("resp_");
        expect(await post(denies, token).catch(String)).toContain("503");
        const metrics = await metricsText(allows);
        expect(metrics).toContain("sluice_limits_unenforced_total{} 1");
        expect(await metricsText(denies)).toContain('{code="limits_unavailable"}');
      } finally {
        server.thaw();
        await Promise.all(nodes.map((node) => node.stop()));
      }
    },
    30_000,
  );

  test.skipIf(!IS_OURS)(
    "a node stops with the database away, waits for it at the next start, and ships then",
    async () => {
      const node = await startNode({ config, dataDir });
      const token = await node.mint();
      const before = (await allEvents(node)).length;
      server.freeze();
      const ids = [await post(node, token), await post(node, token)];
      const startMs = performance.now();
      node.kill("SIGTERM");
      expect(await node.exited).toBe(0);
      expect(performance.now() - startMs).toBeLessThan(5_000);
      server.thaw();
      await server.halt();
      const starting = startNode({ config, dataDir });
      await Bun.sleep(300);
      await server.resume();
      const next = await starting;
      const waited = next.log.find((line) => line.event === "store_failed");
      expect(String(waited?.["reason"])).toEndWith("; trying for 30 s");
      const events = await eventually(next, before + ids.length);
      expect(events.slice(before).map((event) => event["response_id"])).toEqual(ids);
      next.kill("SIGTERM");
      expect(await next.exited).toBe(0);
    },
    30_000,
  );
});

/** Every usage event, once there are `count` of them; at most 10 s later. */
async function eventually(node: Node, count: number): Promise<Record<string, unknown>[]> {
  const deadlineMs = performance.now() + 10_000;
  for (;;) {
    const events = await allEvents(node);
    if (events.length >= count || performance.now() > deadlineMs) return events;
    await Bun.sleep(50);
  }
}
