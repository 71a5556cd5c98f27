/**
 * Every case of the service tier policy, over HTTP and over a WebSocket, by what the upstream
 * reads: the request as it came but for the one field, or nothing at all.
 */

import { describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { type Node, nodeForFile, openaiConfig } from "./harness.ts";
import { connect } from "./ws_client.ts";

let provider: Mock;
let node: Node;
let token: string;

nodeForFile(openaiConfig, async (started) => {
  ({ provider, node } = started);
  token = await node.mint();
});

/** What is left of a field: another value, no field, the field as it came; or the refusal. */
type Outcome = { readonly sent: string | null } | "same" | { readonly refused: string };

interface Case {
  /** The field's value as JSON. */
  readonly tier: string;
  readonly model?: string;
  readonly becomes: Outcome;
}

interface Group {
  readonly title: string;
  /** Null: the default, which nobody set. */
  readonly policy: object | null;
  readonly cases: readonly Case[];
}

const OUT = { sent: null };
const FILTER = { service_tier: "priority", action: "filter" };
const BLOCK = { service_tier: "priority", action: "block" };
const SAID = "openai service_tier=priority is not allowed for model";
const UNRECOGNISED = ["1", "null", "{}", "[]", "true"];
const CHEAP = "gpt-5-mini";

const GROUPS: readonly Group[] = [
  {
    title: "the default",
    policy: null,
    cases: [
      { tier: '"priority"', becomes: OUT },
      { tier: '"  Fast  "', becomes: OUT },
      { tier: '"\\u0066ast"', becomes: OUT },
      { tier: '"ultrafast"', becomes: OUT },
      { tier: '"flex"', becomes: "same" },
      { tier: '"turbo"', becomes: "same" },
      ...UNRECOGNISED.map((tier) => ({ tier, becomes: "same" as const })),
    ],
  },
  {
    title: "no rules",
    policy: { rules: [] },
    cases: [
      { tier: '"fast"', becomes: { sent: '"priority"' } },
      { tier: '" FLEX "', becomes: { sent: '"flex"' } },
      { tier: '"priority"', becomes: "same" },
      { tier: '"auto"', becomes: "same" },
      { tier: '"scale"', becomes: "same" },
    ],
  },
  {
    title: "a block",
    policy: { rules: [BLOCK] },
    cases: [
      { tier: '"fast"', becomes: { refused: `${SAID} gpt-5.5` } },
      { tier: '"flex"', becomes: "same" },
    ],
  },
  {
    title: "the first rule that matches",
    policy: {
      rules: [{ ...FILTER, model_whitelist: ["gpt-5.5*"], fallback_action: "pass" }, BLOCK],
    },
    cases: [
      { tier: '"priority"', becomes: OUT },
      { tier: '"priority"', model: "gpt-5.5-pro", becomes: OUT },
      { tier: '"priority"', model: CHEAP, becomes: "same" },
      { tier: '"priority"', model: "GPT-5.5", becomes: "same" },
    ],
  },
  {
    title: "a fallback that blocks, with its own words",
    policy: {
      rules: [
        {
          ...FILTER,
          model_whitelist: ["gpt-5.5"],
          fallback_action: "block",
          fallback_error_message: "Only gpt-5.5",
        },
      ],
    },
    cases: [
      { tier: '"priority"', becomes: OUT },
      { tier: '"priority"', model: CHEAP, becomes: { refused: "Only gpt-5.5" } },
    ],
  },
  {
    title: "a scope that is another's",
    policy: {
      rules: [
        { ...BLOCK, scope: "oauth" },
        { ...FILTER, scope: "apikey" },
      ],
    },
    cases: [{ tier: '"priority"', becomes: OUT }],
  },
  {
    title: "a rule for all",
    policy: { rules: [{ service_tier: "all", action: "force", force_tier: "flex" }] },
    cases: [
      { tier: '"default"', becomes: { sent: '"flex"' } },
      { tier: '"turbo"', becomes: { sent: '"flex"' } },
      { tier: '"flex"', becomes: "same" },
      { tier: "1", becomes: "same" },
    ],
  },
  {
    title: "a project's rule before the others'",
    policy: { rules: [BLOCK, { ...FILTER, projects: ["default"] }] },
    cases: [{ tier: '"priority"', becomes: OUT }],
  },
  {
    title: "a tier that nobody knows",
    policy: { rules: [], unknown_tier: "filter" },
    cases: [
      { tier: '"turbo"', becomes: OUT },
      { tier: '"default"', becomes: "same" },
    ],
  },
  {
    title: "a shadow",
    policy: { rules: [{ ...BLOCK, shadow: true }] },
    cases: [{ tier: '"priority"', becomes: "same" }],
  },
];

/** A request in which all else would show that it was written anew. */
function textOf(head: string, field: string, model: string): string {
  return `{ ${head}"n" : 1.50, ${field}"model":"${model}" ,\n"input":"\\u0047o \\/ é", "a":{} }`;
}

const fieldOf = (tier: string | null) => (tier === null ? "" : `"service_tier" : ${tier} , `);

function received(): string[] {
  return provider.requests.flatMap(({ method, body, frames }) =>
    method === "GET" ? frames.map(String) : [new TextDecoder().decode(body)],
  );
}

/** What a refused client reads, and null where it is answered. */
async function overHttp(text: string): Promise<string | null> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${node.url}/v1/responses`, { method: "POST", body: text, headers });
  const said = await answer.text();
  if (answer.status === 200 || answer.status === 400) return null;
  expect(answer.status).toBe(403);
  expect(JSON.parse(said).error).toMatchObject(POLICY);
  return JSON.parse(said).error.message;
}

const POLICY = { type: "forbidden_error", code: "policy_violation", param: "service_tier" };
const eventIds = new Set<string>();

async function overWebSocket(text: string): Promise<string | null> {
  const client = await connect(node.url, "/v1/responses", { authorization: `Bearer ${token}` });
  client.send(text);
  const event = JSON.parse(await client.until((one) => /"type":"(error|.*completed)"/.test(one)));
  if (event.error?.code !== "policy_violation") {
    client.close();
    return null;
  }
  expect(event).toMatchObject({ type: "error", status: 400, error: POLICY });
  expect(event.event_id).toMatch(/^evt_[0-9a-f]{32}$/);
  expect(eventIds.has(event.event_id)).toBe(false);
  eventIds.add(event.event_id);
  expect(await client.closed).toEqual({ code: 1008, reason: event.error.message });
  return event.error.message;
}

const TRANSPORTS = [
  { transport: "HTTP", head: "", send: overHttp },
  { transport: "WebSocket", head: '"type":"response.create",', send: overWebSocket },
] as const;

describe.each(TRANSPORTS)("over $transport", ({ head, send }) => {
  test.each([...GROUPS])("$title decides", async ({ policy, cases }) => {
    if (policy === null) await node.sluice(["policy", "reset"]);
    else await node.sluice(["policy", "set", "-"], JSON.stringify(policy));
    for (const { tier, model = "gpt-5.5", becomes } of cases) {
      provider.clear();
      const text = textOf(head, fieldOf(tier), model);
      const said = await send(text);
      const isRefused = typeof becomes === "object" && "refused" in becomes;
      expect([tier, said]).toEqual([tier, isRefused ? becomes.refused : null]);
      if (isRefused) expect(received()).toEqual([]);
      else {
        const sent = becomes === "same" ? tier : becomes.sent;
        expect(received()).toEqual([textOf(head, fieldOf(sent), model)]);
      }
    }
  });
});
