/** `sluice token` against the real management API. */

import { describe, expect, test } from "bun:test";
import { ADMIN_URL, setUpCli } from "../support/cli.ts";

describe("sluice token", () => {
  test("mint prints the token alone where a program reads it", async () => {
    const { sluice, tokens } = await setUpCli();
    const { out, err, code } = await sluice(["token", "mint"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^sk-sluice-[\w.-]+\n$/);
    const principal = await tokens.verify(out.trim());
    expect(principal.projectId).toBe("default");
    expect((principal.expiresAtMs ?? 0) - (principal.issuedAtMs ?? 0)).toBe(3_600_000);
  });

  test("mint prints id and end too where a person reads it", async () => {
    const { sluice } = await setUpCli();
    const { out } = await sluice(["token", "mint", "--minutes", "5"], { isTerminal: true });
    expect(out).toMatch(/^id +tok_\w+\nexpires_at +20\S+Z\ntoken +sk-sluice-\S+\n$/);
  });

  test("list, show, update and delete", async () => {
    const { sluice, revocations } = await setUpCli();
    const minted = await sluice(["token", "mint", "--label", "ci", "--json"]);
    const { id, token } = JSON.parse(minted.out);
    expect((await sluice(["token", "list"])).out).toMatch(
      new RegExp(`\\n${id} +default +ci +yes +20\\S+Z +-\\n$`),
    );
    expect((await sluice(["token", "show", id])).out).toContain("is_active   yes");
    expect((await sluice(["token", "update", id, "--label", ""])).out).toMatch(/label +-\n/);
    expect((await sluice(["token", "delete", id])).out).toBe(`Revoked token ${id}\n`);
    expect((await sluice(["token", "delete", id])).code).toBe(0);
    expect(revocations.isRevoked(id)).toBe(true);
    const listed = await sluice(["token", "list", "--project", "default", "--json"]);
    expect(JSON.parse(listed.out)[0]).toMatchObject({ id, is_active: false });
    expect(listed.out).not.toContain(token);
  });

  test.each([
    [["--minutes", "999999999"], '"duration_minutes" is out of range', "1 to 525600"],
    [["--project", "../tokens"], "not found", "/manage/projects"],
    [["--model", "gpt-5"], "not available in this version", "Leave it out"],
  ])("mint %p fails with the API's words and advice", async (more, words, advice) => {
    const { sluice } = await setUpCli();
    const { code, out, err } = await sluice(["token", "mint", ...more]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain(words);
    expect(err).toContain(advice);
  });

  test("an id cannot reach another path", async () => {
    const { sluice } = await setUpCli();
    const { code, io } = await sluice(["token", "show", "../projects/default"]);
    expect(code).toBe(1);
    expect(io.requests[0]?.url).toBe(`${ADMIN_URL}/manage/tokens/..%2Fprojects%2Fdefault`);
  });
});
