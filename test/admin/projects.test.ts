/** /manage/projects: projects, their credentials, and what ends with them. */

import { describe, expect, test } from "bun:test";
import { FakeSession, setUpAdmin } from "../support/admin.ts";
import { usageEvent } from "../support/usage_event.ts";
import { type Case, SECRET, testAnswers } from "../support/admin_cases.ts";

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
  },
  {
    what: "a new project with a key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "web", api_key: SECRET },
    status: 201,
    has: ['"provider":"openai"', '"api_key":"sk-p****ghij"'],
  },
  {
    what: "a new project with another provider's key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "web", api_key: SECRET, provider: "anthropic" },
    status: 201,
    has: ['"provider":"anthropic"'],
  },
  {
    what: "a project without a name",
    method: "POST",
    path: "/manage/projects",
    body: {},
    status: 400,
    has: ['\\"name\\" is missing'],
  },
  {
    what: "a project with an empty name",
    method: "POST",
    path: "/manage/projects",
    body: { name: "  " },
    status: 400,
  },
  {
    what: "a name with a line break",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a\nb" },
    status: 400,
    has: ["control characters"],
  },
  {
    what: "a name of 201 characters",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a".repeat(201) },
    status: 400,
    has: ["at most 200"],
  },
  {
    what: "a name that is no string",
    method: "POST",
    path: "/manage/projects",
    body: { name: 7 },
    status: 400,
    has: ["must be a string"],
  },
  {
    what: "a name that is taken",
    method: "POST",
    path: "/manage/projects",
    body: { name: "default" },
    status: 409,
    has: ["conflict"],
  },
  {
    what: "limits of a project",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", limits: {} },
    status: 400,
    has: ["not available in this version", "name, api_key, provider"],
  },
  {
    what: "a misspelt field",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", apikey: SECRET },
    status: 400,
    has: ['Unknown field \\"apikey\\"', "name, api_key, provider"],
  },
  {
    what: "a field of every object",
    method: "POST",
    path: "/manage/projects",
    body: JSON.parse('{"name":"a","constructor":1}'),
    status: 400,
    has: ["Unknown field"],
  },
  {
    what: "an unknown provider",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", api_key: SECRET, provider: "nope" },
    status: 400,
    has: ["openai, anthropic"],
  },
  {
    what: "a provider without a key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", provider: "openai" },
    status: 400,
    has: ["means nothing without"],
  },
  {
    what: "a masked key",
    method: "POST",
    path: "/manage/projects",
    body: { name: "a", api_key: "sk-p****ghij" },
    status: 400,
    has: ["masked_key", "whole key"],
  },
  {
    what: "llm-proxy's masked key",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { api_key: "sk-proj-...ghij" },
    status: 400,
    has: ["masked_key"],
  },
  {
    what: "a new key of a project",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { api_key: SECRET },
    status: 200,
    has: ["****ghij"],
  },
  {
    what: "a new name",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { name: "main" },
    status: 200,
    has: ['"name":"main"'],
  },
  {
    what: "its own name again",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { name: "default" },
    status: 200,
  },
  {
    what: "a deactivation",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { is_active: false },
    status: 200,
    has: ['"is_active":false', '"deactivated_at":"20'],
  },
  {
    what: "is_active as a string",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { is_active: "false" },
    status: 400,
    has: ["true or false"],
  },
  {
    what: "nothing to change",
    method: "PATCH",
    path: "/manage/projects/default",
    body: {},
    status: 400,
    has: ["No fields to update"],
  },
  {
    what: "revoke_tokens of an active project",
    method: "PATCH",
    path: "/manage/projects/default",
    body: { revoke_tokens: true },
    status: 400,
    has: ["tokens/revoke"],
  },
  {
    what: "a change of no project",
    method: "PATCH",
    path: "/manage/projects/nope",
    body: { name: "a" },
    status: 404,
  },
  {
    what: "the end of the default project",
    method: "DELETE",
    path: "/manage/projects/default",
    status: 409,
  },
  { what: "the end of no project", method: "DELETE", path: "/manage/projects/nope", status: 404 },
  {
    what: "an unknown parameter",
    method: "GET",
    path: "/manage/projects?page=2",
    status: 400,
    has: ["Known parameters: limit, cursor"],
  },
  {
    what: "credentials",
    method: "GET",
    path: "/manage/projects/default/credentials",
    status: 200,
    has: ['{"credentials":[],"next_cursor":null}'],
  },
  {
    what: "a credential",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { provider: "anthropic", api_key: SECRET, label: "team" },
    status: 201,
    has: ['"label":"team"', '"id":"crd_', "****ghij"],
  },
  {
    what: "a credential without a provider",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { api_key: SECRET },
    status: 400,
  },
  {
    what: "a credential without a key",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { provider: "openai" },
    status: 400,
  },
  {
    what: "a masked credential",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { provider: "openai", api_key: "****" },
    status: 400,
    has: ["masked_key"],
  },
  {
    what: "a key of 9000 characters",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { provider: "openai", api_key: "s".repeat(9000) },
    status: 400,
    has: ["at most 8192"],
  },
  {
    what: "credentials of no project",
    method: "GET",
    path: "/manage/projects/nope/credentials",
    status: 404,
  },
  {
    what: "the end of no credential",
    method: "DELETE",
    path: "/manage/projects/default/credentials/nope",
    status: 404,
  },
  {
    what: "a revocation of all of nothing",
    method: "POST",
    path: "/manage/projects/default/tokens/revoke",
    status: 200,
    has: ['{"revoked_count":0}'],
  },
];

describe("projectRoutes() answers", () => {
  testAnswers(CASES);
});

describe("/manage/projects", () => {
  test("a credential is encrypted, replaced by the next one, and used at once", async () => {
    const { request, store, directory } = await setUpAdmin();
    const path = "/manage/projects/default/credentials";
    await request("POST", path, { provider: "openai", api_key: "sk-first-credential-1111" });
    const second = await request("POST", path, { provider: "openai", api_key: SECRET });
    const { id } = await second.json();
    expect([...store.credentials.keys()]).toEqual([id]);
    expect(await directory.credential("default", "openai")).toBe(SECRET);
    expect((await request("DELETE", `${path}/${id}`)).status).toBe(204);
    expect(directory.credential("default", "openai")).toBeNull();
    expect((await request("DELETE", `${path}/${id}`)).status).toBe(404);
  });

  test("another project's credential cannot be deleted through this one", async () => {
    const { request, store } = await setUpAdmin();
    const { id } = await (
      await request("POST", "/manage/projects", { name: "web", api_key: SECRET })
    ).json();
    const [credential] = [...store.credentials.values()];
    const path = `/manage/projects/default/credentials/${credential?.id}`;
    expect((await request("DELETE", path)).status).toBe(404);
    expect(store.credentials.size).toBe(1);
    expect(credential?.project_id).toBe(id);
  });

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
    const { request, revocations } = await setUpAdmin();
    const body = { project_id: "default", duration_minutes: 5 };
    const { id } = await (await request("POST", "/manage/tokens", body)).json();
    await request("PATCH", "/manage/projects/default", { is_active: false, revoke_tokens: true });
    expect(revocations.isRevoked(id)).toBe(true);
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

  test("a deactivation is in force even where the store fails", async () => {
    const { request, store, directory } = await setUpAdmin();
    store.failWith = new Error("disk full");
    const answer = await request("PATCH", "/manage/projects/default", { is_active: false });
    expect(answer.status).toBe(500);
    expect(directory.isActive("default")).toBe(false);
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
