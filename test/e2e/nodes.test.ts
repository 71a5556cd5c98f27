/**
 * Several nodes on one database: what one of them changes is in force at the others, limits hold
 * for all of them together, and the death of one leaves nothing behind. Two nodes on PostgreSQL,
 * and two on the SQLite of one `data_dir`.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";

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
import { type Client, connect } from "./ws_client.ts";

const CREATE = JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Go" });
const SESSIONS = 40;

let provider: Mock;
let server: PostgresServer;

beforeAll(async () => {
  [provider, server] = await Promise.all([startProvider(), PostgresServer.start()]);
});

afterAll(async () => {
  await Promise.all([provider.stop(), server.stop()]);
});

/** Nodes that share a database, and what there is to remove at the end. */
interface Pair {
  readonly nodes: readonly [Node, Node];
  readonly folders: readonly string[];
}

async function onPostgres(): Promise<Pair> {
  const folders = [await temporaryFolder(), await temporaryFolder()] as const;
  const key = (await runCommand(["keys", "generate"])).stdout.trim();
  const lines = [
    `database_url: ${JSON.stringify(await server.createDatabase())}`,
    `encryption_keys: ["${key}"]`,
  ];
  const config = openaiConfig(provider.url, lines.join("\n"));
  const file = `${folders[0]}/migrate.yml`;
  await Bun.write(file, `http_port: 0\nadmin_port: 0\ndata_dir: ${folders[0]}\n${config}`);
  const migrated = await runCommand(["migrate", "-c", file]);
  if (migrated.code !== 0) throw new Error(migrated.stderr);
  const nodes = await Promise.all([
    startNode({ config, dataDir: folders[0] }),
    startNode({ config, dataDir: folders[1] }),
  ]);
  return { nodes, folders };
}

async function onSqlite(): Promise<Pair> {
  const dataDir = await temporaryFolder();
  const config = openaiConfig(provider.url);
  const first = await startNode({ config, dataDir });
  return { nodes: [first, await startNode({ config, dataDir })], folders: [dataDir] };
}

function headers(token: string, more: Record<string, string> = {}): Record<string, string> {
  return { authorization: `Bearer ${token}`, ...more };
}

function post(node: Node, token: string): Promise<Response> {
  return fetch(`${node.url}/v1/responses`, {
    method: "POST",
    body: JSON.stringify({ model: "gpt-5.5", input: "Go" }),
    headers: headers(token),
  });
}

const sluice = (node: Node, ...args: string[]) => node.sluice(args);

