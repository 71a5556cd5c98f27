/** /manage/projects: projects, their credentials, and what ends with them. */

import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/errors.ts";
import { FakeSession, setUpAdmin } from "../support/admin.ts";
import { usageEvent } from "../support/usage_event.ts";
import { auditLine, type Case, SECRET, testAnswers } from "../support/admin_cases.ts";

const NOW_MS = 1_795_190_000_000;

const CASES: readonly Case[] = [
  {
    what: "the default project",
    method: "GET",
    path: "/manage/projects",
    status: 200,
    has: ['[{"id":"default"', '"credentials":[]'],
  },
  {
    what: "one project",
    method: "GET",
    path: "/manage/projects/default",
    status: 200,
    has: ['"is_active":true', '"deactivated_at":null'],
  },
  {
    what: "no such project",
    method: "GET",
    path: "/manage/projects/nope",
    status: 404,
    has: ["GET /manage/projects lists"],
  },
  {
    what: "a new project",
    method: "POST",
    path: "/manage/projects",
    body: { name: "web" },
    status: 201,
    has: ['"id":"prj_', '"name":"web"'],
    audit: ["project.create project:prj_* done"],
  },
  {
    what: "a new project with a key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "web", api_key: SECRET },
    status: 201,
    has: ['"provider":"openai"', '"api_key":"sk-p****ghij"'],
    audit: ["project.create project:prj_* done", "credential.put credential:crd_* done"],
  },
  {
    what: "a new project with another provider's key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "web", api_key: SECRET, provider: "anthropic" },
    status: 201,
    has: ['"provider":"anthropic"'],
    audit: ["project.create project:prj_* done", "credential.put credential:crd_* done"],
  },
  {
    what: "a project without a name",
    method: "POST",
    path: "/manage/projects",
    body: {},
    status: 400,
    has: ['\\"name\\" is missing'],
    audit: ["project.create  refused"],
  },
  {
    what: "a project with an empty name",
    method: "POST",
    path: "/manage/projects",
    body: { name: "  " },
    status: 400,
    audit: ["project.create  refused"],
  },
  {
    what: "a name with a line break",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a\nb" },
    status: 400,
    has: ["control characters"],
    audit: ["project.create  refused"],
  },
  {
    what: "a name of 201 characters",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a".repeat(201) },
    status: 400,
    has: ["at most 200"],
    audit: [`project.create project_name:${"a".repeat(201)} refused`],
  },
  {
    what: "a name that is no string",
    method: "POST",
    path: "/manage/projects",
    body: { name: 7 },
    status: 400,
    has: ["must be a string"],
    audit: ["project.create  refused"],
  },
  {
    what: "a name that is taken",
    method: "POST",
    path: "/manage/projects",
    body: { name: "default" },
    status: 409,
    has: ["conflict"],
    audit: ["project.create project_name:default refused"],
  },
  {
    what: "a misspelt field",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", apikey: SECRET },
    status: 400,
    has: ['Unknown field \\"apikey\\"', "name, api_key, provider"],
    audit: ["project.create project_name:a refused"],
  },
  {
    what: "a field of every object",
    method: "POST",
    path: "/manage/projects",
    body: JSON.parse('{"name":"a","constructor":1}'),
    status: 400,
    has: ["Unknown field"],
    audit: ["project.create project_name:a refused"],
  },
  {
    what: "an unknown provider",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", api_key: SECRET, provider: "nope" },
    status: 400,
    has: ["openai, anthropic"],
    audit: ["project.create project_name:a refused"],
  },
  {
    what: "a provider without a key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", provider: "openai" },
    status: 400,
    has: ["means nothing without"],
    audit: ["project.create project_name:a refused"],
  },
  {
    what: "a masked key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", api_key: "sk-p****ghij" },
    status: 400,
    has: ["masked_key", "whole key"],
    audit: ["project.create project_name:a refused"],
  },
  {
    what: "llm-proxy's masked key",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { api_key: "sk-proj-...ghij" },
    status: 400,
    has: ["masked_key"],
    audit: ["project.update project:default refused"],
  },
  {
    what: "a new key of a project",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { api_key: SECRET },
    status: 200,
    has: ["****ghij"],
    audit: ["credential.put credential:crd_* done"],
  },
  {
    what: "a new name",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { name: "main" },
    status: 200,
    has: ['"name":"main"'],
    audit: ["project.update project:default done"],
  },
  {
    what: "its own name again",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { name: "default" },
    status: 200,
    audit: ["project.update project:default done"],
  },
  {
    what: "a deactivation",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { is_active: false },
    status: 200,
    has: ['"is_active":false', '"deactivated_at":"20'],
    audit: ["project.update project:default done"],
  },
  {
    what: "is_active as a string",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { is_active: "false" },
    status: 400,
    has: ["true or false"],
    audit: ["project.update project:default refused"],
  },
  {
    what: "nothing to change",
    method: "PATCH",
    path: "/manage/projects/default",
    body: {},
    status: 400,
    has: ["No fields to update"],
    audit: ["project.update project:default refused"],
  },
  {
    what: "a change of no project",
    method: "PATCH",
    path: "/manage/projects/nope",
    body: { name: "a" },
    status: 404,
    audit: ["project.update project:nope refused"],
  },
  {
    what: "the end of the default project",
    method: "DELETE",
    path: "/manage/projects/default",
    status: 409,
    audit: ["project.delete project:default refused"],
  },
  {
    what: "the end of no project",
    method: "DELETE",
    path: "/manage/projects/nope",
    status: 404,
    audit: ["project.delete project:nope refused"],
  },
  {
    what: "an unknown parameter",
    method: "GET",
    path: "/manage/projects?page=2",
    status: 400,
    has: ["Known parameters: limit, cursor"],
  },
  {
    what: "a new project with limits",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", limits: { requests_per_minute: 5, max_requests: 100, session_turns: null } },
    status: 201,
    has: ['"limits":{"requests_per_minute":5,"max_requests":100}'],
    lacks: ["session_turns"],
    audit: ["project.create project:prj_* done"],
  },
  {
    what: "other limits of a project",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { limits: { budget_micros_per_day: 1_000_000 } },
    status: 200,
    has: ['"limits":{"budget_micros_per_day":1000000}'],
    audit: ["project.update project:default done"],
  },
  {
    what: "no limits of a project",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { limits: null },
    status: 400,
    has: ["JSON object"],
    audit: ["project.update project:default refused"],
  },
  {
    what: "a limit that there is not",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { limits: { requests: 1 } },
    status: 400,
    has: ["requests_per_minute, tokens_per_minute"],
    audit: ["project.update project:default refused"],
  },
  {
    what: "a limit of 0",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", limits: { session_turns: 0 } },
    status: 400,
    has: ["limits.session_turns must be a whole number from 1"],
    audit: ["project.create project_name:a refused"],
  },
  {
    what: "a new project with lists",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", models: ["gpt-5*"], endpoints: ["/v1/responses"], tiers: null },
    status: 201,
    has: ['"models":["gpt-5*"],"endpoints":["/v1/responses"],"tiers":null'],
    audit: ["project.create project:prj_* done"],
  },
  {
    what: "lists of a project",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { models: ["o3"], tiers: ["flex", "default"] },
    status: 200,
    has: ['"models":["o3"],"endpoints":null,"tiers":["flex","default"]'],
    audit: ["project.update project:default done"],
  },
  {
    what: "lists that are taken away",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { models: null, endpoints: null, tiers: null },
    status: 200,
    has: ['"models":null,"endpoints":null,"tiers":null'],
    audit: ["project.update project:default done"],
  },
  {
    what: "an empty list",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { models: [] },
    status: 400,
    has: ['\\"models\\" must be a list of 1 to 100 names, or null for no restriction'],
    audit: ["project.update project:default refused"],
  },
  {
    what: "a list with a * in the middle of a name",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", endpoints: ["/v1/*/content"] },
    status: 400,
    has: ["only at the end of an entry"],
    audit: ["project.create project_name:a refused"],
  },
  {
    what: "a list that is a text",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { tiers: "flex" },
    status: 400,
    has: ['\\"tiers\\" must be a list'],
    audit: ["project.update project:default refused"],
  },
  {
    what: "revoke_tokens of an active project",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { revoke_tokens: true },
    status: 200,
    has: ['"is_active":true'],
    audit: ["tokens.revoke project:default done"],
  },
  {
    what: "a deactivation that revokes",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { is_active: false, revoke_tokens: true },
    status: 200,
    has: ['"is_active":false'],
    audit: ["project.update project:default done", "tokens.revoke project:default done"],
  },
];

describe("projectRoutes() answers", () => {
  testAnswers(CASES);
});

describe("/manage/projects", () => {
  test("a deactivation ends live sessions of the project and refuses new tokens", async () => {
    const { request, sessions } = await setUpAdmin();
    sessions.push(new FakeSession("s1", "default", "tok_1", NOW_MS));
    sessions.push(new FakeSession("s2", "other", "tok_2", NOW_MS));
    await request("PATCH", "/manage/projects/default", { is_active: false });
    expect(sessions.map(({ ended }) => ended)).toEqual(["project_inactive", null]);
    const body = { project_id: "default", duration_minutes: 5 };
    const refused = await request("POST", "/manage/tokens", body);
    expect([refused.status, (await refused.json()).code]).toEqual([403, "project_inactive"]);
    await request("PATCH", "/manage/projects/default", { is_active: true });
    expect((await request("POST", "/manage/tokens", body)).status).toBe(201);
  });

  test("revoke_tokens with a deactivation revokes every token of the project", async () => {
    const { request, revocations, store } = await setUpAdmin();
    const body = { project_id: "default", duration_minutes: 5 };
    const { id } = await (await request("POST", "/manage/tokens", body)).json();
    await request("PATCH", "/manage/projects/default", { is_active: false, revoke_tokens: true });
    const bearer = { tokenId: id, projectId: "default", issuedAtMs: NOW_MS };
    expect(revocations.isRevoked(bearer)).toBe(true);
    expect(store.tokens.get(id)?.revoked_at).toBe(NOW_MS);
  });

  test("a deletion is refused while there is usage, else takes credentials along", async () => {
    const { request, store, directory } = await setUpAdmin();
    const { id } = await (
      await request("POST", "/manage/projects", { name: "web", api_key: SECRET })
    ).json();
    await store.insertUsage([usageEvent(1, { project_id: id })]);
    expect((await request("DELETE", `/manage/projects/${id}`)).status).toBe(409);
    expect(directory.isActive(id)).toBe(true);
    store.usage.clear();
    expect((await request("DELETE", `/manage/projects/${id}`)).status).toBe(204);
    expect(directory.isActive(id)).toBe(false);
    expect(store.credentials.size).toBe(0);
  });

  test("a name of another project is refused on PATCH", async () => {
    const { request } = await setUpAdmin();
    await request("POST", "/manage/projects", { name: "web" });
    expect((await request("PATCH", "/manage/projects/default", { name: "web" })).status).toBe(409);
  });

  test("a deactivation holds while the store fails, and is stored and audited after", async () => {
    const { request, store, directory, pending, errors } = await setUpAdmin();
    store.failWith = new Error("disk full");
    const path = "/manage/projects/default";
    const fields = { is_active: false, revoke_tokens: true, name: "other" };
    const answer = await request("PATCH", path, fields);
    expect([answer.status, (await answer.json()).code]).toEqual([503, "store_unavailable"]);
    expect(directory.isActive("default")).toBe(false);
    expect(pending.size).toBe(2);
    expect(errors.length).toBeGreaterThan(0);
    const again = await request("PATCH", path, { is_active: true });
    expect([again.status, (await again.json()).error]).toEqual([
      503,
      "A revocation or deactivation of it waits to be stored before",
    ]);
    store.failWith = null;
    await directory.reload();
    expect(directory.isActive("default")).toBe(false);
    await pending.flush();
    expect(store.projects.get("default")).toMatchObject({ is_active: false, name: "default" });
    const done = store.audit.filter(({ outcome }) => outcome === "done").map(auditLine);
    expect(done.toSorted()).toEqual([
      "project.update project:default done",
      "tokens.revoke project:default done",
    ]);
    expect((await request("PATCH", path, { is_active: true })).status).toBe(200);
    expect(directory.isActive("default")).toBe(true);
  });

  test("a deactivation stands where the name that came with it is taken elsewhere", async () => {
    const { request, store, directory } = await setUpAdmin();
    const update = store.updateProject.bind(store);
    store.updateProject = (id, change, nowMs, by) =>
      change.name === undefined
        ? update(id, change, nowMs, by)
        : Promise.reject(new GatewayError("bad_request", { message: "Taken", status: 409 }));
    const path = "/manage/projects/default";
    const answer = await request("PATCH", path, { is_active: false, name: "taken" });
    expect([answer.status, (await answer.json()).code]).toEqual([409, "conflict"]);
    expect(store.projects.get("default")?.is_active).toBe(false);
    expect(directory.project("default")?.is_active).toBe(false);
  });

  test("the audit says what was changed to what", async () => {
    const { request, store } = await setUpAdmin();
    const limits = { session_turns: 5, requests_per_minute: null };
    await request("PATCH", "/manage/projects/default", { name: "shop", limits });
    await request("PATCH", "/manage/projects/default", { is_active: false });
    const lists = { models: ["gpt-5*", "o3"], tiers: null };
    await request("PATCH", "/manage/projects/default", lists);
    await request("POST", "/manage/projects", { name: "web", ...lists });
    expect(store.audit.map(({ details }) => details)).toEqual([
      { name: "shop", "limits.session_turns": 5, "limits.requests_per_minute": null },
      { is_active: false },
      { models: "gpt-5*, o3", tiers: null },
      { name: "web", models: "gpt-5*, o3" },
    ]);
  });

  test("lists are in the node's memory when the answer goes out", async () => {
    const { request, directory } = await setUpAdmin();
    await request("PATCH", "/manage/projects/default", { models: ["o3"] });
    expect(directory.project("default")).toMatchObject({ models: ["o3"], tiers: null });
    await request("PATCH", "/manage/projects/default", { models: null });
    expect(directory.project("default")?.models).toBeNull();
  });

  test("nothing else reaches the node's memory that the store refused", async () => {
    const { request, store, directory } = await setUpAdmin();
    store.failWith = new Error("disk full");
    await request("PATCH", "/manage/projects/default", { name: "other" });
    await request("POST", "/manage/projects/default/credentials", {
      provider: "openai",
      api_key: SECRET,
    });
    expect(directory.project("default")?.name).toBe("default");
    expect(directory.credentialsOf("default")).toEqual([]);
  });

  test("pages with Link, newest first", async () => {
    const { request, clock } = await setUpAdmin();
    for (const name of ["a", "b"]) {
      clock.advance(1000);
      await request("POST", "/manage/projects", { name });
    }
    const first = await request("GET", "/manage/projects?limit=2");
    expect((await first.json()).map(({ name }: { name: string }) => name)).toEqual(["b", "a"]);
    const next = /^<(.*)>; rel="next"$/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    const last = await request("GET", next);
    expect((await last.json()).map(({ name }: { name: string }) => name)).toEqual(["default"]);
    expect(last.headers.has("link")).toBe(false);
  });
});
