/**
 * What becomes of a coding agent that asks for fast mode on a WebSocket: it is answered, or stops
 * at once. Nothing that it does by itself afterwards gets the tier past the policy.
 */

import { beforeEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { runCodex } from "./codex_client.ts";
import { type Node, nodeForFile, openaiConfig } from "./harness.ts";

const RETRIES = 3;
const PRIORITY = { service_tier: "priority" };
const BLOCK = { ...PRIORITY, action: "block", error_message: "Fast mode is not on your plan" };
const FAIL_TURN = { ...BLOCK, on_block: "fail_turn" };

let provider: Mock;
let node: Node;
let token: string;

nodeForFile(openaiConfig, (started) => {
  ({ provider, node } = started);
});

beforeEach(async () => {
  provider.clear();
  token = await node.mint();
});

const run = (more: { afterWarmUp?: () => Promise<void>; mock?: string } = {}) =>
  runCodex({ url: node.url, token, retries: RETRIES, ...more });

/** The tiers that the upstream read, in order; undefined: a turn without one. */
function tiersReceived(): unknown[] {
  return provider.requests.flatMap(({ method, body, frames }) => {
    const texts = method === "GET" ? frames : [new TextDecoder().decode(body)];
    return texts.map((text) => JSON.parse(String(text)).service_tier);
  });
}

describe("an agent that asks for fast mode", () => {
  test.each([
    ["pass", [], "priority"],
    ["filter", [{ ...PRIORITY, action: "filter" }], undefined],
    ["force", [{ ...PRIORITY, action: "force", force_tier: "flex" }], "flex"],
  ] as const)("is answered on one connection where rules %s", async (_title, rules, sent) => {
    await node.setRules(...rules);
    expect(await run()).toEqual({ isAnswered: true, said: null, connections: 1, posts: 0 });
    expect(tiersReceived()).toEqual([sent, sent]);
  });

  test.each([
    ["closes the session", BLOCK],
    ["fails the turn", FAIL_TURN],
  ])("stops where a rule %s, with the words of the rule", async (_title, rule) => {
    await node.setRules(rule);
    const { isAnswered, said, connections, posts } = await run();
    expect([isAnswered, posts]).toEqual([false, 0]);
    expect(said).toContain("Fast mode is not on your plan");
    // The warm-up was refused on the first, the turn on the second.
    expect(connections).toBe(2);
    expect(tiersReceived()).toEqual([]);
  });

  test.each([
    ["closes the session", BLOCK],
    ["fails the turn", FAIL_TURN],
  ])("stops on the connection it has when a new rule %s", async (_title, rule) => {
    await node.setRules();
    const { isAnswered, said, connections, posts } = await run({
      afterWarmUp: () => node.setRules(rule),
    });
    expect([isAnswered, connections, posts]).toEqual([false, 1, 0]);
    expect(said).toContain("Fast mode is not on your plan");
    expect(tiersReceived()).toEqual(["priority"]);
  });

  test("goes on without the tier when a new rule filters it", async () => {
    await node.setRules();
    const rule = { ...PRIORITY, action: "filter" };
    const filtered = await run({ afterWarmUp: () => node.setRules(rule) });
    expect(filtered).toMatchObject({ isAnswered: true, connections: 1, posts: 0 });
    expect(tiersReceived()).toEqual(["priority", undefined]);
  });

  test("gets nothing past the policy by connecting again and posting at last", async () => {
    await node.setRules({ ...PRIORITY, action: "filter" });
    const { isAnswered, connections, posts } = await run({ mock: "close=1011,after=1" });
    expect({ isAnswered, connections, posts }).toEqual({
      isAnswered: true,
      connections: 2 + RETRIES,
      posts: 1,
    });
    expect(tiersReceived()).toEqual(Array(3 + RETRIES).fill(undefined));
  });
});
