/** /manage/revocations and tokens/revoke: taking back what may never have been seen here. */

import { describe, expect, test } from "bun:test";
import { FakeSession, setUpAdmin, setUpAdminOver } from "../support/admin.ts";
import { auditLine, type Case, testAnswers } from "../support/admin_cases.ts";

const NOW_MS = 1_795_190_000_000;
const MINT = { project_id: "default", duration_minutes: 60 };
const ADD = { method: "POST", path: "/manage/revocations" };
const REFUSED = { status: 400, audit: ["revocation.add project:default refused"] };
const UNNAMED = { status: 400, audit: ["revocation.add  refused"] };

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
  { what: "a revocation of nothing", ...ADD, body: {}, ...UNNAMED, has: ['\\"jti\\" is missing'] },
  {
    what: "a revocation up to a time of no project",
    ...ADD,
    body: { issued_before: "1h" },
    ...UNNAMED,
    has: ['\\"project_id\\" is missing'],
  },
  {
    what: "a revocation of a token and a project",
    ...ADD,
    body: { jti: "tok_1", project_id: "default" },
    status: 400,
    audit: ["revocation.add token:tok_1 refused"],
    has: ['Send \\"jti\\" alone'],
  },
  {
    what: "a revocation of a token that is sent itself",
    ...ADD,
    body: { jti: "sk-sluice-eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln" },
    status: 400,
    audit: ["revocation.add token:[redacted] refused"],
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

  test.each([
    [{ jti: "tok_1" }, "revocation.add token:tok_1 done"],
    [{ project_id: "default" }, "revocation.add project:default done"],
  ])("%j holds while the store fails, and is stored and audited once after", async (body, line) => {
    const { request, store, sessions, pending, revocations, clock } = await setUpAdmin();
    sessions.push(new FakeSession("s1", "default", "tok_1", NOW_MS));
    store.failWith = new Error("disk full");
    const answer = await request("POST", "/manage/revocations", body);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      error: "In force on this node; the database did not take it yet",
      code: "store_unavailable",
    });
    expect(sessions[0]?.ended).toBe("token_revoked");
    store.failWith = null;
    await revocations.reload(store);
    expect(revocations.isRevoked(bearer("tok_1"))).toBe(true);
    clock.advance(60_000);
    await pending.flush();
    await pending.flush();
    expect(store.audit.map(auditLine)).toEqual([line]);
    const rows = [...store.revocations.values(), ...store.revoked.projects.values()];
    expect(rows).toMatchObject([{ revoked_at: NOW_MS }]);
  });

  test("one that was kept is about the tokens that there were when it was asked for", async () => {
    const { request, store, pending, clock } = await setUpAdmin();
    store.failWith = new Error("away");
    await request("POST", "/manage/projects/default/tokens/revoke");
    store.failWith = null;
    clock.advance(60_000);
    // The node beside it has the database.
    const other = await setUpAdminOver(store, clock);
    const { id } = await (await other.request("POST", "/manage/tokens", MINT)).json();
    await pending.flush();
    expect(store.revoked.projects.get("default")?.issued_before).toBe(NOW_MS);
    await other.revocations.load(store);
    expect(other.revocations.isRevoked(bearer(id, NOW_MS + 60_000))).toBe(false);
  });

  test("with too many of them waiting nothing is changed, and that is said", async () => {
    const { request, sessions } = await setUpAdmin({
      pending: {
        isFull: true,
        apply: () => Promise.reject(new Error()),
        catchUp: async () => true,
      },
    });
    sessions.push(new FakeSession("s1", "default", "tok_1", NOW_MS));
    const answer = await request("POST", "/manage/revocations", { jti: "tok_1" });
    expect([answer.status, (await answer.json()).description]).toEqual([
      503,
      "Nothing was changed. Try again when the database is back",
    ]);
    expect(sessions[0]?.ended).toBeNull();
  });

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
