/** The service tier policy where Anthropic and Google have their own names for a tier. */

import { beforeEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { dialectsConfig, type Node, nodeForFile } from "./harness.ts";
import { type Client, connect } from "./ws_client.ts";

const MESSAGES = "/v1/messages";
const GENERATE = "/v1beta/models/gemini-3-flash:generateContent";
const LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
const PRIORITY = { service_tier: "priority" };
const BLOCK = { ...PRIORITY, action: "block", error_message: "Not on this plan" };
const CONTENTS = { contents: [{ role: "user", parts: [{ text: "Go" }] }] };
const MESSAGE = { model: "claude-opus-4-6", max_tokens: 9, messages: [] };

let provider: Mock;
let node: Node;
let token: string;

nodeForFile(dialectsConfig, async (started) => {
  ({ provider, node } = started);
  token = await node.mint();
});

beforeEach(() => provider.clear());

async function post(path: string, body: object, headers = {}) {
  const answer = await fetch(`${node.url}${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
  const tiers = answer.headers.get("x-sluice-service-tier");
  return { status: answer.status, tiers, body: await answer.json() };
}

function textOf(message: string | ArrayBuffer | Uint8Array): string {
  return typeof message === "string" ? message : new TextDecoder().decode(message);
}

function received(): Record<string, unknown>[] {
  return provider.requests.flatMap(({ method, body, frames }) => {
    const sent = method === "GET" ? frames : [body];
    return sent.map((one) => JSON.parse(textOf(one)));
  });
}

describe("a request", () => {
  const ANTHROPIC = { type: "error", error: { type: "permission_error" } };
  const GEMINI = { error: { code: 403, status: "PERMISSION_DENIED" } };
  const BETA = { "anthropic-beta": "fast-mode-2026-02-01" };

  test.each([
    [MESSAGES, { ...MESSAGE, speed: "fast" }, {}, ANTHROPIC],
    [MESSAGES, { ...MESSAGE, service_tier: "priority" }, {}, ANTHROPIC],
    [MESSAGES, MESSAGE, BETA, ANTHROPIC],
    [GENERATE, { ...CONTENTS, serviceTier: "priority" }, {}, GEMINI],
    [GENERATE, { ...CONTENTS, service_tier: "PRIORITY" }, {}, GEMINI],
  ])("to %s is blocked in the words of its caller: %j %j", async (path, body, headers, shape) => {
    await node.setRules(BLOCK);
    const answer = await post(path, body, headers);
    expect(answer.status).toBe(403);
    expect(answer.body).toMatchObject(shape);
    expect(answer.body.error.message).toBe("Not on this plan");
    expect(received()).toEqual([]);
  });

  test.each([
    [MESSAGES, MESSAGE, { speed: "fast" }, "fast;none"],
    [GENERATE, CONTENTS, { serviceTier: "priority" }, "priority;none"],
    [GENERATE, CONTENTS, { service_tier: " fast" }, " fast;none"],
  ])(
    "to %s goes on without its tier where a rule filters: %j %j",
    async (path, body, tier, said) => {
      await node.setRules({ ...PRIORITY, action: "filter" });
      expect((await post(path, { ...body, ...tier })).tiers).toBe(said.trim());
      expect(received()).toEqual([body]);
    },
  );
});

describe("a Live session", () => {
  const open = () => connect(node.url, LIVE, { authorization: `Bearer ${token}` });
  const setup = (tier: object) =>
    JSON.stringify({ setup: { model: "models/gemini-live-2.5-flash", ...tier } });
  const INPUT = JSON.stringify({ clientContent: { turns: CONTENTS.contents, turnComplete: true } });
  /** Reads up to the message that has this. */
  async function until(client: Client, part: string): Promise<void> {
    while (!textOf(await client.nextMessage()).includes(part));
  }

  test("is set up without the tier that a rule filters", async () => {
    await node.setRules({ ...PRIORITY, action: "filter" });
    const client = await open();
    client.send(new TextEncoder().encode(setup({ service_tier: "priority" })));
    await until(client, "setupComplete");
    client.send(INPUT);
    await until(client, "turnComplete");
    client.close();
    expect(received()[0]).toEqual(JSON.parse(setup({})));
  });

  test("is closed where a rule blocks its tier, before the upstream hears of it", async () => {
    await node.setRules({ ...BLOCK, on_block: "fail_turn" });
    const client = await open();
    client.send(setup({ serviceTier: "priority" }));
    expect(await client.closed).toEqual({ code: 1008, reason: "Not on this plan" });
    expect(received()).toEqual([]);
  });

  test("is closed where a new policy takes away the tier that it was set up with", async () => {
    await node.setRules();
    const client = await open();
    client.send(setup({ serviceTier: "priority" }));
    await until(client, "setupComplete");
    client.send(INPUT);
    await until(client, "turnComplete");
    await node.setRules({ ...PRIORITY, action: "filter" });
    client.send(INPUT);
    expect((await client.closed).code).toBe(1008);
    expect(received()).toHaveLength(2);
  });
});