/** A call of the management API, so that the time of starting a command is not in a measurement. */
async function manage(node: Node, method: string, path: string, body?: object): Promise<Response> {
  const access = await Bun.file(`${node.dataDir}/admin.json`).json();
  return fetch(`${node.adminUrl}/manage/${path}`, {
    method,
    headers: { authorization: `Bearer ${access.token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** What came of an answer that is cut off. */
async function cutText(answer: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of answer.body ?? []) text += decoder.decode(chunk, { stream: true });
  } catch {
    return text;
  }
  throw new Error("The answer was not cut off");
}

/** How the session was ended: the code of its error event, and the close code. */
async function ending(client: Client): Promise<[string, number]> {
  const event = await client.until((text) => text.includes('"type":"error"'));
  return [JSON.parse(event).error.code, (await client.closed).code];
}

describe.each([
  ["two nodes on one PostgreSQL", onPostgres],
  ["two nodes on one data_dir", onSqlite],
] as const)("%s", (_title, start) => {
  let pair: Pair;
  let here: Node;
  let there: Node;

  beforeAll(async () => {
    pair = await start();
    [here, there] = pair.nodes;
  });

  afterAll(async () => {
    await Promise.all(pair.nodes.map((node) => node.stop()));
    await Promise.all(pair.folders.map(cleanUp));
  });

  test("(trap 15) a revocation ends what runs at the other within a second", async () => {
    const lagsMs: number[] = [];
    for (let count = 0; count < SESSIONS; count += 1) {
      const token = await here.mint();
      const client = await connect(there.url, "/v1/responses", headers(token));
      const answer = await manage(here, "DELETE", `tokens/${tokenId(token)}`);
      expect(answer.status).toBe(204);
      const startMs = performance.now();
      expect(await ending(client)).toEqual(["token_revoked", 1008]);
      lagsMs.push(performance.now() - startMs);
    }
    expect(Math.max(...lagsMs)).toBeLessThan(1_000);
    expect(await metricsText(there)).toMatch(/sluice_revocation_lag_seconds_count [1-9]/);
  }, 60_000);

  test("a revocation cuts a stream that is running at the other", async () => {
    const token = await here.mint();
    const answer = await fetch(`${there.url}/v1/responses`, {
      method: "POST",
      body: JSON.stringify({ model: "gpt-5.5", input: "Go", stream: true }),
      headers: headers(token, { "x-mock": "tokens=100,delay=100ms" }),
    });
    expect((await manage(here, "DELETE", `tokens/${tokenId(token)}`)).status).toBe(204);
    expect(await cutText(answer)).toContain("token_revoked");
  });

  test("a project's sessions at the other end with it, and it can come back", async () => {
    const { id } = JSON.parse(await sluice(here, "project", "create", "team", "--json"));
    const token = await sluice(here, "token", "mint", "--project", id);
    // The other hears of the project a moment later.
    while ((await post(there, token)).status === 403) await Bun.sleep(10);
    const client = await connect(there.url, "/v1/responses", headers(token));
    expect((await manage(here, "PATCH", `projects/${id}`, { is_active: false })).status).toBe(200);
    expect(await ending(client)).toEqual(["project_inactive", 1008]);
    await manage(here, "PATCH", `projects/${id}`, { is_active: true });
    const deadline = Date.now() + 2_000;
    let status = 0;
    while (status !== 200 && Date.now() < deadline) status = (await post(there, token)).status;
    expect(status).toBe(200);
  });

  test("a project's lists are in force at the other within a second", async () => {
    const { id } = JSON.parse(await sluice(here, "project", "create", "lists", "--json"));
    const token = await sluice(here, "token", "mint", "--project", id);
    // The other hears of the project a moment later.
    while (!(await post(there, token)).ok) await Bun.sleep(50);
    const client = await connect(there.url, "/v1/responses", headers(token));
    const turn = async () => {
      client.send(CREATE);
      const ends = /"type":"(response\.completed|error)"/;
      const { type, error } = JSON.parse(await client.until((text) => ends.test(text)));
      return type === "error" ? error.code : "passed";
    };
    expect(await turn()).toBe("passed");
    await manage(here, "PATCH", `projects/${id}`, { models: ["o3"] });
    const changedMs = performance.now();
    while ((await turn()) === "passed") await Bun.sleep(10);
    expect(performance.now() - changedMs).toBeLessThan(1000);
    expect(await turn()).toBe("model_not_allowed");
    expect((await post(there, token)).status).toBe(403);
    await manage(here, "PATCH", `projects/${id}`, { models: null });
    while ((await turn()) !== "passed") await Bun.sleep(10);
    client.close();
  });

  test("all tokens of a project are revoked at once, and new ones are not", async () => {
    const { id } = JSON.parse(await sluice(here, "project", "create", "leak", "--json"));
    const old = await sluice(here, "token", "mint", "--project", id);
    const client = await connect(there.url, "/v1/responses", headers(old));
    expect((await manage(here, "POST", `projects/${id}/tokens/revoke`)).status).toBe(200);
    const fresh = await sluice(here, "token", "mint", "--project", id);
    expect(await ending(client)).toEqual(["token_revoked", 1008]);
    expect((await post(there, fresh)).status).toBe(200);
    expect((await post(there, old)).status).toBe(401);
  });

  test("tokens before and after a rotation of the signing key are taken by both", async () => {
    const old = await here.mint();
    await sluice(here, "keys", "rotate", "--signing");
    const fresh = await here.mint();
    for (const node of [here, there]) {
      for (const token of [old, fresh]) expect((await post(node, token)).status).toBe(200);
    }
  });

  test("a limit holds for both together, to the request", async () => {
    const token = await sluice(here, "token", "mint", "--max-requests", "12");
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => post(index % 2 === 0 ? here : there, token)),
    );
    const passed = answers.filter(({ status }) => status === 200).length;
    const refused = answers.filter(({ status }) => status === 429).length;
    expect([passed + refused, passed <= 12]).toEqual([60, true]);
    // What a node leased and did not need is free for the other a few seconds later.
    const deadline = Date.now() + 10_000;
    let total = passed;
    while (total < 12 && Date.now() < deadline) {
      for (const node of [here, there]) if ((await post(node, token)).status === 200) total += 1;
      await Bun.sleep(200);
    }
    expect(total).toBe(12);
    expect((await post(there, token)).status).toBe(429);
  }, 20_000);

  test("a policy put at one is in force in open sessions at the other at once", async () => {
    const token = await here.mint();
    const client = await connect(there.url, "/v1/responses", headers(token));
    const create = { type: "response.create", model: "gpt-5.5", input: "Go" };
    const turn = async (): Promise<unknown> => {
      client.send(JSON.stringify({ ...create, service_tier: "fast" }));
      await client.until((text) => text.includes('"response.completed"'));
      const frame = provider.requests.findLast(({ frameCount }) => frameCount > 0)?.frames.at(-1);
      return JSON.parse(String(frame)).service_tier;
    };
    expect(await turn()).toBeUndefined();
    const rule = { service_tier: "priority", action: "force", force_tier: "flex" };
    const put = await manage(here, "PUT", "policies/service-tier", { rules: [rule] });
    expect(put.status).toBe(200);
    const startMs = performance.now();
    let tier: unknown;
    while (tier !== "flex" && performance.now() - startMs < 2_000) tier = await turn();
    expect(tier).toBe("flex");
    expect(performance.now() - startMs).toBeLessThan(1_000);
    client.close();
    expect((await manage(here, "DELETE", "policies/service-tier")).status).toBeWithin(200, 205);
  });

  test("the audit is one chain over both", async () => {
    await sluice(there, "project", "create", "audited");
    const verified = JSON.parse(await sluice(here, "audit", "verify", "--json"));
    expect(verified.broken).toBeNull();
  });

  test("kill -9 with a turn running: it is recorded as reserved, the budget goes on", async () => {
    const minted = JSON.parse(
      await sluice(here, "token", "mint", "--limit", "budget_micros_total=400000", "--json"),
    );
    const client = await connect(
      there.url,
      "/v1/responses",
      headers(minted.token, { "x-mock": "delay=30s" }),
    );
    client.send(CREATE);
    while ((provider.requests.at(-1)?.frameCount ?? 0) === 0) await Bun.sleep(10);
    there.kill("SIGKILL");
    await there.exited;
    // On PostgreSQL its own successor takes the spool over, on one data_dir the node beside it.
    const isShared = pair.folders.length === 1;
    const successor = isShared
      ? null
      : await startNode({
          config: (await Bun.file(`${there.dataDir}/sluice.yml`).text()).replace(
            /^(?:http_port|http_bind_address|admin_port|data_dir|log):.*\n/gm,
            "",
          ),
          dataDir: there.dataDir,
        });
    try {
      // A node looks for the spools of dead ones every 5 seconds.
      const filter = ["--token", minted.id];
      const [event = (await usageEvents(here, 1, filter))[0]] = await usageEvents(here, 1, filter);
      expect(event).toMatchObject({
        status: "interrupted",
        input_tokens: null,
        details: { settled_at_reserve: true },
      });
      const shown = JSON.parse(await sluice(here, "token", "show", minted.id, "--json"));
      expect(shown.spend.cost_micros.total).toBe(event?.["settled_micros"]);
      expect((await post(here, minted.token)).status).toBe(200);
    } finally {
      await successor?.stop();
    }
  }, 30_000);
});

/** What takes a right away, each from a token of its own, and the status that it answers with. */
async function takings(node: Node): Promise<{ token: string; subject: string; call: Call }[]> {
  const project = async (name: string) => (await made(node, "projects", { name })).id;
  const mint = (project_id: string) =>
    made(node, "tokens", { project_id, duration_minutes: 60 }) as Promise<Minted>;
  const [leaked, left] = [await project("leaked"), await project("left")];
  const [one, other, off] = [await mint("default"), await mint("default"), await mint("default")];
  const [ofLeaked, ofLeft] = [await mint(leaked), await mint(left)];
  const call = (token: string, subject: string, method: string, path: string, body?: object) => ({
    token,
    subject,
    call: () => manage(node, method, path, body),
  });
  const isOff = { is_active: false };
  return [
    call(one.token, `token:${one.id}`, "DELETE", `tokens/${one.id}`),
    call(other.token, `token:${other.id}`, "POST", "revocations", { jti: other.id }),
    call(off.token, `token:${off.id}`, "PATCH", `tokens/${off.id}`, isOff),
    call(ofLeaked.token, `project:${leaked}`, "POST", `projects/${leaked}/tokens/revoke`),
    call(ofLeft.token, `project:${left}`, "PATCH", `projects/${left}`, isOff),
  ];
}

type Call = () => Promise<Response>;

interface Minted {
  readonly id: string;
  readonly token: string;
}

async function made(node: Node, path: string, body: object): Promise<{ id: string }> {
  const answer = await manage(node, "POST", path, body);
  if (answer.status !== 201) throw new Error(await answer.text());
  return answer.json();
}

/** What each token is answered with at a node, once that is all of this, or a second is over. */
async function answersAt(
  node: Node,
  tokens: readonly string[],
  expected: readonly string[],
): Promise<string[]> {
  const deadlineMs = performance.now() + 1_000;
  for (;;) {
    const codes = await Promise.all(
      tokens.map(async (token) => {
        const answer = await post(node, token);
        return answer.status === 200 ? "accepted" : String((await answer.json()).error.code);
      }),
    );
    if (String(codes) === String(expected) || performance.now() > deadlineMs) return codes;
    await Bun.sleep(20);
  }
}

describe.skipIf(!IS_OURS)("two nodes on one PostgreSQL that is away", () => {
  const REFUSED = [
    "token_revoked",
    "token_revoked",
    "token_revoked",
    "token_revoked",
    "project_inactive",
  ];

  test.each([
    ["stopped", () => server.halt(), () => server.resume()],
    ["frozen", async () => server.freeze(), async () => server.thaw()],
  ])(
    "%s: what is taken away holds here at once, there when it is back, and is audited once",
    async (_, leave, comeBack) => {
      const pair = await onPostgres();
      const [here, there] = pair.nodes;
      try {
        const all = await takings(here);
        const tokens = all.map(({ token }) => token);
        const accepted = tokens.map(() => "accepted");
        for (const node of pair.nodes) {
          expect(await answersAt(node, tokens, accepted)).toEqual(accepted);
        }
        await leave();
        const answers = Promise.all(all.map(({ call }) => call()));
        expect(await answersAt(here, tokens, REFUSED)).toEqual(REFUSED);
        for (const answer of await answers) {
          expect([answer.status, (await answer.json()).code]).toEqual([503, "store_unavailable"]);
        }
        const startMs = performance.now();
        const wrong = await fetch(`${here.adminUrl}/manage/status`, {
          headers: { authorization: "Bearer wrong" },
        });
        expect([wrong.status, performance.now() - startMs < 1_000]).toEqual([401, true]);
        expect(await metricsText(here)).toContain("sluice_changes_pending 5");
        await comeBack();
        expect(await answersAt(there, tokens, REFUSED)).toEqual(REFUSED);
        const { entries } = await (await manage(there, "GET", "audit?limit=1000")).json();
        const written = entries
          .filter((one: { action: string }) => !/create|mint|login|traffic/.test(one.action))
          .map((one: { subject: string; outcome: string }) => `${one.subject} ${one.outcome}`);
        expect(written.toSorted()).toEqual(all.map(({ subject }) => `${subject} done`).toSorted());
        expect(await metricsText(here)).toContain("sluice_changes_pending 0");
      } finally {
        await Promise.all(pair.nodes.map((node) => node.stop()));
        await Promise.all(pair.folders.map(cleanUp));
      }
    },
    60_000,
  );

  test("a node that stops with something unwritten says how much is lost", async () => {
    const pair = await onPostgres();
    const [node] = pair.nodes;
    try {
      const token = await node.mint();
      await server.halt();
      expect((await manage(node, "DELETE", `tokens/${tokenId(token)}`)).status).toBe(503);
      node.kill("SIGTERM");
      const lost = await node.logged((line) => String(line["reason"]).includes("are lost"));
      expect(lost["reason"]).toBe("1 revocations and deactivations were not stored and are lost");
      await node.exited;
    } finally {
      await server.resume();
      await Promise.all(pair.nodes.map((one) => one.stop()));
      await Promise.all(pair.folders.map(cleanUp));
    }
  }, 60_000);
});
