/**
 * Realtime in a browser: a page gets a secret of ours in the place of the provider's key, and comes
 * back with it through every node, as the token that it was made with.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";

import OpenAI from "openai";

import type { Mock } from "../../src/mock/mock.ts";
import {
  type Node,
  openaiConfig,
  startNode,
  startProvider,
  tokenId,
  usageEvents,
} from "./harness.ts";
import { type Client, connect, refusal } from "./ws_client.ts";

const GIVING = "/v1/realtime/client_secrets";
const SESSION = { type: "realtime", model: "gpt-realtime-2", instructions: "Be brief." };
const STATIC_KEY = "a-static-key-of-this-file";

let provider: Mock;
let node: Node;
/** Another node on the same database. */
let second: Node;

beforeAll(async () => {
  provider = await startProvider();
  const other = `
  - name: other
    type: openai
    endpoint: ${provider.url}
    api_key: sk-upstream-secret-0002
    models: { voice: gpt-realtime-2 }
auth_keys: [${STATIC_KEY}]`;
  const config = openaiConfig(provider.url, `    models: { voice: gpt-realtime-2 }${other}`);
  node = await startNode({ config });
  second = await startNode({ config, dataDir: node.dataDir });
});

beforeEach(() => provider.clear());

afterAll(async () => {
  await Promise.all([second.stop(), node.stop()]);
  await provider.stop();
});

const sluice = (...args: string[]) => node.sluice(args);

function mint(...options: string[]): Promise<string> {
  return sluice("token", "mint", ...options);
}

