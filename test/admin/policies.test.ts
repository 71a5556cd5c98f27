/** /manage/policies/service-tier: what is in force, its versions, and what it would decide. */

import { describe, expect, test } from "bun:test";

import { CurrentPolicy } from "../../src/policy/current_policy.ts";
import { type AdminSetup, setUpAdmin, setUpAdminOver, VIEWER_TOKEN } from "../support/admin.ts";
import { auditLine, type Case, testAnswers } from "../support/admin_cases.ts";
import { ApiDocument } from "../support/openapi.ts";

const PATH = "/manage/policies/service-tier";
const BLOCK_FLEX = { rules: [{ service_tier: "flex", action: "block", error_message: "No flex" }] };
const PASS_ALL = { rules: [] };

const CASES: readonly Case[] = [
  {
    what: "the default, where nothing was set",
    method: "GET",
    path: PATH,
    status: 200,
    has: ['{"version":0,"source":"default","policy":{"rules":[{"service_tier":"priority"'],
  },
  {
    what: "a policy that is put, with its defaults",
    method: "PUT",
    path: PATH,
    body: { rules: [{ service_tier: " FAST", action: "force", force_tier: "flex" }] },
    status: 200,
    has: ['{"version":1,"source":"stored"', '"service_tier":"priority","action":"force"'],
    audit: ["policy.put policy:service-tier done"],
  },
  {
    what: "a policy without a body",
    method: "PUT",
    path: PATH,
    status: 400,
    has: ["The body is empty"],
    audit: ["policy.put policy:service-tier refused"],
  },
  {
    what: "an empty policy",
    method: "PUT",
    path: PATH,
    body: {},
    status: 400,
    has: ['"problems":[{"path":"rules","message":"is required; [] lets every tier pass"}]'],
    audit: ["policy.put policy:service-tier refused"],
  },
  {
    what: "every problem of a policy, at its place",
    method: "PUT",
    path: PATH,
    body: {
      rules: [
        { service_tier: "flex", action: "force" },
        { service_tier: "all", action: "drop" },
      ],
      mode: 1,
    },
    status: 400,
    has: [
      "rules[0].force_tier is required where the action is force; rules[1].action must be",
      '{"path":"mode","message":"is not known. Known: rules, unknown_tier"}',
      '{"path":"rules[1].action","message":"must be pass, filter, block, force, not \\"drop\\""}',
    ],
    audit: ["policy.put policy:service-tier refused"],
  },
  {
    what: "a policy that is no object",
    method: "PUT",
    path: PATH,
    body: [],
    status: 400,
    has: ['{"path":"","message":"must be a JSON object, not a list"}'],
    audit: ["policy.put policy:service-tier refused"],
  },
  {
    what: "a reset of what is not there",
    method: "DELETE",
    path: PATH,
    status: 200,
    has: ['"version":0,"source":"default"'],
  },
  {
    what: "no versions",
    method: "GET",
    path: `${PATH}/versions`,
    status: 200,
    has: ['{"versions":[],"next_cursor":null}'],
  },
  {
    what: "a version that is not there",
    method: "GET",
    path: `${PATH}/versions/7`,
    status: 404,
    has: ['Version \\"7\\" not found'],
  },
  {
    what: "a version that is no number",
    method: "GET",
    path: `${PATH}/versions/newest`,
    status: 404,
  },
  {
    what: "a restore of what is not there",
    method: "POST",
    path: `${PATH}/restore`,
    body: { version: 7 },
    status: 404,
    audit: ["policy.restore policy:service-tier refused"],
  },
  {
    what: "what becomes of a tier",
    method: "POST",
    path: `${PATH}/evaluate`,
    body: { tier: "fast", model: "gpt-5.5", project_id: "web", credential_kind: "oauth" },
    status: 200,
    has: [
      '{"decision":{"action":"filter","tier":null,"rule":0,"reason":"action","message":null,' +
        '"on_block":"close"},"shadow":[],"policy_version":0,"refusal":null}',
    ],
  },
  {
    what: "an evaluation without a tier",
    method: "POST",
    path: `${PATH}/evaluate`,
    body: { model: "gpt-5.5" },
    status: 400,
    has: ['\\"tier\\" is missing'],
  },
  {
    what: "an evaluation for a kind of credential that there is not",
    method: "POST",
    path: `${PATH}/evaluate`,
    body: { tier: "flex", credential_kind: "apikey" },
    status: 400,
    has: ["must be api_key or oauth"],
  },
  {
    what: "every problem of a draft",
    method: "POST",
    path: `${PATH}/evaluate`,
    body: { tier: "flex", policy: { rules: [{}] } },
    status: 400,
    has: ['"path":"policy.rules[0].action"', '"path":"policy.rules[0].service_tier"'],
  },
  {
    what: "a draft that is no policy at all",
    method: "POST",
    path: `${PATH}/evaluate`,
    body: { tier: "flex", policy: [] },
    status: 400,
  },
];

describe("policyRoutes() answers", () => {
  testAnswers(CASES);
});

