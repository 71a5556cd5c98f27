/** /manage/revocations and tokens/revoke: taking back what may never have been seen here. */

import { describe, expect, test } from "bun:test";
import { FakeSession, setUpAdmin } from "../support/admin.ts";
import { type Case, testAnswers } from "../support/admin_cases.ts";

const NOW_MS = 1_795_190_000_000;
const MINT = { project_id: "default", duration_minutes: 60 };
const ADD = { method: "POST", path: "/manage/revocations" };
const REFUSED = { status: 400, audit: ["revocation.add  refused"] };

const CASES: readonly Case[] = [
  {
    what: "a revocation",
    ...ADD,
    body: { jti: "tok_elsewhere" },
    status: 204,
    audit: ["revocation.add token:tok_elsewhere done"],
  },
  {
    what: "a revocation of a project that this store never saw",
    ...ADD,
    body: { project_id: "prj_elsewhere" },
    status: 204,
    audit: ["revocation.add project:prj_elsewhere done"],
  },
  ...["2026-01-01T00:00:00Z", 1_767_225_600, "1767225600", "1h"].map((issued_before) => ({
    what: `a revocation of what was issued before ${issued_before}`,
    ...ADD,
    body: { project_id: "default", issued_before },
    status: 204,
    audit: ["revocation.add project:default done"],
  })),
  ...["yesterday", 1.5, -1, "2026-01-01"].map((issued_before) => ({
    what: `a revocation up to no time: ${issued_before}`,
    ...ADD,
    body: { project_id: "default", issued_before },
    ...REFUSED,
    has: ["is no time"],
  })),
  {
    what: "a revocation of tokens that are not there yet",
    ...ADD,
    body: { project_id: "default", issued_before: NOW_MS / 1000 + 1 },
    ...REFUSED,
    has: ["in the future"],
  },
  { what: "a revocation of nothing", ...ADD, body: {}, ...REFUSED, has: ['\\"jti\\" is missing'] },
  {
    what: "a revocation up to a time of no project",
    ...ADD,
    body: { issued_before: "1h" },
    ...REFUSED,
    has: ['\\"project_id\\" is missing'],
  },
  {
    what: "a revocation of a token and a project",
    ...ADD,
    body: { jti: "tok_1", project_id: "default" },
    ...REFUSED,
    has: ['Send \\"jti\\" alone'],
  },
  {
    what: "a revocation of a token that is sent itself",
    ...ADD,
    body: { jti: "sk-sluice-eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln" },
    ...REFUSED,
    has: ["looks like a secret"],
    lacks: ["eyJhbGci"],
  },
  {
    what: "no revocations",
    method: "GET",
    path: "/manage/revocations",
    status: 200,
    has: ['{"revocations":[],"next_cursor":null}'],
  },
  {
    what: "a revocation of all of nothing",
    method: "POST",
    path: "/manage/projects/default/tokens/revoke",
    status: 200,
    has: ['{"revoked":0}'],
    audit: ["tokens.revoke project:default done"],
  },
  {
    what: "a revocation of all of no project",
    method: "POST",
    path: "/manage/projects/nope/tokens/revoke",
    status: 404,
    audit: ["tokens.revoke project:nope refused"],
  },
  {
    what: "a revocation of all with a field",
    method: "POST",
    path: "/manage/projects/default/tokens/revoke",
    body: { force: true },
    status: 400,
    has: ["Send no fields"],
    audit: ["tokens.revoke project:default refused"],
  },
];

describe("revocationRoutes() answers", () => {
  testAnswers(CASES);
});

describe("/manage/revocations", () => {
  test("revokes a token that this store never saw, for as long as it could live", async () => {
    const { request, store, revocations, clock } = await setUpAdmin();
    await request("POST", "/manage/revocations", { jti: "tok_elsewhere" });
    expect(revocations.isRevoked(bearer("tok_elsewhere"))).toBe(true);
    expect(store.revocations.get("tok_elsewhere")?.expires_at).toBe(
      clock.nowMs() + 365 * 86_400_000,
    );
  });

  test("revokes a token of this store as DELETE does", async () => {
    const { request, store, revocations } = await setUpAdmin();
    const { id } = await (await request("POST", "/manage/tokens", MINT)).json();
    expect((await request("POST", "/manage/revocations", { jti: id })).status).toBe(204);
    expect(store.tokens.get(id)?.revoked_at).toBe(NOW_MS);
    expect(revocations.isRevoked(bearer(id))).toBe(true);
  });

  test.each([{ jti: "tok_1" }, { project_id: "default" }])(
    "%j is in force and ends sessions even where the store fails",
    async (body) => {
      const { request, store, sessions } = await setUpAdmin();
      sessions.push(new FakeSession("s1", "default", "tok_1", NOW_MS));
      store.failWith = new Error("disk full");
      expect((await request("POST", "/manage/revocations", body)).status).toBe(500);
      expect(sessions[0]?.ended).toBe("token_revoked");
    },
  );

  test("issued_before leaves later tokens alone", async () => {
    const { request, clock, revocations } = await setUpAdmin();
    const { id: early } = await (await request("POST", "/manage/tokens", MINT)).json();
    clock.advance(60_000);
    const { id: late } = await (await request("POST", "/manage/tokens", MINT)).json();
    const body = { project_id: "default", issued_before: NOW_MS / 1000 };
    await request("POST", "/manage/revocations", body);
    expect(revocations.isRevoked(bearer(early, NOW_MS))).toBe(true);
    expect(revocations.isRevoked(bearer(late, NOW_MS + 60_000))).toBe(false);
    const shown = await (await request("GET", "/manage/tokens")).json();
    const active = shown.map((token: { is_active: boolean }) => token.is_active);
    expect(active).toEqual([false, true].toReversed());
  });

  test("GET lists both kinds, newest first, and pages, and forgets what has expired", async () => {
    const { request, clock } = await setUpAdmin();
    await request("POST", "/manage/revocations", { jti: "j".repeat(200) });
    clock.advance(1000);
    await request("POST", "/manage/revocations", { project_id: "p" });
    clock.advance(1000);
    await request("POST", "/manage/revocations", { jti: "tok_2" });
    const page = async (query: string) =>
      (await request("GET", `/manage/revocations${query}`)).json();
    const first = await page("?limit=2");
    expect(first.revocations.map((one: { jti?: string }) => one.jti)).toEqual(["tok_2", undefined]);
    expect(first.revocations[1]).toEqual({
      project_id: "p",
      issued_before: new Date(NOW_MS + 1000).toISOString(),
      revoked_at: new Date(NOW_MS + 1000).toISOString(),
      expires_at: new Date(NOW_MS + 1000 + 365 * 86_400_000).toISOString(),
    });
    const second = await page(`?limit=2&cursor=${first.next_cursor}`);
    expect(second.revocations.map((one: { jti: string }) => one.jti)).toEqual(["j".repeat(200)]);
    expect(second.next_cursor).toBeNull();
    clock.advance(366 * 86_400_000);
    expect((await page("")).revocations).toEqual([]);
  });
});

test("tokens/revoke counts those that were not revoked yet", async () => {
  const { request, clock } = await setUpAdmin();
  const { id } = await (await request("POST", "/manage/tokens", MINT)).json();
  await request("DELETE", `/manage/tokens/${id}`);
  clock.advance(1000);
  await request("POST", "/manage/tokens", MINT);
  const response = await request("POST", "/manage/projects/default/tokens/revoke");
  expect(await response.json()).toEqual({ revoked: 1 });
});

function bearer(tokenId: string, issuedAtMs = NOW_MS) {
  return { tokenId, projectId: "default", issuedAtMs };
}
