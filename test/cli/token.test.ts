/** `sluice token` against the real management API. */

import { describe, expect, test } from "bun:test";
import { ADMIN_URL, setUpCli } from "../support/cli.ts";
import { runAgainst } from "../support/fake_api.ts";

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

  test("list, show, update and revoke", async () => {
    const { sluice, revocations } = await setUpCli();
    const minted = await sluice(["token", "mint", "--label", "ci", "--json"]);
    const { id, token } = JSON.parse(minted.out);
    expect((await sluice(["token", "list"])).out).toMatch(
      new RegExp(`\\n${id} +default +ci +yes +0 +- +20\\S+Z +-\\n$`),
    );
    expect((await sluice(["token", "show", id])).out).toMatch(/is_active +yes\n/);
    expect((await sluice(["token", "update", id, "--label", ""])).out).toMatch(/label +-\n/);
    expect((await sluice(["token", "revoke", id])).out).toBe(`Revoked token ${id}\n`);
    expect((await sluice(["token", "delete", id])).code).toBe(0);
    expect(revocations.isRevoked({ tokenId: id, projectId: "default", issuedAtMs: 0 })).toBe(true);
    const listed = await sluice(["token", "list", "--project", "default", "--json"]);
    expect(JSON.parse(listed.out)[0]).toMatchObject({ id, is_active: false });
    expect(listed.out).not.toContain(token);
  });

  test.each([
    [["--minutes", "999999999"], "--minutes is out of range", "1 to 525600"],
    [["--project", "../tokens"], "not found", "sluice project list"],
    [["--model", "gpt-*-5"], "only at the end", ""],
  ])("mint %p fails with the API's reason in the command's words", async (more, words, advice) => {
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

const TOKEN = {
  id: "tok_1",
  label: "ci",
  max_requests: 10,
  models: ["gpt-5*", "o3"],
  endpoints: null,
  limits: { requests_per_minute: 60 },
  spend: { requests: 2, cost_micros: { today: 5, this_month: 5, total: 7 } },
};

describe("sluice token mint", () => {
  test("sends every restriction, max_requests beside the limits", async () => {
    const answers = { "POST tokens": { id: "tok_1", token: "sk-sluice-x", expires_at: "" } };
    const lists = ["--model", "gpt-5*", "--model", "o3", "--endpoint", "/v1/*", "--tier", "flex"];
    const limits = ["--limit", "requests_per_minute=60", "--limit", "max_requests=10"];
    const args = ["token", "mint", "--project", "p", "--minutes", "5", "--label", "ci"];
    const { code, calls, out } = await runAgainst(answers, [...args, ...lists, ...limits]);
    expect([code, out]).toEqual([0, "sk-sluice-x\n"]);
    const body = {
      project_id: "p",
      duration_minutes: 5,
      label: "ci",
      models: ["gpt-5*", "o3"],
      endpoints: ["/v1/*"],
      tiers: ["flex"],
      max_requests: 10,
      limits: { requests_per_minute: 60 },
    };
    expect(calls).toEqual([["POST tokens", body]]);
  });

  test("refuses max_requests twice without a request", async () => {
    const twice = ["--max-requests", "1", "--limit", "max_requests=2"];
    const { code, err, calls } = await runAgainst({}, ["token", "mint", ...twice]);
    expect([code, calls]).toEqual([2, []]);
    expect(err).toContain("max_requests is named twice");
  });
});

describe("sluice token show", () => {
  test("shows what it may do and what it spent", async () => {
    const { out } = await runAgainst({ "GET tokens/tok_1": TOKEN }, ["token", "show", "tok_1"]);
    expect(out).toMatch(/\nmax_requests +10\nmodels +gpt-5\*, o3\nendpoints +-\n/);
    expect(out).toMatch(/\nlimits +requests_per_minute=60\n/);
    expect(out).toMatch(/\nspend +requests=2, cost_micros.today=5, .*cost_micros.total=7\n/);
  });
});

describe("sluice token update", () => {
  test.each<[string[], object]>([
    [["--label", ""], { label: null }],
    [["--deactivate"], { is_active: false }],
    [["--activate"], { is_active: true }],
    [["--max-requests", "5"], { max_requests: 5 }],
    [["--no-limit", "max_requests"], { max_requests: null }],
    [
      ["--limit", "session_turns=3", "--no-limit", "session_tokens"],
      { limits: { session_turns: 3, session_tokens: null } },
    ],
  ])("%p sends %p", async (args, body) => {
    const answers = { "PATCH tokens/tok_1": TOKEN };
    const { code, calls } = await runAgainst(answers, ["token", "update", "tok_1", ...args]);
    expect([code, calls]).toEqual([0, [["PATCH tokens/tok_1", body]]]);
  });
});

describe("sluice token revoke", () => {
  test("--project revokes all of a project, also those that nobody recorded", async () => {
    const answers = { "POST projects/p%2F1/tokens/revoke": { revoked: 3 } };
    const args = ["token", "revoke", "--project", "p/1"];
    const { code, out, calls } = await runAgainst(answers, args);
    expect([code, out]).toEqual([0, "Revoked every token of project p/1 (3 known)\n"]);
    expect(calls).toEqual([["POST projects/p%2F1/tokens/revoke"]]);
  });
});
