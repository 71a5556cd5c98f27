/** `sluice project` against the real management API. */

import { describe, expect, test } from "bun:test";
import { FakeSession } from "../support/admin.ts";
import { setUpCli } from "../support/cli.ts";

const SECRET = "sk-proj-0123456789abcdefghij";

describe("sluice project", () => {
  test("create, list, show, update and delete", async () => {
    const { sluice } = await setUpCli();
    const created = await sluice(["project", "create", "web", "--json"]);
    const { id } = JSON.parse(created.out);
    expect(created.code).toBe(0);
    const listed = await sluice(["project", "list"]);
    expect(listed.out).toMatch(/^ID +NAME +ACTIVE +CREDENTIALS +CREATED\n/);
    expect(listed.out).toMatch(new RegExp(`${id} +web +yes +- `));
    const changed = await sluice(["project", "update", id, "--name", "site", "--deactivate"]);
    expect(changed.out).toMatch(/name +site\nis_active +no\n/);
    expect((await sluice(["project", "show", id])).out).toBe(changed.out);
    const deleted = await sluice(["project", "delete", id]);
    expect([deleted.code, deleted.out]).toEqual([0, `Deleted project ${id}\n`]);
    const gone = await sluice(["project", "show", id]);
    expect([gone.code, gone.out]).toEqual([1, ""]);
    expect(gone.err).toBe(
      `error: Project "${id}" not found\nGET /manage/projects lists what there is\n`,
    );
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
    expect(revocations.isRevoked(id)).toBe(true);
  });

  test("list follows the pages to the last", async () => {
    const { sluice, store, directory } = await setUpCli();
    for (let index = 0; index < 1500; index++) {
      const row = { id: `p${index}`, name: `n${index}`, is_active: true, deactivated_at: null };
      await store.insertProject({ ...row, created_at: index, updated_at: index });
    }
    await directory.reload();
    const { out, io } = await sluice(["project", "list", "--json"]);
    expect(JSON.parse(out)).toHaveLength(1501);
    expect(io.requests).toHaveLength(2);
  });
});
