/**
 * Batches are no way around what holds for each of their requests: the service tier policy, and the
 * models and tiers of a token.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";

import { dialectsConfig, type Node, startNode } from "./harness.ts";

const ANTHROPIC = "/v1/messages/batches";
const GEMINI = "/v1beta/models/gemini-3-flash:batchGenerateContent";
const PRIORITY = { service_tier: "priority" };

/** The bodies that the upstream read, and the betas beside each. */
const received: string[] = [];
const betas: (string | null)[] = [];

const upstream = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    received.push(await request.text());
    betas.push(request.headers.get("anthropic-beta"));
    return Response.json({ id: "batch_1" });
  },
});

let node: Node;

beforeAll(async () => {
  node = await startNode({ config: dialectsConfig(upstream.url.origin) });
});

afterAll(async () => {
  await node.stop();
  await upstream.stop();
});

beforeEach(() => {
  received.length = 0;
  betas.length = 0;
});

async function post(path: string, text: string, options: readonly string[] = [], headers = {}) {
  const token = await node.sluice(["token", "mint", ...options]);
  return await fetch(`${node.url}${path}`, {
    method: "POST",
    body: text,
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
}

const anthropic = (...params: readonly object[]) =>
  JSON.stringify({ requests: params.map((one, id) => ({ custom_id: `${id}`, params: one })) });
const gemini = (...requests: readonly object[]) =>
  JSON.stringify({
    batch: { input_config: { requests: { requests: requests.map((request) => ({ request })) } } },
  });

const FAST = { model: "claude-opus-4-6", max_tokens: 9, speed: "fast", messages: [] };
const { speed: _, ...USUAL } = FAST;

describe("a batch", () => {
  test("has each of its requests filtered, and nothing else changed", async () => {
    await node.setRules({ ...PRIORITY, action: "filter", model_whitelist: ["claude-opus*"] });
    const other = { ...FAST, model: "claude-fable-5-2" };
    await post(ANTHROPIC, anthropic(USUAL, FAST, other), [], {
      "anthropic-beta": "a-1,fast-mode-2026-02-01",
    });
    const cheap = { serviceTier: "flex", contents: [] };
    await post(GEMINI, gemini(cheap, { ...cheap, serviceTier: "priority" }));
    expect(received).toEqual([
      anthropic(USUAL, USUAL, other),
      gemini(cheap, { ...cheap, serviceTier: "priority" }),
    ]);
    expect(betas).toEqual(["a-1", null]);
  });

  test.each([
    [ANTHROPIC, anthropic(USUAL, FAST)],
    [ANTHROPIC, anthropic({ ...USUAL, service_tier: " PRIORITY" })],
    [ANTHROPIC, anthropic(FAST).replace('"speed"', String.raw`"\u0073peed"`)],
    [GEMINI, gemini({}, { service_tier: "priority" })],
    [GEMINI, gemini({ generationConfig: { serviceTier: "PRIORITY" } })],
  ])("to %s is blocked as a whole with one of its requests: %s", async (path, text) => {
    await node.setRules({ ...PRIORITY, action: "block" });
    expect((await post(path, text)).status).toBe(403);
    expect(received).toEqual([]);
  });

  test("is held to a token's models and tiers in each of its requests", async () => {
    await node.setRules();
    const models = ["--model", "claude-opus-*"];
    const other = anthropic(USUAL, { ...USUAL, model: "claude-haiku-4-5" });
    expect((await post(ANTHROPIC, other, models)).status).toBe(403);
    expect((await post(ANTHROPIC, anthropic({ max_tokens: 9 }), models)).status).toBe(403);
    const tiers = ["--tier", "default"];
    expect((await post(ANTHROPIC, anthropic(USUAL, FAST), tiers)).status).toBe(403);
    expect(received).toEqual([]);
    const mixed = anthropic(USUAL, { ...USUAL, model: "claude-opus-5-5" });
    await post(ANTHROPIC, mixed, models);
    expect(received).toEqual([mixed]);
  });

  test.each([
    ["/v1/batches", '{"input_file_id":"file-1","endpoint":"/v1/responses"}'],
    [GEMINI, '{"batch":{"inputConfig":{"fileName":"files/1"}}}'],
  ])(
    "to %s whose requests stand in a file is for whoever may have any tier",
    async (path, text) => {
      await node.setRules({ ...PRIORITY, action: "filter" });
      await post(path, text);
      expect(received).toEqual([text]);
      expect((await post(path, text, ["--tier", "flex"])).status).toBe(403);
      await node.setRules({ ...PRIORITY, action: "block" });
      const refused = await post(path, text);
      expect([refused.status, await refused.text()]).toEqual([
        403,
        expect.stringContaining("file"),
      ]);
      expect(received).toEqual([text]);
    },
  );
});