function post(credential: string, path: string, body: object | string, more: object = {}) {
  return fetch(`${node.url}${path}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { authorization: `Bearer ${credential}`, ...more },
  });
}

/** The secret that a caller gets for a page of its. */
async function secretOf(credential: string, session: object = SESSION, more: object = {}) {
  const answer = await post(credential, GIVING, { session, ...more });
  expect(answer.status).toBe(200);
  const { value } = await answer.json();
  return String(value);
}

/** Opens Realtime as a page does. */
function open(secret: string, at = node, query = "?model=gpt-realtime-2"): Promise<Client> {
  const subprotocols = ["realtime", `openai-insecure-api-key.${secret}`];
  return connect(at.url, `/v1/realtime${query}`, {}, subprotocols);
}

/** Status and code of the refusal that such a page gets. */
async function refused(secret: string, at = node): Promise<string> {
  const headers = { "sec-websocket-protocol": `realtime, openai-insecure-api-key.${secret}` };
  const { status, body } = await refusal(at.url, "/v1/realtime?model=gpt-realtime-2", headers);
  return `${status} ${JSON.parse(body).error.code}`;
}

async function codeOf(answer: Response): Promise<string> {
  return `${answer.status} ${(await answer.json()).error.code}`;
}

async function turn(client: Client): Promise<void> {
  client.send('{"type":"response.create"}');
  await client.until((text) => text.includes('"type":"response.done"'));
}

/** What the provider saw of the session that was opened last. */
function dialled() {
  return provider.requests.findLast(({ path }) => path.startsWith("/v1/realtime?"));
}

describe("a client secret", () => {
  test("stands in the answer where the provider's key stood, alone", async () => {
    const recorded = await (
      await fetch(`${provider.url}${GIVING}`, {
        method: "POST",
        body: "{}",
        headers: { authorization: "Bearer sk-x", "x-mock": "fixture=realtime_client_secret.json" },
      })
    ).text();
    const script = { "x-mock": "fixture=realtime_client_secret.json" };
    const answer = await post(await mint(), GIVING, { session: SESSION }, script);
    const text = await answer.text();
    const { value } = JSON.parse(text);
    expect(value).toMatch(/^ek_sluice-[\w.-]+$/);
    expect(text).toBe(recorded.replace(/ek_[0-9a-f]{32}/, value));
    expect(answer.headers.get("content-length")).toBe(String(Buffer.byteLength(text)));
    expect(provider.requests.at(-1)?.headers["accept-encoding"]).toBe("identity");
  });

  test("of a limited token opens a session that is metered as the token's", async () => {
    const limited = await mint("--model", "gpt-realtime*", "--limit", "requests_per_minute=50");
    const secret = await secretOf(limited);
    const given = provider.requests.at(-1);
    const page = await open(secret);
    expect(page.subprotocol).toBe("realtime");
    expect(JSON.parse(await page.next()).session).toMatchObject(SESSION);
    await turn(page);
    page.close();
    const seen = dialled();
    expect(seen?.headers["authorization"]).toMatch(/^Bearer ek_[0-9a-f]{32}$/);
    expect(seen?.headers["sec-websocket-protocol"]).toBe("realtime");
    expect(JSON.stringify([given, seen])).not.toContain("sluice-");
    expect(await usageEvents(node, 1, ["--token", tokenId(limited)])).toMatchObject([
      { token_id: tokenId(limited), project_id: "default", endpoint: "/v1/realtime", turn: 1 },
    ]);
  });

  test("opens a session at the provider that made the key, and at no other", async () => {
    for (let count = 0; count < 10; count += 1) {
      const answer = await post(await mint(), GIVING, { session: SESSION });
      const name = answer.headers.get("x-sluice-provider") ?? "";
      const page = await open((await answer.json()).value);
      await turn(page);
      page.close();
      const start = node.log.findLast(({ event }) => event === "relay_start");
      expect(start?.["provider"]).toBe(name);
    }
  }, 20_000);

  test("made with the official SDK is taken by another node on the same database", async () => {
    const client = new OpenAI({ apiKey: await mint(), baseURL: `${node.url}/v1` });
    const made = await client.realtime.clientSecrets.create({
      session: { type: "realtime", model: "gpt-realtime-2", instructions: "Be brief." },
    });
    const page = await open(made.value, second);
    expect(JSON.parse(await page.next()).session).toMatchObject(SESSION);
    await turn(page);
    page.close();
  });

  test("opens the session that was asked for where the page names no model", async () => {
    const token = await mint("--model", "gpt-realtime-2");
    const page = await open(await secretOf(token), node, "");
    expect(JSON.parse(await page.next()).session).toMatchObject(SESSION);
    await turn(page);
    page.close();
    const [row] = await usageEvents(node, 1, ["--token", tokenId(token)]);
    expect(row).toMatchObject({ model: "gpt-realtime-2", status: "completed" });
    const other = await refusal(node.url, "/v1/realtime?model=gpt-realtime-mini", {
      authorization: `Bearer ${await secretOf(token)}`,
    });
    expect(JSON.parse(other.body).error.code).toBe("model_not_allowed");
  });

  test("opens a session whose model has another name upstream", async () => {
    const token = await mint("--model", "voice");
    const answer = await post(token, GIVING, { session: { ...SESSION, model: "voice" } });
    const asked = new TextDecoder().decode(provider.requests.at(-1)?.body);
    expect(JSON.parse(asked)).toEqual({ session: SESSION });
    const { value, session } = await answer.json();
    expect(session.model).toBe("voice");
    for (const query of ["?model=voice", ""]) {
      const page = await open(value, node, query);
      await turn(page);
      page.close();
    }
    expect(await usageEvents(node, 2, ["--token", tokenId(token)])).toHaveLength(2);
  });

  test("counts for the limits of its token", async () => {
    const page = await open(await secretOf(await mint("--max-requests", "2")));
    await turn(page);
    page.send('{"type":"response.create"}');
    const event = await page.until((text) => text.includes('"type":"error"'));
    expect(JSON.parse(event).error.code).toBe("insufficient_quota");
    page.close();
  });

  test("ends with its token, and so do its sessions, on every node", async () => {
    const token = await mint();
    const secret = await secretOf(token);
    const pages = [await open(secret), await open(secret, second)];
    const startedAt = performance.now();
    await sluice("token", "revoke", tokenId(token));
    const revokedAt = performance.now();
    for (const page of pages) expect((await page.closed).code).toBe(1008);
    expect(performance.now() - revokedAt).toBeLessThan(1_000);
    expect(revokedAt).toBeGreaterThan(startedAt);
    expect(await refused(secret)).toBe("401 token_revoked");
    expect(await refused(secret, second)).toBe("401 token_revoked");
  }, 15_000);

  test("ends with its project", async () => {
    const { id } = JSON.parse(await sluice("project", "create", "pages", "--json"));
    const secret = await secretOf(await mint("--project", id));
    const page = await open(secret);
    await sluice("project", "update", id, "--deactivate");
    expect((await page.closed).code).toBe(1008);
    expect(await refused(secret)).toBe("403 project_inactive");
  }, 15_000);

  test("ends when the provider's key does", async () => {
    const secret = await secretOf(await mint(), SESSION, { expires_after: { seconds: -60 } });
    expect(await refused(secret)).toBe("401 token_expired");
  });

  test("opens nothing but Realtime", async () => {
    const secret = await secretOf(await mint());
    const body = { model: "gpt-5.5", input: "Go" };
    for (const path of ["/v1/responses", GIVING, "/v1/chat/completions"]) {
      expect(await codeOf(await post(secret, path, body))).toBe("403 endpoint_not_allowed");
    }
    const headers = { authorization: `Bearer ${secret}` };
    const socket = await refusal(node.url, "/v1/responses", headers);
    expect(socket.status).toBe(403);
    const forged = secret.replace(/.{6}$/, "AAAAAA");
    expect(await refused(forged)).toBe("401 token_invalid");
    const asToken = { authorization: `Bearer ${secret.slice("ek_sluice-".length)}` };
    expect((await fetch(`${node.url}/v1/models`, { headers: asToken })).status).toBe(401);
  });

  test("of a static key is that key's", async () => {
    const page = await open(await secretOf(STATIC_KEY));
    await turn(page);
    page.close();
    const start = node.log.findLast(({ event }) => event === "relay_start");
    const [row] = await usageEvents(node, 1, ["--session", String(start?.["session_id"])]);
    expect(row?.["token_id"]).toMatch(/^static_[0-9a-f]{8}$/);
  });

  test("of the beta stands in client_secret", async () => {
    const answer = await post(await mint(), "/v1/realtime/sessions", { model: "gpt-realtime-2" });
    const { client_secret: given } = await answer.json();
    expect(given.value).toStartWith("ek_sluice-");
    const page = await open(given.value);
    await turn(page);
    page.close();
  });
});

describe("a session for a page", () => {
  test("is only made for models that the token may use", async () => {
    const token = await mint("--model", "gpt-realtime-2");
    const ask = async (body: object | string, path = GIVING) => {
      const answer = await post(token, path, body);
      return answer.ok ? "passed" : await codeOf(answer);
    };
    const transcription = { model: "whisper-1" };
    const audio = { input: { transcription } };
    expect([
      await ask({ session: { ...SESSION } }),
      await ask({ session: { ...SESSION, model: "gpt-realtime-mini" } }),
      await ask({ session: { type: "realtime" } }),
      await ask({ session: { ...SESSION, audio } }),
      await ask({ session: { type: "transcription", audio } }),
      await ask({ model: "other" }, "/v1/realtime/sessions"),
      await ask(
        { input_audio_transcription: transcription },
        "/v1/realtime/transcription_sessions",
      ),
      await ask('{"session":{"model":"gpt-realtime-2","model":"other"}}'),
      await ask("no JSON"),
    ]).toEqual([
      "passed",
      ...Array(6).fill("403 model_not_allowed"),
      "400 ambiguous_json",
      "400 invalid_json",
    ]);
    expect(provider.requests).toHaveLength(1);
  });

  test("is made without a tier that the policy takes out", async () => {
    const session = { ...SESSION, service_tier: "priority" };
    await secretOf(await mint(), session);
    expect(JSON.parse(new TextDecoder().decode(provider.requests.at(-1)?.body))).toEqual({
      session: SESSION,
    });
  });

  test("is not handed over where our secret cannot take the key's place", async () => {
    const script = { "x-mock": "fixture=chat_completions.json" };
    const answer = await post(await mint(), GIVING, { session: SESSION }, script);
    expect(await codeOf(answer)).toBe("502 upstream_unreadable");
    const upstreams = await post(
      await mint(),
      GIVING,
      { session: SESSION },
      { "x-mock": "status=429" },
    );
    expect(upstreams.status).toBe(429);
  });

  test("over calls, whose media go past sluice, is for callers without limits", async () => {
    const calls = "/v1/realtime/calls";
    const limited = await mint("--max-requests", "9");
    for (const credential of [limited, await secretOf(limited)]) {
      expect(await codeOf(await post(credential, calls, "v=0"))).toBe("403 endpoint_not_allowed");
    }
    // The simulated provider has none.
    expect((await post(await secretOf(await mint()), calls, "v=0")).status).toBe(404);
    const seen = provider.requests.findLast(({ path }) => path === calls);
    expect(seen?.headers["authorization"]).toMatch(/^Bearer ek_[0-9a-f]{32}$/);
  });
});

test("no secret and no key for a browser is in a log or in the audit", async () => {
  const secret = await secretOf(await mint());
  (await open(secret)).terminate();
  await refused(`${secret}x`);
  await fetch(`${node.url}/v1/models?trace=${secret}`);
  const key = dialled()?.headers["authorization"]?.slice("Bearer ".length) ?? "";
  expect(key).toStartWith("ek_");
  await node.logged(({ event, code }) => event === "request_refused" && code === "token_missing");
  const told = JSON.stringify(node.log) + (await sluice("audit", "list", "--json"));
  for (const hidden of [secret, secret.slice(60, 120), key]) expect(told).not.toContain(hidden);
});
