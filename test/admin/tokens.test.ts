/** /manage/tokens: minting, showing, and taking back one by one. */

import { describe, expect, test } from "bun:test";
import { type AdminSetup, FakeSession, setUpAdmin } from "../support/admin.ts";
import { type Case, testAnswers } from "../support/admin_cases.ts";

const NOW_MS = 1_795_190_000_000;

const MINT = { method: "POST", path: "/manage/tokens" };
const FOR_AN_HOUR = { project_id: "default", duration_minutes: 60 };
const REFUSED = { status: 400, audit: ["token.mint project:default refused"] };
const TOKEN = "tok_00000000000000000000000000000001";
const TOKEN_PATH = `/manage/tokens/${TOKEN}`;
const CHANGE = { method: "PATCH", path: TOKEN_PATH };
const CHANGE_REFUSED = { status: 400, audit: ["token.update token:tok_* refused"] };

const CASES: readonly Case[] = [
  {
    what: "a token",
    ...MINT,
    body: { ...FOR_AN_HOUR, label: "ci" },
    status: 201,
    has: ['"id":"tok_', '"token":"sk-sluice-eyJ', '"expires_at":"20'],
    audit: ["token.mint token:tok_* done"],
  },
  {
    what: "a token with every restriction",
    ...MINT,
    body: {
      ...FOR_AN_HOUR,
      max_requests: 10,
      models: ["gpt-5*", "o4"],
      endpoints: ["/v1/responses", "/v1/audio/*"],
      tiers: ["flex"],
      limits: { requests_per_minute: 60 },
    },
    status: 201,
    audit: ["token.mint token:tok_* done"],
  },
  {
    what: "a token whose restrictions are null",
    ...MINT,
    body: { ...FOR_AN_HOUR, label: null, max_requests: null, models: null, tiers: null },
    status: 201,
    audit: ["token.mint token:tok_* done"],
  },
  {
    what: "a token without a project",
    ...MINT,
    body: { duration_minutes: 60 },
    status: 400,
    audit: ["token.mint  refused"],
    has: ["project_id"],
  },
  {
    what: "a token of no project",
    ...MINT,
    body: { project_id: "nope", duration_minutes: 60 },
    status: 404,
    audit: ["token.mint project:nope refused"],
  },
  ...[0, 0.5, -1, "60", null].map((duration_minutes) => ({
    what: `a token for ${JSON.stringify(duration_minutes)} minutes`,
    ...MINT,
    body: { project_id: "default", duration_minutes },
    ...REFUSED,
    has: ["whole number from 1"],
  })),
  {
    what: "a token for a year and a minute",
    ...MINT,
    body: { project_id: "default", duration_minutes: 525601 },
    ...REFUSED,
    has: ["1 to 525600"],
  },
  ...[[], [""], [7], "gpt-5", ["*gpt"], ["g*t"], new Array(101).fill("a"), ["a".repeat(201)]].map(
    (models) => ({
      what: `a token with models ${JSON.stringify(models).slice(0, 30)}`,
      ...MINT,
      body: { ...FOR_AN_HOUR, models },
      ...REFUSED,
      has: ["models"],
    }),
  ),
  {
    what: "a token that would be too long to be accepted",
    ...MINT,
    body: { ...FOR_AN_HOUR, models: new Array(100).fill("m".repeat(200)) },
    ...REFUSED,
    has: ["fewer models", "Shorten the lists"],
  },
  {
    what: "a token with max_requests among its limits",
    ...MINT,
    body: { ...FOR_AN_HOUR, limits: { max_requests: 5 } },
    ...REFUSED,
    has: ['Send \\"max_requests\\" beside'],
  },
  {
    what: "a token with a limit that there is not",
    ...MINT,
    body: { ...FOR_AN_HOUR, limits: { budget: 5 } },
    ...REFUSED,
    has: ["budget_micros_per_day"],
  },
  {
    what: "a list of tokens",
    method: "GET",
    path: "/manage/tokens",
    status: 200,
    has: [`[{"id":"${TOKEN}"`, '"last_used_at":null,"request_count":0,"cache_hit_count":0'],
  },
  {
    what: "a token as it was signed, and what it used",
    method: "GET",
    path: TOKEN_PATH,
    status: 200,
    has: [
      '"max_requests":100,"models":["gpt-5*"],"endpoints":null,"tiers":null',
      '"limits":{"requests_per_minute":10}',
      '"spend":{"requests":0,"cost_micros":{"today":0,"this_month":0,"total":0}}',
    ],
  },
  { what: "no such token", method: "GET", path: "/manage/tokens/tok_nope", status: 404 },
  {
    what: "a label for no token",
    method: "PATCH",
    path: "/manage/tokens/tok_nope",
    body: { label: "a" },
    status: 404,
    audit: ["token.update token:tok_nope refused"],
  },
  { what: "an empty change of a token", ...CHANGE, body: {}, ...CHANGE_REFUSED },
  {
    what: "a narrower token",
    ...CHANGE,
    body: {
      label: "narrow",
      max_requests: 50,
      limits: { requests_per_minute: 5, session_turns: 3 },
    },
    status: 200,
    has: ['"label":"narrow"', '"max_requests":50', '{"requests_per_minute":5,"session_turns":3}'],
    audit: ["token.update token:tok_* done", "token.update token:tok_* done"],
  },
  {
    what: "a wider limit",
    ...CHANGE,
    body: { limits: { requests_per_minute: 11 } },
    ...CHANGE_REFUSED,
    has: ['"limits.requests_per_minute\\" is wider', "Send 10 or less"],
  },
  {
    what: "more requests",
    ...CHANGE,
    body: { max_requests: 101 },
    ...CHANGE_REFUSED,
    has: ['"max_requests\\" is wider', "Send 100 or less"],
  },
  {
    what: "other models, which are signed",
    ...CHANGE,
    body: { models: ["gpt-5"] },
    ...CHANGE_REFUSED,
    has: ["Unknown field", "label, is_active, max_requests, limits"],
  },
  {
    what: "a pause",
    ...CHANGE,
    body: { is_active: false },
    status: 200,
    has: ['"is_active":false', '"revoked_at":null'],
    audit: ["token.update token:tok_* done"],
  },
  {
    what: "the end of a token",
    method: "DELETE",
    path: TOKEN_PATH,
    status: 204,
    audit: ["token.revoke token:tok_* done"],
  },
  {
    what: "the end of no token",
    method: "DELETE",
    path: "/manage/tokens/tok_nope",
    status: 404,
    audit: ["token.revoke token:tok_nope refused"],
  },
  {
    what: "the end of a token by itself, which the audit must not keep",
    method: "DELETE",
    path: "/manage/tokens/sk-sluice-eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln",
    status: 404,
    audit: ["token.revoke token:[redacted] refused"],
  },
];

