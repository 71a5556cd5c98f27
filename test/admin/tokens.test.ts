/** /manage/tokens and /manage/revocations: minting, and taking back. */

import { describe, expect, test } from "bun:test";
import { FakeSession, setUpAdmin } from "../support/admin.ts";
import { type Case, testAnswers } from "../support/admin_cases.ts";

const NOW_MS = 1_795_190_000_000;

const CASES: readonly Case[] = [
  {
    what: "a token",
    method: "POST",
    path: "/manage/tokens",
    body: { project_id: "default", duration_minutes: 60, label: "ci" },
    status: 201,
    has: ['"id":"tok_', '"token":"sk-sluice-eyJ', '"expires_at":"20'],
  },
  {
    what: "a token without a project",
    method: "POST",
    path: "/manage/tokens",
    body: { duration_minutes: 60 },
    status: 400,
    has: ["project_id"],
  },
  {
    what: "a token of no project",
    method: "POST",
    path: "/manage/tokens",
    body: { project_id: "nope", duration_minutes: 60 },
    status: 404,
  },
  {
    what: "a token for 0 minutes",
    method: "POST",
    path: "/manage/tokens",
    body: { project_id: "default", duration_minutes: 0 },
    status: 400,
    has: ["1 to 525600"],
  },
  {
    what: "a token for a year and a minute",
    method: "POST",
    path: "/manage/tokens",
    body: { project_id: "default", duration_minutes: 525601 },
    status: 400,
  },
  {
    what: "a token for half a minute",
    method: "POST",
    path: "/manage/tokens",
    body: { project_id: "default", duration_minutes: 0.5 },
    status: 400,
  },
  {
    what: "a token for minutes in a string",
    method: "POST",
    path: "/manage/tokens",
    body: { project_id: "default", duration_minutes: "60" },
    status: 400,
    has: ["must be a number"],
  },
  ...["models", "endpoints", "tiers", "limits", "max_requests"].map((field) => ({
    what: `a token with ${field}`,
    method: "POST",
    path: "/manage/tokens",
    body: { project_id: "default", duration_minutes: 60, [field]: 1 },
    status: 400,
    has: ["not available in this version"],
  })),
  { what: "no tokens", method: "GET", path: "/manage/tokens", status: 200, has: ["[]"] },
  { what: "no such token", method: "GET", path: "/manage/tokens/tok_nope", status: 404 },
  {
    what: "a label for no token",
    method: "PATCH",
    path: "/manage/tokens/tok_nope",
    body: { label: "a" },
    status: 404,
  },
  {
    what: "an empty change of a token",
    method: "PATCH",
    path: "/manage/tokens/tok_nope",
    body: {},
    status: 400,
  },
  { what: "the end of no token", method: "DELETE", path: "/manage/tokens/tok_nope", status: 404 },
  {
    what: "a revocation",
    method: "POST",
    path: "/manage/revocations",
    body: { jti: "tok_elsewhere" },
    status: 204,
  },
  {
    what: "a revocation of nothing",
    method: "POST",
    path: "/manage/revocations",
    body: {},
    status: 400,
  },
  {
    what: "a revocation by time",
    method: "POST",
    path: "/manage/revocations",
    body: { issued_before: "2026-01-01T00:00:00Z" },
    status: 400,
    has: ["not available in this version"],
  },
];

describe("tokenRoutes() answers", () => {
  testAnswers(CASES);
});

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
    expect(revocations.isRevoked(id)).toBe(true);
    expect(sessions.map(({ ended }) => ended)).toEqual(["token_revoked", null]);
    expect(store.tokens.get(id)?.revoked_at).toBe(revokedAt);
    const shown = await (await request("GET", `/manage/tokens/${id}`)).json();
    expect(shown).toMatchObject({
      is_active: false,
      revoked_at: new Date(revokedAt).toISOString(),
    });
  });

  test("DELETE takes effect even where the store fails, and says that it failed", async () => {
    const { request, id, revocations, store } = await minted();
    store.revokeToken = () => Promise.reject(new Error("disk full"));
    expect((await request("DELETE", `/manage/tokens/${id}`)).status).toBe(500);
    expect(revocations.isRevoked(id)).toBe(true);
  });

  test("tokens/revoke revokes those that are not revoked yet", async () => {
    const { request, id, clock } = await minted();
    await request("DELETE", `/manage/tokens/${id}`);
    clock.advance(1000);
    await request("POST", "/manage/tokens", { project_id: "default", duration_minutes: 1 });
    const response = await request("POST", "/manage/projects/default/tokens/revoke");
    expect(await response.json()).toEqual({ revoked_count: 1 });
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

describe("/manage/revocations", () => {
  test("revokes a token that this store never saw, for as long as it could live", async () => {
    const { request, store, revocations, clock } = await setUpAdmin();
    await request("POST", "/manage/revocations", { jti: "tok_elsewhere" });
    expect(revocations.isRevoked("tok_elsewhere")).toBe(true);
    expect(store.revocations.get("tok_elsewhere")?.expires_at).toBe(
      clock.nowMs() + 365 * 86_400_000,
    );
  });

  test("revokes a token of this store as DELETE does", async () => {
    const { request, store, revocations } = await setUpAdmin();
    const body = { project_id: "default", duration_minutes: 60 };
    const { id } = await (await request("POST", "/manage/tokens", body)).json();
    expect((await request("POST", "/manage/revocations", { jti: id })).status).toBe(204);
    expect(store.tokens.get(id)?.revoked_at).not.toBeNull();
    expect(revocations.isRevoked(id)).toBe(true);
  });
});
