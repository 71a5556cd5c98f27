/**
 * The executable with several providers: whom it asks when one of them fails, and whom it leaves
 * alone.
 */

import { afterEach, describe, expect, test } from "bun:test";

import { type Node, startNode, startProvider, usageEvents } from "./harness.ts";
import { rawUpstream, type RawUpstream } from "./raw_upstream.ts";
import { connect } from "./ws_client.ts";

const ANSWER = '{"id":"resp_1","object":"response","status":"completed","usage":null}';

let node: Node | null = null;
const upstreams: RawUpstream[] = [];

afterEach(async () => {
  await node?.stop();
  node = null;
  for (const upstream of upstreams.splice(0)) upstream.stop();
});

/** An upstream that gives each request the same answer. */
async function answering(status: string, body: string, headers = ""): Promise<RawUpstream> {
  const upstream = await rawUpstream((socket) => {
    socket.write(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n${headers}` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
  });
  upstreams.push(upstream);
  return upstream;
}

function provider(name: string, url: string, more = ""): string {
  return `  - {name: ${name}, type: openai, endpoint: "${url}", api_key: sk-x${more}}\n`;
}

async function start(config: string): Promise<string> {
  node = await startNode({ config });
  return await node.mint();
}

async function ask(
  token: string,
  path = "/v1/responses",
  more: Record<string, string> = {},
  body = '{"model":"m","input":"x"}',
): Promise<Response> {
  if (node === null) throw new Error("No node runs");
  return await fetch(`${node.url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...more },
    body,
  });
}

describe("a node with several providers", () => {
  test("(trap 16) leaves one alone whose answers fail, and asks the other", async () => {
    const bad = await answering("503 Unavailable", "{}");
    const good = await answering("200 OK", ANSWER);
    const token = await start(
      "circuit_breaker: {failures: 2, cooldown: 1h}\nproviders:\n" +
        provider("bad", bad.url, ", priority: 1") +
        provider("good", good.url),
    );
    const taken: (string | null)[] = [];
    for (let count = 0; count < 5; count += 1) {
      taken.push((await ask(token)).headers.get("x-sluice-provider"));
    }
    expect(taken.slice(2)).toEqual(["good", "good", "good"]);
    expect(node?.log.filter(({ event }) => event === "circuit_opened")).toHaveLength(1);
  });

  test("answers 503 with retry-after when the only one is left alone", async () => {
    const bad = await answering("503 Unavailable", "{}");
    const token = await start(
      `circuit_breaker: {failures: 2, cooldown: 30s}\nproviders:\n${provider("bad", bad.url)}`,
    );
    await ask(token);
    await ask(token);
    const answer = await ask(token);
    const { error } = await answer.json();
    expect([answer.status, error.code]).toEqual([503, "circuit_open"]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(28);
  });

  test("a dial that fails counts too, and goes on to the next", async () => {
    const bad = await answering("502 Bad Gateway", "{}");
    const good = await answering("503 Unavailable", "{}");
    const token = await start(
      "circuit_breaker: {failures: 1, cooldown: 1h, statuses: [502]}\nproviders:\n" +
        provider("bad", bad.url, ", priority: 1") +
        provider("good", good.url),
    );
    for (let count = 0; count < 2; count += 1) {
      await connect(node?.url ?? "", "/v1/responses", { authorization: `Bearer ${token}` }).catch(
        () => {},
      );
    }
    const dials = [bad, good].map((one) => one.received().split("Sec-WebSocket-Key").length - 1);
    expect(dials).toEqual([1, 2]);
  });

  test("keeps to allowed_endpoints and allowed_methods, by whole segments", async () => {
    const good = await answering("200 OK", ANSWER);
    const lists = ", allowed_endpoints: [/v1/responses], allowed_methods: [POST]";
    const token = await start(`providers:\n${provider("good", good.url, lists)}`);
    expect((await ask(token)).status).toBe(200);
    expect((await ask(token, "/v1/chat/completions")).status).toBe(404);
    const headers = { authorization: `Bearer ${token}` };
    const got = await fetch(`${node?.url}/v1/responses`, { headers });
    expect([got.status, got.headers.get("allow")]).toEqual([405, "POST"]);
  });

  test("takes one out that a health check finds down", async () => {
    const bad = await answering("500 Internal Server Error", "{}");
    const good = await answering("200 OK", ANSWER);
    const check = ", health_check: {path: /v1/models}";
    const token = await start(
      "health_check: {enabled: true, interval: 1s}\nproviders:\n" +
        provider("bad", bad.url, `, priority: 1${check}`) +
        provider("good", good.url, check),
    );
    await node?.logged(({ event }) => event === "health_check_failed");
    expect((await ask(token)).headers.get("x-sluice-provider")).toBe("good");
  });

  test("asks the provider that made a response about it", async () => {
    const [one, two] = [await answering("200 OK", ANSWER), await answering("200 OK", ANSWER)];
    const token = await start(`providers:\n${provider("one", one.url)}${provider("two", two.url)}`);
    const made = (await ask(token)).headers.get("x-sluice-provider");
    await node?.logged(({ event }) => event === "relay_turn_completed");
    const headers = { authorization: `Bearer ${token}` };
    const asked = new Set<string | null>();
    for (let count = 0; count < 20; count += 1) {
      const got = await fetch(`${node?.url}/v1/responses/resp_1`, { headers });
      asked.add(got.headers.get("x-sluice-provider"));
    }
    expect([...asked]).toEqual([made]);
  });

  test("tells a stranger the same of a host that is not served as of one that is", async () => {
    const good = await answering("200 OK", ANSWER);
    const token = await start(`providers:\n${provider("good", good.url, ", host: a.example")}`);
    const told = async (host: string, path: string, bearer: string, method = "GET") => {
      const headers = { host, authorization: `Bearer ${bearer}` };
      const got = await fetch(`${node?.url}${path}`, { headers, method });
      const body = (await got.text()).replace(/ex_[0-9a-f]+/g, "ID");
      const names = [...got.headers.keys()].filter((name) => name !== "date");
      return [got.status, body, names] as const;
    };
    for (const path of ["/v1/models", "/v1/messages", "/v1beta/models?key=x", "/nothing"]) {
      for (const method of ["GET", "POST", "DELETE"]) {
        const here = await told("a.example", path, "sk-wrong", method);
        expect(await told("b.example", path, "sk-wrong", method)).toEqual(here);
        expect(here[0]).toBeGreaterThanOrEqual(401);
      }
    }
    const known = ["a.example", "b.example"].map((host) => told(host, "/v1/models", token));
    expect((await Promise.all(known)).map(([status]) => status)).toEqual([200, 404]);
  });

  test.each([
    ["503", "503 Unavailable"],
    ["429", "429 Too Many Requests"],
  ])("asks the next one where the first answers %s, and records one turn", async (_, status) => {
    const bad = await answering(status, "{}");
    const good = await answering("200 OK", ANSWER);
    const token = await start(
      `providers:\n${provider("bad", bad.url, ", priority: 1")}${provider("good", good.url)}`,
    );
    const answer = await ask(token);
    expect([answer.status, answer.headers.get("x-sluice-provider")]).toEqual([200, "good"]);
    expect(bad.received()).toContain('"input":"x"');
    if (node === null) throw new Error("No node runs");
    const events = await usageEvents(node, 1);
    expect(events).toMatchObject([{ provider: "good", status: "completed" }]);
  });

  test("gives the last one's answer where none does better", async () => {
    const [one, other] = [await answering("503 One", "{}"), await answering("500 Other", "{}")];
    const token = await start(
      `providers:\n${provider("one", one.url, ", priority: 1")}${provider("other", other.url)}`,
    );
    const answer = await ask(token);
    expect([answer.status, answer.headers.get("x-sluice-provider")]).toEqual([500, "other"]);
  });

  test("asks no other where retry.on or attempts says so", async () => {
    const bad = await answering("503 Unavailable", "{}");
    const good = await answering("200 OK", ANSWER);
    const both = `${provider("bad", bad.url, ", priority: 1")}${provider("good", good.url)}`;
    for (const retry of ["{on: [connect]}", "{attempts: 1}"]) {
      const token = await start(`retry: ${retry}\nproviders:\n${both}`);
      expect((await ask(token)).status).toBe(503);
      await node?.stop();
    }
  });

  test("a refused request leaves the probe of an open circuit to the next one", async () => {
    const upstream = await startProvider();
    const token = await start(
      "circuit_breaker: {failures: 1, cooldown: 1s}\n" +
        "service_tier_policy: {rules: [{service_tier: priority, action: block}]}\n" +
        `providers:\n${provider("one", upstream.url)}`,
    );
    expect((await ask(token, "/v1/responses", { "x-mock": "status=503" })).status).toBe(503);
    await Bun.sleep(1_100);
    const blocked = '{"model":"m","input":"x","service_tier":"priority"}';
    expect((await ask(token, "/v1/responses", {}, blocked)).status).toBe(403);
    expect((await ask(token)).status).toBe(200);
    await upstream.stop();
  });

  test("what was received and bills nothing is not sent to another", async () => {
    const dropping = await rawUpstream((socket) => socket.end());
    const good = await answering("200 OK", "{}");
    upstreams.push(dropping);
    const token = await start(
      `providers:\n${provider("bad", dropping.url, ", priority: 1")}${provider("good", good.url)}`,
    );
    expect((await ask(token, "/v1/batches/b1/cancel")).status).toBe(502);
    expect(good.received()).toBe("");
    expect((await ask(token)).status).toBe(200);
  });

  test("an answer stands where the policy keeps the request from the next one", async () => {
    const bad = await answering("500 Internal Server Error", "{}");
    const good = await answering("200 OK", ANSWER);
    const rule = "{service_tier: priority, action: block, scope: oauth}";
    const token = await start(
      `service_tier_policy: {rules: [${rule}]}\nproviders:\n` +
        provider("bad", bad.url, ", priority: 1") +
        provider("good", good.url, ", credential_kind: oauth"),
    );
    const asked = '{"model":"m","input":"x","service_tier":"priority"}';
    const answer = await ask(token, "/v1/responses", {}, asked);
    expect([answer.status, answer.headers.get("x-sluice-provider")]).toEqual([500, "bad"]);
    expect(good.received()).toBe("");
    if (node === null) throw new Error("No node runs");
    expect(await usageEvents(node, 1)).toMatchObject([{ status: "error", settled_micros: 0 }]);
  });
});
