import { describe, expect, test } from "bun:test";
import { runAgainst } from "../support/fake_api.ts";

describe("sluice revocation add", () => {
  test.each<[string[], object, string]>([
    [["--jti", "tok_1"], { jti: "tok_1" }, "Revoked token tok_1\n"],
    [
      ["--project", "p1"],
      { project_id: "p1" },
      "Revoked every token of project p1 that was issued until now\n",
    ],
    [
      ["--project", "p1", "--issued-before", "2026-01-31T12:00:00Z"],
      { project_id: "p1", issued_before: "2026-01-31T12:00:00Z" },
      "Revoked every token of project p1 that was issued until 2026-01-31T12:00:00Z\n",
    ],
  ])("%p sends %p", async (args, body, said) => {
    const ran = await runAgainst({ "POST revocations": null }, ["revocation", "add", ...args]);
    expect([ran.code, ran.out, ran.err]).toEqual([0, said, ""]);
    expect(ran.calls).toEqual([["POST revocations", body]]);
  });

  test.each<[string[], string]>([
    [["--jti", `sk-sluice-${"x".repeat(400)}`], "not its id"],
    [[], "--jti"],
    [["--jti", "a", "--project", "b"], "--jti"],
    [["--jti", "a", "--issued-before", "1"], "goes with --project"],
  ])("refuses %p without a request", async (args, words) => {
    const ran = await runAgainst({}, ["revocation", "add", ...args]);
    expect([ran.code, ran.calls.length]).toEqual([2, 0]);
    expect(ran.err).toContain(words);
  });
});

describe("sluice revocation list", () => {
  test("shows tokens and projects in one table", async () => {
    const revoked_at = "2026-11-21T12:00:00.000Z";
    const revocations = [
      { jti: "tok_1", revoked_at, expires_at: null },
      { project_id: "p1", issued_before: revoked_at, revoked_at, expires_at: null },
    ];
    const answers = { "GET revocations?limit=2": { revocations, next_cursor: null } };
    const { out, code } = await runAgainst(answers, ["revocation", "list", "--limit", "2"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^TOKEN +PROJECT +ISSUED BEFORE +REVOKED +KEPT UNTIL\ntok_1 +- +- +2026-/);
    expect(out).toMatch(/\n- +p1 +2026-\S+ +2026-\S+ +-\n$/);
  });
});
