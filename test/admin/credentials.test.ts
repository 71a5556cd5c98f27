/** /manage/projects/{id}/credentials: keys that go in and never come out. */

import { describe, expect, test } from "bun:test";
import { setUpAdmin } from "../support/admin.ts";
import { type Case, SECRET, testAnswers } from "../support/admin_cases.ts";

const CASES: readonly Case[] = [
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
    audit: ["credential.put credential:crd_* done"],
  },
  {
    what: "a credential without a provider",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { api_key: SECRET },
    status: 400,
    audit: ["credential.put project:default refused"],
  },
  {
    what: "a credential without a key",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { provider: "openai" },
    status: 400,
    audit: ["credential.put project:default refused"],
  },
  {
    what: "a masked credential",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { provider: "openai", api_key: "****" },
    status: 400,
    has: ["masked_key"],
    audit: ["credential.put project:default refused"],
  },
  {
    what: "a key of 9000 characters",
    method: "POST",
    path: "/manage/projects/default/credentials",
    body: { provider: "openai", api_key: "s".repeat(9000) },
    status: 400,
    has: ["at most 8192"],
    audit: ["credential.put project:default refused"],
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
    audit: ["credential.delete credential:nope refused"],
  },
];

describe("credentialRoutes() answers", () => {
  testAnswers(CASES);
});

describe("/manage/projects/{id}/credentials", () => {
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
});
