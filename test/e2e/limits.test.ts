/**
 * Limits, budgets and what a token may be used for, on the executable: the same over HTTP and on
 * every turn of a WebSocket, in the words of the caller's protocol.
 */

import { describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import {
  dialectsConfig,
  type Node,
  nodeForFile,
  openaiConfig,
  startNode,
  usageEvents,
} from "./harness.ts";
import { type Client, connect } from "./ws_client.ts";

const CREATE = JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Go" });

let provider: Mock;
let node: Node;

nodeForFile(dialectsConfig, (started) => {
  ({ provider, node } = started);
});

const sluice = (...args: string[]) => node.sluice(args);

/** A token; `options` are those of `sluice token mint`. */
function mint(...options: string[]): Promise<string> {
  return sluice("token", "mint", ...options);
}

function post(token: string, body: object = {}, headers: object = {}, path = "/v1/responses") {
  return fetch(`${node.url}${path}`, {
    method: "POST",
    body: JSON.stringify({ model: "gpt-5.5", input: "Go", ...body }),
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
}

async function codeOf(answer: Response): Promise<string> {
  return `${answer.status} ${(await answer.json()).error?.code ?? "passed"}`;
}

function open(token: string, more: Record<string, string> = {}): Promise<Client> {
  return connect(node.url, "/v1/responses", { authorization: `Bearer ${token}`, ...more });
}

/** Asks for a turn; `passed`, or status and code of its refusal. */
async function turn(client: Client, create = CREATE): Promise<string> {
  client.send(create);
  const end = await client.until((text) => /"type":"(response\.completed|error)"/.test(text));
  const { type, status, error } = JSON.parse(end);
  return type === "error" ? `${status} ${error.code}` : "passed";
}

/** Of a test that may have to wait for the next minute. */
const WITH_WAIT_MS = 15_000;

/** So that a test is not cut in two by the end of a minute. */
async function earlyInMinute(): Promise<void> {
  const leftMs = 60_000 - (Date.now() % 60_000);
  if (leftMs < 3_000) await Bun.sleep(leftMs);
}

describe("requests per minute", () => {
  test(
    "are refused over HTTP with the headers that SDKs know",
    async () => {
      await earlyInMinute();
      const token = await mint("--limit", "requests_per_minute=2");
      // The upstream's own stay: what it says is about the key that all share.
      expect((await post(token)).headers.get("x-ratelimit-limit-requests")).toBe("10000");
      const second = await post(token, {}, {}, "/v1beta/models/gemini-3-flash:countTokens");
      expect(second.headers.get("x-ratelimit-limit-requests")).toBe("2");
      expect(second.headers.get("x-ratelimit-remaining-requests")).toBe("0");
      expect(second.headers.get("x-ratelimit-reset-requests")).toMatch(/^(\d+m)?\d+s$/);
      const refused = await post(token);
      expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 61);
      expect(refused.headers.get("x-ratelimit-limit-requests")).toBe("2");
      expect(await codeOf(refused)).toBe("429 rate_limit_exceeded");
    },
    WITH_WAIT_MS,
  );

  test(
    "count turns and requests alike, so that neither is a way past the other",
    async () => {
      await earlyInMinute();
      const token = await mint("--limit", "requests_per_minute=3");
      const client = await open(token);
      expect([await turn(client), await turn(client)]).toEqual(["passed", "passed"]);
      expect((await post(token)).status).toBe(200);
      expect(await turn(client)).toBe("429 rate_limit_exceeded");
      expect(await codeOf(await post(token))).toBe("429 rate_limit_exceeded");
      client.close();
    },
    WITH_WAIT_MS,
  );

  test(
    "are refused to Anthropic's and Gemini's clients in their words",
    async () => {
      await earlyInMinute();
      const token = await mint("--limit", "requests_per_minute=1");
      await post(token);
      const anthropic = await post(token, {}, {}, "/v1/messages");
      expect([anthropic.status, await anthropic.json()]).toMatchObject([
        429,
        { type: "error", error: { type: "rate_limit_error" } },
      ]);
      const gemini = await post(token, {}, {}, "/v1beta/models/gemini-3-flash:generateContent");
      expect([gemini.status, await gemini.json()]).toMatchObject([
        429,
        { error: { code: 429, status: "RESOURCE_EXHAUSTED" } },
      ]);
    },
    WITH_WAIT_MS,
  );
});

describe("max_requests", () => {
  test("leaves the session open when a turn is refused", async () => {
    const token = await mint("--max-requests", "2");
    const client = await open(token);
    expect(await turn(client)).toBe("passed");
    expect(await turn(client)).toBe("passed");
    const before = provider.requests.length;
    expect(await turn(client)).toBe("429 insufficient_quota");
    const refused = await post(token);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(await codeOf(refused)).toBe("429 insufficient_quota");
    expect(provider.requests.length).toBe(before);
    client.send(JSON.stringify({ type: "response.cancel" }));
    client.close();
    expect((await client.closed).code).toBe(1000);
  });

  test("is narrowed by an update that reaches the open session", async () => {
    const minted = JSON.parse(await mint("--max-requests", "50", "--json"));
    const client = await open(minted.token);
    expect(await turn(client)).toBe("passed");
    await sluice("token", "update", minted.id, "--max-requests", "1");
    expect(await turn(client)).toBe("429 insufficient_quota");
    client.close();
    const wider = await node.run(["token", "update", minted.id, "--max-requests", "51"]);
    expect([wider.code, wider.stderr]).toEqual([1, expect.stringContaining("--max-requests")]);
  });
});

describe("budgets", () => {
  test("of a project stop all its tokens, and what was spent is what the ledger says", async () => {
    const created = await sluice("project", "create", "spenders", "--json");
    const { id } = JSON.parse(created);
    const budget = 40_000;
    await sluice("project", "update", id, "--limit", `budget_micros_total=${budget}`);
    const tokens = [await mint("--project", id), await mint("--project", id)];
    const client = await open(tokens[0] ?? "");
    let refused = "";
    let turns = 0;
    for (; refused === "" && turns < 200; turns += 1) {
      const end = turns % 2 === 0 ? await turn(client) : await codeOf(await post(tokens[1] ?? ""));
      if (end !== "passed" && end !== "200 passed") refused = end;
    }
    expect(refused).toBe("429 insufficient_quota");
    const events = await usageEvents(node, turns - 1, ["--project", id]);
    expect(events).toHaveLength(turns - 1);
    const spent = events.reduce((sum, event) => sum + Number(event["settled_micros"]), 0);
    expect(spent).toBeWithin(1, budget + 1);
    const shown = JSON.parse(await sluice("project", "show", id, "--json"));
    expect(shown.spend.cost_micros.total).toBe(spent);
    client.close();
  });

  test("a client that leaves before the usage is charged what was reserved", async () => {
    const minted = JSON.parse(await mint("--limit", "budget_micros_total=5000000", "--json"));
    const client = await open(minted.token, { "x-mock": "delay=20s" });
    client.send(CREATE);
    await Bun.sleep(100);
    client.terminate();
    const [event] = await usageEvents(node, 1, ["--token", minted.id]);
    expect(event).toMatchObject({
      status: "interrupted",
      input_tokens: null,
      details: { settled_at_reserve: true },
    });
    const shown = JSON.parse(await sluice("token", "show", minted.id, "--json"));
    expect(shown.spend.cost_micros.total).toBe(event?.["settled_micros"]);
    expect(shown.spend.cost_micros.total).toBeGreaterThan(0);
  });

  test("what never reached the upstream costs nothing", async () => {
    const minted = JSON.parse(await mint("--limit", "budget_micros_total=5000000", "--json"));
    const answer = await post(minted.token, {}, { "x-mock": "status=429" });
    expect(answer.status).toBe(429);
    const [event] = await usageEvents(node, 1, ["--token", minted.id]);
    expect(event).toMatchObject({ status: "error", settled_micros: 0 });
  });
});

describe("concurrency", () => {
  test("is counted over HTTP and turns, and freed at their end", async () => {
    const token = await mint("--limit", "concurrent_exchanges=1");
    const client = await open(token, { "x-mock": "delay=400ms" });
    const first = turn(client);
    await Bun.sleep(150);
    expect(await codeOf(await post(token))).toBe("429 rate_limit_exceeded");
    expect(await first).toBe("passed");
    expect((await post(token)).status).toBe(200);
    client.close();
  });

  test("of sessions is refused before the upgrade, and freed when one closes", async () => {
    const token = await mint("--limit", "concurrent_sessions=1");
    const client = await open(token);
    expect(open(token)).rejects.toThrow("429");
    await open(token).catch(() => undefined);
    client.close();
    await client.closed;
    const deadline = Date.now() + 5_000;
    const again = async (): Promise<Client> => {
      try {
        return await open(token);
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await Bun.sleep(50);
        return again();
      }
    };
    (await again()).close();
  });
});

describe("the caps of a session", () => {
  test("end it when its turns are used up", async () => {
    const client = await open(await mint("--limit", "session_turns=1"));
    expect(await turn(client)).toBe("passed");
    expect(await turn(client)).toMatch(/ session_limit$/);
    expect((await client.closed).code).toBe(1008);
  });

  test("end it when it lasted its longest, or was idle", async () => {
    const lasting = await open(await mint("--limit", "session_seconds=1"));
    const idle = await open(await mint("--limit", "session_idle_seconds=1"));
    expect(JSON.parse(await lasting.next()).error.code).toBe("session_limit");
    expect((await lasting.closed).code).toBe(1008);
    expect((await idle.closed).code).toBe(1008);
  });
});

describe("what a token may be used for", () => {
  test("models, on requests and frames", async () => {
    const token = await mint("--model", "gpt-5*");
    expect((await post(token)).status).toBe(200);
    expect(await codeOf(await post(token, { model: "o3" }))).toBe("403 model_not_allowed");
    const client = await open(token);
    expect(await turn(client)).toBe("passed");
    const other = JSON.stringify({ type: "response.create", model: "o3", input: "Go" });
    expect(await turn(client, other)).toBe("403 model_not_allowed");
    const prompt = JSON.stringify({ type: "response.create", prompt: { id: "pmpt_1" } });
    expect(await turn(client, prompt)).toBe("403 model_not_allowed");
    expect(await turn(client)).toBe("passed");
    client.close();
  });

  test("endpoints", async () => {
    const token = await mint("--endpoint", "/v1/responses");
    expect((await post(token)).status).toBe(200);
    const chat = await post(token, { messages: [] }, {}, "/v1/chat/completions");
    expect(await codeOf(chat)).toBe("403 endpoint_not_allowed");
    const models = await fetch(`${node.url}/v1/models`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(models.status).toBe(403);
  });

  test("service tiers", async () => {
    const token = await mint("--tier", "flex");
    expect((await post(token, { service_tier: "flex" })).status).toBe(200);
    expect((await post(token, { service_tier: "scale" })).status).toBe(403);
    const client = await open(token);
    const create = { type: "response.create", model: "gpt-5.5", input: "Go" };
    const scale = JSON.stringify({ ...create, service_tier: "scale" });
    expect(await turn(client, scale)).toBe("400 policy_violation");
    expect((await client.closed).code).toBe(1008);
  });
});

describe("a token", () => {
  test("shows when it was used last and how often, soon after", async () => {
    const minted = JSON.parse(await mint("--json"));
    await post(minted.token);
    const client = await open(minted.token);
    await turn(client);
    client.close();
    const deadline = Date.now() + 5_000;
    let shown = { request_count: 0, last_used_at: "" };
    while (shown.request_count < 2 && Date.now() < deadline) {
      shown = JSON.parse(await sluice("token", "show", minted.id, "--json"));
    }
    expect(shown.request_count).toBe(2);
    expect(Date.now() - Date.parse(shown.last_used_at)).toBeLessThan(10_000);
  });

  test("that is deactivated ends its session, and can come back", async () => {
    const minted = JSON.parse(await mint("--json"));
    const client = await open(minted.token);
    await sluice("token", "update", minted.id, "--deactivate");
    expect(JSON.parse(await client.next()).error.code).toBe("token_revoked");
    expect((await client.closed).code).toBe(1008);
    await sluice("token", "update", minted.id, "--activate");
    expect((await post(minted.token)).status).toBe(200);
  });
});

describe("the audit", () => {
  test("has refused traffic, summed, at the latest when a node stops", async () => {
    const config = openaiConfig(provider.url);
    const first = await startNode({ config });
    const minted = await first.sluice(["token", "mint", "--max-requests", "1", "--json"]);
    const { id, token: limited } = JSON.parse(minted);
    const ask = () =>
      fetch(`${first.url}/v1/responses`, {
        method: "POST",
        body: '{"model":"gpt-5.5","input":"Go"}',
        headers: { authorization: `Bearer ${limited}` },
      });
    const statuses = [await ask(), await ask(), await ask()].map(({ status }) => status);
    expect(statuses).toEqual([200, 429, 429]);
    first.kill("SIGTERM");
    await first.exited;
    const next = await startNode({ config, dataDir: first.dataDir });
    const listed = await next.run(["audit", "list", "--action", "traffic.refuse", "--json"]);
    const { entries } = JSON.parse(listed.stdout);
    const sum = entries.reduce(
      (count: number, entry: { details: { count: number } }) => count + entry.details.count,
      0,
    );
    expect(sum).toBe(2);
    expect(entries[0]).toMatchObject({
      actor: "gateway",
      subject: `token:${id}`,
      outcome: "refused",
      details: { reason: "quota_exhausted" },
    });
    await next.stop();
  });

  test("has every change, in a chain that holds", async () => {
    const verified = JSON.parse(await sluice("audit", "verify", "--json"));
    expect(verified.broken).toBeNull();
    expect(verified.entries).toBeGreaterThan(10);
    const { entries } = JSON.parse(await sluice("audit", "list", "--json", "--limit", "1000"));
    const actions = new Set(entries.map((entry: { action: string }) => entry.action));
    for (const action of ["token.mint", "project.create", "project.update", "token.update"]) {
      expect(actions).toContain(action);
    }
    expect(JSON.stringify(entries)).not.toContain("sk-sluice-");
  });
});
