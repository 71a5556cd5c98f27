/** /manage/audit: reading the record of changes and refusals. */

import { describe, expect, test } from "bun:test";
import { setUpAdmin } from "../support/admin.ts";
import { type Case, testAnswers } from "../support/admin_cases.ts";

const CASES: readonly Case[] = [
  {
    what: "no entries",
    method: "GET",
    path: "/manage/audit",
    status: 200,
    has: ['{"entries":[],"next_cursor":null}'],
  },
  {
    what: "an empty record as whole",
    method: "GET",
    path: "/manage/audit/verify",
    status: 200,
    has: ['{"entries":0,"head":null,"broken":null}'],
  },
  {
    what: "entries by something unknown",
    method: "GET",
    path: "/manage/audit?outcome=done",
    status: 400,
    has: ["actor, action, subject, since, until, limit, cursor"],
  },
  { what: "entries since never", method: "GET", path: "/manage/audit?since=x", status: 400 },
  { what: "entries without end", method: "GET", path: "/manage/audit?limit=1001", status: 400 },
];

describe("auditRoutes() answers", () => {
  testAnswers(CASES);
});

describe("/manage/audit", () => {
  async function recorded() {
    const setup = await setUpAdmin();
    const { request, clock } = setup;
    await request("POST", "/manage/projects", { name: "a" });
    clock.advance(60_000);
    await request("PATCH", "/manage/projects/default", { name: "b" });
    clock.advance(60_000);
    await request("PATCH", "/manage/projects/default", {});
    await request("GET", "/manage/projects", undefined, { token: "guess" });
    const list = async (query: string) => (await request("GET", `/manage/audit?${query}`)).json();
    return { ...setup, list };
  }

  test.each([
    ["", [4, 3, 2, 1]],
    ["actor=alice", [3, 2, 1]],
    ["actor=unknown", [4]],
    ["action=project.update", [3, 2]],
    ["subject=project:default&until=30s", [2]],
    ["since=90s", [4, 3, 2]],
  ])("?%s gives %j", async (query, expected) => {
    const { list } = await recorded();
    const { entries } = await list(query);
    expect(entries.map((entry: { sequence: number }) => entry.sequence)).toEqual(expected);
  });

  test("walks on with next_cursor", async () => {
    const { list } = await recorded();
    const first = await list("limit=3");
    const second = await list(`limit=3&cursor=${first.next_cursor}`);
    expect(second.entries.map((entry: { sequence: number }) => entry.sequence)).toEqual([1]);
    expect(second.next_cursor).toBeNull();
  });

  test("verify counts the entries, and names the first that does not fit", async () => {
    const { request, store } = await recorded();
    const verify = async () => (await request("GET", "/manage/audit/verify")).json();
    expect(await verify()).toMatchObject({ entries: 4, broken: null });
    const [, second] = store.audit;
    if (second !== undefined) store.audit[1] = { ...second, actor: "mallory" };
    expect((await verify()).broken).toMatchObject({ sequence: 2 });
  });

  test("verify?head= finds that a hash which was noted is not there any more", async () => {
    const { request, store } = await recorded();
    const verify = async (head: string) =>
      (await request("GET", `/manage/audit/verify?head=${head}`)).json();
    const noted = store.audit[1]?.hash ?? "";
    expect(await verify(noted)).toMatchObject({ entries: 4, broken: null });
    // All of it anew, and whole again.
    const [first] = store.audit.splice(0);
    if (first !== undefined) await store.appendAudit([first, first, first, first]);
    const { broken } = await verify(noted);
    expect(broken.sequence).toBeNull();
    expect(broken.reason).toContain("No entry has the hash that was noted");
    expect((await verify("x")).error).toBe('"head" is not the hash of an entry');
  });

  test("verify by many at once reads the record once", async () => {
    const { request, store } = await recorded();
    const checks = () => store.calls.filter((call) => call === "checkAudit").length;
    await request("GET", "/manage/audit/verify");
    const ofOne = checks();
    const many = Array.from({ length: 12 }, () => request("GET", "/manage/audit/verify"));
    for (const answer of await Promise.all(many)) {
      expect(await answer.json()).toMatchObject({ entries: 4, broken: null });
    }
    expect(checks()).toBe(2 * ofOne);
  });
});
