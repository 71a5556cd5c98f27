/** What an operator looks at: usage, sessions, providers, status. */

import { describe, expect, test } from "bun:test";
import { FakeSession, setUpAdmin } from "../support/admin.ts";
import { usageEvent } from "../support/usage_event.ts";
import { type Case, testAnswers } from "../support/admin_cases.ts";

const NOW_MS = 1_795_190_000_000;

const CASES: readonly Case[] = [
  {
    what: "no usage",
    method: "GET",
    path: "/manage/usage/events",
    status: 200,
    has: ['{"events":[],"next_cursor":null}'],
  },
  ...["0", "1001", "-1", "1.5", "x", ""].map((limit) => ({
    what: `usage with limit=${limit}`,
    method: "GET",
    path: `/manage/usage/events?limit=${limit}`,
    status: 400,
    has: ["1 to 1000"],
  })),
  ...["yesterday", "2026-01-01", "1w", "-1h", "2026-13-01T00:00:00Z", ""].map((since) => ({
    what: `usage since ${since}`,
    method: "GET",
    path: `/manage/usage/events?since=${since}`,
    status: 400,
    has: ["RFC 3339"],
  })),
  {
    what: "usage with a filter twice",
    method: "GET",
    path: "/manage/usage/events?limit=1&limit=2",
    status: 400,
    has: ["sent twice"],
  },
  {
    what: "usage by something unknown",
    method: "GET",
    path: "/manage/usage/events?model=a",
    status: 400,
    has: ["project_id, token_id, session_id, since, until, limit, cursor"],
  },
  {
    what: "no sessions",
    method: "GET",
    path: "/manage/sessions",
    status: 200,
    has: ['{"node_id":"node-1","sessions":[],"next_cursor":null}'],
  },
  {
    what: "sessions behind a bad cursor",
    method: "GET",
    path: "/manage/sessions?cursor=x",
    status: 400,
  },
  {
    what: "the end of no session",
    method: "DELETE",
    path: "/manage/sessions/nope",
    status: 404,
    audit: ["session.end session:nope refused"],
  },
  {
    what: "providers",
    method: "GET",
    path: "/manage/providers",
    status: 200,
    has: ['"name":"openai"', '"upstream":"https://api.openai.example:443"', '"api_keys":1'],
  },
  {
    what: "status",
    method: "GET",
    path: "/manage/status",
    status: 200,
    has: ['"version":"0.0.0-test"', '"uptime_seconds":0', '"database":"sqlite"'],
  },
];

describe("observeRoutes() answers", () => {
  testAnswers(CASES);
});

describe("/manage/usage/events", () => {
  async function recorded() {
    const setup = await setUpAdmin();
    await setup.store.insertUsage([
      usageEvent(1, {
        event_id: "old",
        recorded_at: setup.clock.nowMs() - 7_200_000,
        token_id: "t1",
      }),
      usageEvent(1, {
        event_id: "new",
        recorded_at: setup.clock.nowMs() - 60_000,
        session_id: "s2",
      }),
      usageEvent(1, { event_id: "other", recorded_at: setup.clock.nowMs(), project_id: "p2" }),
    ]);
    const ids = async (query: string) => {
      const { events } = await (await setup.request("GET", `/manage/usage/events?${query}`)).json();
      return events.map((event: { event_id: string }) => event.event_id);
    };
    return { ...setup, ids };
  }

  test.each([
    ["", ["other", "new", "old"]],
    ["project_id=default", ["new", "old"]],
    ["token_id=t1", ["old"]],
    ["session_id=s2", ["new"]],
    ["since=1h", ["other", "new"]],
    ["since=90s", ["other", "new"]],
    ["until=1h", ["old"]],
    [`since=${NOW_MS / 1000}`, ["other"]],
    [`since=${NOW_MS - 60_000}`, ["other", "new"]],
    [`since=${new Date(NOW_MS - 60_000).toISOString()}&until=1s`, ["new"]],
    ["limit=1", ["other"]],
  ])("?%s gives %p", async (query, expected) => {
    const { ids } = await recorded();
    expect(await ids(query)).toEqual(expected);
  });

  test("walks on with next_cursor", async () => {
    const { request, ids } = await recorded();
    const first = await (await request("GET", "/manage/usage/events?limit=2")).json();
    expect(await ids(`limit=2&cursor=${first.next_cursor}`)).toEqual(["old"]);
  });

  test("keeps unknown numbers null and writes times in RFC 3339", async () => {
    const { request } = await recorded();
    const { events } = await (await request("GET", "/manage/usage/events?limit=1")).json();
    expect(events[0]).toMatchObject({
      recorded_at: new Date(NOW_MS).toISOString(),
      input_tokens: 10,
      audio_input_tokens: null,
    });
  });
});

describe("/manage/sessions", () => {
  test("lists newest first, filters, pages and ends one", async () => {
    const { request, sessions } = await setUpAdmin();
    sessions.push(new FakeSession("s1", "default", "tok_1", NOW_MS));
    sessions.push(new FakeSession("s2", "default", null, NOW_MS + 5));
    sessions.push(new FakeSession("s3", "other", "tok_1", NOW_MS + 5));
    const ids = async (query: string) => {
      const body = await (await request("GET", `/manage/sessions${query}`)).json();
      return [body.sessions.map(({ id }: { id: string }) => id), body.next_cursor];
    };
    expect(await ids("")).toEqual([["s2", "s3", "s1"], null]);
    expect(await ids("?project_id=default")).toEqual([["s2", "s1"], null]);
    expect(await ids("?token_id=tok_1")).toEqual([["s3", "s1"], null]);
    const [, cursor] = await ids("?limit=2");
    expect(await ids(`?limit=2&cursor=${cursor}`)).toEqual([["s1"], null]);
    expect((await request("DELETE", "/manage/sessions/s2")).status).toBe(204);
    expect(sessions.map(({ ended }) => ended)).toEqual([null, "session_limit", null]);
  });

  test("an end is in the audit before it takes effect, and without that it does not", async () => {
    const { request, sessions, store } = await setUpAdmin();
    sessions.push(new FakeSession("s1", "default", "tok_1", NOW_MS));
    store.appendAudit = () => Promise.reject(new Error("disk full"));
    expect((await request("DELETE", "/manage/sessions/s1")).status).toBe(500);
    expect(sessions[0]?.ended).toBeNull();
    Reflect.deleteProperty(store, "appendAudit");
    expect((await request("DELETE", "/manage/sessions/s1")).status).toBe(204);
    expect(sessions[0]?.ended).toBe("session_limit");
    expect(store.audit).toMatchObject([
      { action: "session.end", subject: "session:s1", details: { project_id: "default" } },
    ]);
  });
});
