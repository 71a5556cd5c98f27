import { describe, expect, test } from "bun:test";

import { configOf, problemsOf } from "./support.ts";

const entry = (name: string, token: string) => `{name: ${name}, token: ${token}}`;
const tokens = (...entries: string[]) => `admin_tokens: [${entries.join(", ")}]`;

describe("adminsOf()", () => {
  test("reads names, tokens and roles; the role is admin where none is given", () => {
    const { admins } = configOf(`${tokens(entry("ada", "a-secret-1"))}\n`);
    expect(admins).toEqual([{ name: "ada", token: "a-secret-1", role: "admin" }]);
    const viewer = configOf("admin_tokens: [{name: bob, token: b-secret-2, role: viewer}]").admins;
    expect(viewer).toEqual([{ name: "bob", token: "b-secret-2", role: "viewer" }]);
  });

  test.each([
    [tokens(entry("ada", "a-secret-1"), entry("ada", "b-secret-2")), "admin_tokens[1].name"],
    [tokens(entry("admin", "a-secret-1")), "admin_tokens[0].name"],
    [tokens(entry("ada", "a-secret-1"), entry("bob", "a-secret-1")), "admin_tokens[1].token"],
    [`admin_token: a-secret-1\n${tokens(entry("ada", "a-secret-1"))}`, "admin_tokens[0].token"],
    ["admin_tokens: [{token: a-secret-1}]", "admin_tokens[0].name"],
    ["admin_tokens: [{name: ada, token: a-secret-1, role: root}]", "admin_tokens[0].role"],
  ])("%p is a problem", (text, path) => {
    const problems = problemsOf(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(` ${path}: `);
    expect(problems[0]).not.toContain("a-secret-1");
  });
});