async function send(
  { request }: Pick<AdminSetup, "request">,
  call: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
) {
  const [method = "", path = ""] = call.split(" ");
  const response = await request(method, `${PATH}${path}`, body, { headers });
  const etag = response.headers.get("etag");
  return { status: response.status, etag, json: await response.json() };
}

describe("/manage/policies/service-tier", () => {
  test("is in force at this node with the answer, and its ETag is the version", async () => {
    const tierPolicy = new CurrentPolicy(null, () => {});
    const setup = await setUpAdmin({ tierPolicy });
    const put = await send(setup, "PUT ", BLOCK_FLEX);
    expect([put.status, put.etag, put.json.version]).toEqual([200, '"1"', 1]);
    expect(tierPolicy.policy.rules[0]?.error_message).toBe("No flex");
    expect(await send(setup, "GET ")).toEqual({ status: 200, etag: '"1"', json: put.json });
    const reset = await send(setup, "DELETE ");
    expect([reset.etag, reset.json.source]).toEqual(['"2"', "default"]);
    expect(tierPolicy.source).toBe("default");
  });

  test("may be sent back as it was answered", async () => {
    const setup = await setUpAdmin();
    const { json } = await send(setup, "PUT ", BLOCK_FLEX);
    const again = await send(setup, "PUT ", json.policy);
    expect(again.json).toEqual({ ...json, version: 2 });
  });

  test.each<[string, string, unknown]>([
    ["PUT ", "policy.put", PASS_ALL],
    ["DELETE ", "policy.reset", undefined],
    ["POST /restore", "policy.restore", { version: 1 }],
  ])("%s honours If-Match", async (call, action, body) => {
    const setup = await setUpAdmin();
    await send(setup, "PUT ", BLOCK_FLEX);
    await send(setup, "PUT ", BLOCK_FLEX);
    const attempt = (tag: string) => send(setup, call, body, { "if-match": tag });
    for (const tag of ['"1"', '"3"', "2", 'W/"2"', '""', '"1", "3"']) {
      const { status, json } = await attempt(tag);
      expect([tag, status, json.code]).toEqual([tag, 412, "stale"]);
    }
    expect((await setup.store.getPolicy("service-tier"))?.version).toBe(2);
    expect(setup.store.audit.slice(2).map(auditLine)).toEqual(
      Array.from({ length: 6 }, () => `${action} policy:service-tier refused`),
    );
    expect((await attempt('"1", "2"')).etag).toBe('"3"');
    expect((await attempt("*")).status).toBe(200);
  });

  test("honours If-Match of version 0: only while there is none", async () => {
    const setup = await setUpAdmin();
    const none = { "if-match": '"0"' };
    expect((await send(setup, "PUT ", PASS_ALL, none)).status).toBe(200);
    expect((await send(setup, "PUT ", PASS_ALL, none)).status).toBe(412);
  });

  test("refuses what another node put between the look at If-Match and the change", async () => {
    const setup = await setUpAdmin();
    const { store } = setup;
    const putPolicy = store.putPolicy.bind(store);
    store.putPolicy = async (...put) => {
      await putPolicy("service-tier", "{}", null, 0, put[4]);
      return putPolicy(...put);
    };
    expect((await send(setup, "PUT ", PASS_ALL, { "if-match": '"0"' })).status).toBe(412);
  });

  test("keeps every version, shows each, and restores one as a new one", async () => {
    const setup = await setUpAdmin();
    await send(setup, "PUT ", BLOCK_FLEX);
    await send(setup, "DELETE ");
    await send(setup, "PUT ", PASS_ALL);
    const restored = await send(setup, "POST /restore", { version: 1 });
    expect(restored.json).toMatchObject({ version: 4, policy: BLOCK_FLEX });
    expect((await send(setup, "POST /restore", { version: 2 })).json).toMatchObject({
      version: 5,
      source: "default",
    });
    const first = await send(setup, "GET /versions?limit=3");
    const pairs = ({ json }: typeof first) =>
      json.versions.map((one: { version: number; is_reset: boolean }) => [
        one.version,
        one.is_reset,
      ]);
    expect(pairs(first)).toEqual([
      [5, true],
      [4, false],
      [3, false],
    ]);
    const rest = await send(setup, `GET /versions?cursor=${first.json.next_cursor}`);
    expect(pairs(rest)).toEqual([
      [2, true],
      [1, false],
    ]);
    expect(rest.json.next_cursor).toBeNull();
    const actor = { actor: "alice", problem: null };
    const shown = await send(setup, "GET /versions/1");
    expect(shown.json).toMatchObject({ ...actor, is_reset: false, policy: BLOCK_FLEX });
    expect((await send(setup, "GET /versions/2")).json).toMatchObject({ ...actor, policy: null });
    expect((await send(setup, "GET /versions?cursor=x")).status).toBe(400);
    expect(setup.store.audit.map(({ action, details }) => [action, details])).toEqual([
      ["policy.put", { version: 1 }],
      ["policy.reset", { version: 2 }],
      ["policy.put", { version: 3 }],
      ["policy.restore", { restored_version: 1, version: 4 }],
      ["policy.restore", { restored_version: 2, version: 5 }],
    ]);
  });

  test("shows one that cannot be read with the reason, and does not restore it", async () => {
    const setup = await setUpAdmin();
    const by = { actor: "x", action: "", subject: "", request_id: "", client_address: "" };
    const entry = { ...by, outcome: "done" as const, details: {} };
    for (const document of ["{", '{"rules":1}']) {
      await setup.store.putPolicy("service-tier", document, null, 0, entry);
    }
    expect((await send(setup, "GET /versions/1")).json).toMatchObject({ policy: null });
    const { json } = await send(setup, "GET /versions/2");
    expect(json.problem).toBe("The policy cannot be used: rules must be a list, not 1");
    expect((await send(setup, "POST /restore", { version: 2 })).status).toBe(400);
    expect((await send(setup, "POST /restore", { version: 1 })).status).toBe(400);
  });

  test("says what is in force instead of one that cannot be read", async () => {
    const tierPolicy = new CurrentPolicy(null, () => {});
    const setup = await setUpAdmin({ tierPolicy });
    await send(setup, "PUT ", BLOCK_FLEX);
    tierPolicy.take({ version: 2, document: "{" });
    const { etag, json } = await send(setup, "GET ");
    expect([etag, json.source, json.policy.rules[0].action]).toEqual(['"2"', "stored", "block"]);
    expect(json.problem).toBeString();
    const evaluated = await send(setup, "POST /evaluate", { tier: "flex" });
    expect(evaluated.json.policy_version).toBe(1);
  });

  test("evaluates a draft without taking it, shadow rules and all, also for a viewer", async () => {
    const { request, store } = await setUpAdmin();
    const rules = [
      { service_tier: "flex", action: "block", shadow: true },
      { service_tier: "flex", action: "block", projects: ["web"], on_block: "fail_turn" },
    ];
    const body = { tier: "flex", project_id: "web", policy: { rules } };
    const as = { token: VIEWER_TOKEN };
    const response = await request("POST", `${PATH}/evaluate`, body, as);
    const text = await response.text();
    expect(JSON.parse(text)).toEqual({
      decision: {
        action: "block",
        tier: null,
        rule: 1,
        reason: "action",
        message: "openai service_tier=flex is not allowed",
        on_block: "fail_turn",
      },
      shadow: [],
      policy_version: null,
      refusal: null,
    });
    const other = await request("POST", `${PATH}/evaluate`, { ...body, project_id: "x" }, as);
    const answer = await other.json();
    expect(answer.shadow).toEqual([{ rule: 0, action: "block", tier: null }]);
    expect(answer.decision.action).toBe("pass");
    expect((await request("PUT", PATH, { rules }, as)).status).toBe(403);
    expect(await store.getPolicy("service-tier")).toBeNull();
    const document = new ApiDocument(await (await request("GET", "/manage/openapi.json")).json());
    expect(document.complaint("POST", `${PATH}/evaluate`, 200, text)).toBeNull();
  });

  test("evaluates whether the project and the token may be used for what is decided", async () => {
    const setup = await setUpAdmin();
    const lists = { models: ["gpt-5*"], tiers: ["flex", "priority"] };
    const { id } = await (
      await setup.request("POST", "/manage/projects", { name: "web", ...lists })
    ).json();
    const token = { project_id: id, duration_minutes: 5, tiers: ["flex"] };
    const minted = await (await setup.request("POST", "/manage/tokens", token)).json();
    const refusal = async (body: object) => {
      const about = { project_id: id, token_id: minted.id, policy: { rules: [] }, ...body };
      return (await send(setup, "POST /evaluate", about)).json.refusal;
    };
    expect(await refusal({ tier: "flex", model: "gpt-5.5" })).toBeNull();
    expect(await refusal({ tier: "flex" })).toBeNull();
    expect(await refusal({ tier: "flex", model: "o3" })).toBe(
      'This project may not be used for the model "o3", only for: gpt-5*',
    );
    const fast = 'This token may not be used for the service tier "priority", only for: flex';
    expect(await refusal({ tier: "fast" })).toBe(fast);
    expect(await refusal({ tier: "fast", token_id: "tok_of_another_store" })).toBeNull();
    const filtered = { rules: [{ service_tier: "priority", action: "filter" }] };
    expect(await refusal({ tier: "fast", policy: filtered })).toBeNull();
  });

  test("reaches another node when that one reads the store", async () => {
    const one = await setUpAdmin();
    const tierPolicy = new CurrentPolicy(null, () => {});
    const other = await setUpAdminOver(one.store, one.clock, { tierPolicy });
    await send(one, "PUT ", PASS_ALL);
    expect((await send(other, "GET ")).json.version).toBe(0);
    await tierPolicy.load(one.store);
    expect((await send(other, "GET ")).json).toEqual((await send(one, "GET ")).json);
  });
});
