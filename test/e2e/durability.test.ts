/**
 * The ledger under death: a node is killed with SIGKILL while clients run turns. What a client saw
 * end is in the ledger once afterwards, with its usage; what was running is there as `interrupted`.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { Prng } from "../support/prng.ts";
import {
  cleanUp,
  type Node,
  openaiConfig,
  startNode,
  startProvider,
  temporaryFolder,
} from "./harness.ts";
import { connect } from "./ws_client.ts";

let provider: Mock;
let dataDir: string;

beforeAll(async () => {
  provider = await startProvider();
  dataDir = await temporaryFolder();
});

afterAll(async () => {
  await provider.stop();
  await cleanUp(dataDir);
});

/** Ids of the responses whose terminal event some client saw, with their output tokens. */
type Seen = Map<string, number>;

async function runTurns(node: Node, token: string, seen: Seen): Promise<void> {
  try {
    const client = await connect(node.url, "/v1/responses", {
      authorization: `Bearer ${token}`,
      "x-mock": "tokens=2,delay=each:1ms",
    });
    for (;;) {
      client.send(JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Go" }));
      const text = await client.until((message) => message.includes('"response.completed"'));
      const { response } = JSON.parse(text);
      seen.set(response.id, response.usage.output_tokens);
    }
  } catch {
    // The node was killed under this client, which is the point.
  }
}

async function runRequests(node: Node, token: string, seen: Seen): Promise<void> {
  try {
    for (;;) {
      const answer = await fetch(`${node.url}/v1/responses`, {
        method: "POST",
        body: JSON.stringify({ model: "gpt-5.5", input: "Go" }),
        headers: { authorization: `Bearer ${token}` },
      });
      const response = await answer.json();
      seen.set(response.id, response.usage.output_tokens);
    }
  } catch {
    // As above.
  }
}

test("kill -9 at any moment loses no turn a client saw end, and counts none twice", async () => {
  const random = new Prng(20261120);
  const seen: Seen = new Map();
  let token = "";
  for (let round = 0; round < 5; round += 1) {
    const node = await startNode({ dataDir, config: openaiConfig(provider.url) });
    if (token === "") token = await node.mint();
    const clients = [
      ...Array.from({ length: 4 }, () => runTurns(node, token, seen)),
      ...Array.from({ length: 2 }, () => runRequests(node, token, seen)),
    ];
    await Bun.sleep(random.int(150, 600));
    node.kill("SIGKILL");
    await Promise.all(clients);
    await node.exited;
  }
  const last = await startNode({ dataDir, config: openaiConfig(provider.url) });
  const events = await allEvents(last);
  const completed = events.filter((event) => event["status"] === "completed");
  const byResponse = new Map(completed.map((event) => [event["response_id"], event]));
  expect(seen.size).toBeGreaterThan(50);
  for (const [id, outputTokens] of seen) {
    expect(byResponse.get(id)?.["output_tokens"]).toBe(outputTokens);
  }
  expect(new Set(events.map((event) => event["event_id"])).size).toBe(events.length);
  expect(byResponse.size).toBe(completed.length);
  for (const event of events) {
    if (event["status"] === "completed") continue;
    expect(event).toMatchObject({ status: "interrupted", output_tokens: null });
  }
  last.kill("SIGKILL");
  await last.exited;
}, 60_000);

/** Every usage event, page by page, once nothing is left in the spool. */
async function allEvents(node: Node): Promise<Record<string, unknown>[]> {
  const admin = await Bun.file(`${node.dataDir}/admin.json`).json();
  const read = async (path: string) => {
    const headers = { authorization: `Bearer ${admin.token}` };
    return await (await fetch(`${admin.url}/manage/${path}`, { headers })).json();
  };
  const deadline = Date.now() + 10_000;
  while ((await read("status")).ledger.spoolBytes > 0 && Date.now() < deadline) await Bun.sleep(50);
  const events: Record<string, unknown>[] = [];
  let cursor = "";
  do {
    const page = await read(`usage/events?limit=1000${cursor}`);
    events.push(...page.events);
    cursor = page.next_cursor === null ? "" : `&cursor=${encodeURIComponent(page.next_cursor)}`;
  } while (cursor !== "");
  return events;
}
