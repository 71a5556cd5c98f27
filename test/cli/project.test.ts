/** `sluice project` against the real management API. */

import { describe, expect, test } from "bun:test";
import type { AuditEntry } from "../../src/store/store.ts";
import { FakeSession } from "../support/admin.ts";
import { setUpCli } from "../support/cli.ts";
import { runAgainst } from "../support/fake_api.ts";
import { UNRESTRICTED } from "../support/unrestricted.ts";

const SECRET = "sk-proj-0123456789abcdefghij";

describe("sluice project", () => {
  test("create, list, show, update and delete", async () => {
    const { sluice } = await setUpCli();
    const created = await sluice(["project", "create", "web", "--json"]);
    const { id } = JSON.parse(created.out);
    expect(created.code).toBe(0);
    const listed = await sluice(["project", "list"]);
    expect(listed.out).toMatch(/^ID +NAME +ACTIVE +CREDENTIALS +LIMITS +CREATED\n/);
    expect(listed.out).toMatch(new RegExp(`${id} +web +yes +- +- +20`));
    const changed = await sluice(["project", "update", id, "--name", "site", "--deactivate"]);
    expect(changed.out).toMatch(/name +site\nis_active +no\n/);
    expect((await sluice(["project", "show", id])).out).toMatch(/name +site\nis_active +no\n/);
    const deleted = await sluice(["project", "delete", id]);
    expect([deleted.code, deleted.out]).toEqual([0, `Deleted project ${id}\n`]);
    const gone = await sluice(["project", "show", id]);
    expect([gone.code, gone.out]).toEqual([1, ""]);
    expect(gone.err).toBe(`error: Project "${id}" not found\nWhat there is: sluice project list\n`);
  });

  test("create takes a key from standard input and prints it masked", async () => {
    const { sluice, directory, store } = await setUpCli();
    const args = ["project", "create", "web", "--api-key-stdin", "--provider", "anthropic"];
    const { out, code } = await sluice(args, { input: `${SECRET}\n` });
    expect(code).toBe(0);
    expect(out).toContain("anthropic (sk-p****ghij)");
    expect(out).not.toContain(SECRET);
    const [credential] = [...store.credentials.values()];
    expect(await directory.credential(credential?.project_id ?? "", "anthropic")).toBe(SECRET);
  });

  test("update --deactivate --revoke-tokens ends what the project had", async () => {
    const { sluice, sessions, revocations } = await setUpCli();
    const { id } = JSON.parse((await sluice(["token", "mint", "--json"])).out);
    sessions.push(new FakeSession("s1", "default", id, 0));
    const args = ["project", "update", "default", "--deactivate", "--revoke-tokens"];
    expect((await sluice(args)).code).toBe(0);
    expect(sessions[0]?.ended).not.toBeNull();
    expect(revocations.isRevoked({ tokenId: id, projectId: "default", issuedAtMs: 0 })).toBe(true);
  });

  test("list follows the pages to the last", async () => {
    const { sluice, store, directory } = await setUpCli();
    const by: AuditEntry = {
      actor: "ops",
      action: "project.create",
      subject: "",
      outcome: "done",
      request_id: "",
      client_address: "",
      details: {},
    };
    const row = { is_active: true, deactivated_at: null, ...UNRESTRICTED };
    for (let index = 0; index < 1500; index++) {
      const times = { created_at: index, updated_at: index };
      await store.insertProject({ ...row, ...times, id: `p${index}`, name: `n${index}` }, by);
    }
    await directory.reload();
    const { out, io } = await sluice(["project", "list", "--json"]);
    expect(JSON.parse(out)).toHaveLength(1501);
    expect(io.requests).toHaveLength(2);
  });
});

const PROJECT = { id: "p1", name: "web", is_active: true, limits: { session_turns: 3 } };

describe("sluice project create", () => {
  test("sends limits", async () => {
    const args = ["project", "create", "web", "--limit", "requests_per_minute=60"];
    const { code, calls, out } = await runAgainst({ "POST projects": PROJECT }, args);
    expect(code).toBe(0);
    const body = { name: "web", limits: { requests_per_minute: 60 } };
    expect(calls).toEqual([["POST projects", body]]);
    expect(out).toMatch(/\nlimits +session_turns=3\n/);
  });
});

describe("sluice project create", () => {
  test("sends lists", async () => {
    const args = ["project", "create", "web", "--model", "gpt-5*", "--model", "o3"];
    const more = ["--endpoint", "/v1/responses", "--tier", "flex"];
    const answer = { ...PROJECT, models: ["gpt-5*", "o3"] };
    const { calls, out } = await runAgainst({ "POST projects": answer }, [...args, ...more]);
    const lists = { models: ["gpt-5*", "o3"], endpoints: ["/v1/responses"], tiers: ["flex"] };
    expect(calls).toEqual([["POST projects", { name: "web", ...lists }]]);
    expect(out).toMatch(/\nmodels +gpt-5\*, ?o3\n/);
  });
});

describe("sluice project update", () => {
  const answers = { "PATCH projects/p1": PROJECT };
  const update = (...args: string[]) => runAgainst(answers, ["project", "update", "p1", ...args]);

  test("changes the limits that are named and keeps the others", async () => {
    const { calls } = await update("--limit", "tokens_per_minute=9", "--no-limit", "session_turns");
    const limits = { tokens_per_minute: 9, session_turns: null };
    expect(calls).toEqual([["PATCH projects/p1", { limits }]]);
  });

  test("replaces the lists that are named, and takes others away", async () => {
    const { calls } = await update("--tier", "flex", "--any-model");
    expect(calls).toEqual([["PATCH projects/p1", { models: null, tiers: ["flex"] }]]);
  });

  test("without an option sends nothing", async () => {
    const { code, calls, err } = await update();
    expect([code, calls]).toEqual([2, []]);
    expect(err).toContain("Nothing to change: name at least one option");
  });

  test("sends the other fields", async () => {
    const { calls } = await update("--name", "site", "--activate", "--revoke-tokens");
    const body = { name: "site", is_active: true, revoke_tokens: true };
    expect(calls).toEqual([["PATCH projects/p1", body]]);
  });
});