/** A token whose signed restrictions are known. */
function addToken({ store }: AdminSetup): void {
  store.tokens.set(TOKEN, {
    id: TOKEN,
    project_id: "default",
    label: null,
    created_at: NOW_MS,
    expires_at: NOW_MS + 3_600_000,
    revoked_at: null,
    last_used_at: null,
    request_count: 0,
    cache_hit_count: 0,
    models: ["gpt-5*"],
    endpoints: null,
    tiers: null,
    limits: { requests_per_minute: 10, max_requests: 100 },
  });
}

describe("tokenRoutes() answers", () => {
  testAnswers(CASES, addToken);
});

function bearer(tokenId: string) {
  return { tokenId, projectId: "default", issuedAtMs: NOW_MS };
}

describe("/manage/tokens", () => {
  async function minted() {
    const setup = await setUpAdmin();
    const body = { project_id: "default", duration_minutes: 60, label: "ci" };
    const answer = await (await setup.request("POST", "/manage/tokens", body)).json();
    return { ...setup, id: String(answer.id), token: String(answer.token), answer };
  }

  test("POST answers id, token and expires_at, and the token verifies", async () => {
    const { answer, tokens, id } = await minted();
    expect(Object.keys(answer)).toEqual(["id", "token", "expires_at"]);
    const principal = await tokens.verify(answer.token);
    expect(principal.tokenId).toBe(id);
    expect(new Date(principal.expiresAtMs ?? 0).toISOString()).toBe(answer.expires_at);
  });

  test("GET never shows the token again", async () => {
    const { request, id, token } = await minted();
    for (const path of [
      "/manage/tokens",
      `/manage/tokens/${id}`,
      "/manage/tokens?projectId=default",
    ]) {
      const text = await (await request("GET", path)).text();
      expect(text).toContain(id);
      expect(text).not.toContain(token.slice(10, 40));
    }
    expect(await (await request("GET", "/manage/tokens?project_id=other")).json()).toEqual([]);
  });

  test("PATCH changes the label, null removes it", async () => {
    const { request, id } = await minted();
    for (const label of ["other", null]) {
      const changed = await request("PATCH", `/manage/tokens/${id}`, { label });
      expect((await changed.json()).label).toBe(label);
    }
  });

  test("DELETE revokes: 204 also a second time, and its sessions end", async () => {
    const { request, id, sessions, revocations, clock, store } = await minted();
    sessions.push(new FakeSession("s1", "default", id, NOW_MS));
    sessions.push(new FakeSession("s2", "default", "tok_other", NOW_MS));
    const revokedAt = clock.nowMs();
    for (let round = 0; round < 2; round++) {
      expect((await request("DELETE", `/manage/tokens/${id}`)).status).toBe(204);
      clock.advance(1000);
    }
    expect(revocations.isRevoked(bearer(id))).toBe(true);
    expect(sessions.map(({ ended }) => ended)).toEqual(["token_revoked", null]);
    expect(store.tokens.get(id)?.revoked_at).toBe(revokedAt);
    const shown = await (await request("GET", `/manage/tokens/${id}`)).json();
    expect(shown).toMatchObject({
      is_active: false,
      revoked_at: new Date(revokedAt).toISOString(),
    });
  });

  test.each([
    ["fails", () => Promise.reject(new Error("disk full"))],
    ["does not answer", () => new Promise<never>(() => {})],
  ])("DELETE holds while the store %s, also without having seen the token", async (_, answer) => {
    const { request, id, revocations, store, clock, pending } = await minted();
    const { getToken, revokeToken } = store;
    Object.assign(store, { getToken: answer, revokeToken: answer });
    const response = request("DELETE", `/manage/tokens/${id}`);
    for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
    clock.advance(500);
    for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
    expect(revocations.isRevoked(bearer(id))).toBe(true);
    clock.advance(2_000);
    expect((await response).status).toBe(503);
    expect(pending.size).toBe(1);
    Object.assign(store, { getToken, revokeToken });
  });

  test("PATCH is_active false holds while the store fails, and is audited once after", async () => {
    const { request, id, revocations, store, pending } = await minted();
    store.failWith = new Error("away");
    const fields = { is_active: false, label: "later" };
    expect((await request("PATCH", `/manage/tokens/${id}`, fields)).status).toBe(503);
    expect(revocations.isRevoked(bearer(id))).toBe(true);
    const active = await request("PATCH", `/manage/tokens/${id}`, { is_active: true });
    expect(active.status).toBe(500);
    store.failWith = null;
    await revocations.reload(store);
    expect(revocations.isRevoked(bearer(id))).toBe(true);
    await pending.flush();
    expect(store.overrides.get(id)?.is_active).toBe(false);
    expect(store.tokens.get(id)?.label).not.toBe("later");
    const done = store.audit.filter(({ action }) => action === "token.update");
    expect(done.map(({ outcome }) => outcome)).toEqual(["done"]);
    expect((await request("PATCH", `/manage/tokens/${id}`, { is_active: true })).status).toBe(200);
    expect(revocations.isRevoked(bearer(id))).toBe(false);
  });

  test("no token is minted for a project while the revocation of its others waits", async () => {
    const { request, store, pending } = await setUpAdmin();
    const insert = store.insertProjectRevocation.bind(store);
    store.insertProjectRevocation = () => Promise.reject(new Error("disk full"));
    await request("POST", "/manage/projects/default/tokens/revoke");
    const mint = () => request(MINT.method, MINT.path, FOR_AN_HOUR);
    expect((await mint()).status).toBe(503);
    store.insertProjectRevocation = insert;
    await pending.flush();
  });

  test("an expired token is listed as inactive", async () => {
    const { request, id, clock } = await minted();
    clock.advance(3_600_000);
    expect((await (await request("GET", `/manage/tokens/${id}`)).json()).is_active).toBe(false);
  });

  test("a token that could not be recorded is not shown", async () => {
    const { request, store } = await setUpAdmin();
    store.failWith = new Error("disk full");
    const body = { project_id: "default", duration_minutes: 60 };
    const response = await request("POST", "/manage/tokens", body);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("sk-sluice");
  });
});
