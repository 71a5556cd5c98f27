/** `sluice policy` against the real management API. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CurrentPolicy } from "../../src/policy/current_policy.ts";
import { setUpCli } from "../support/cli.ts";

const BLOCK_FLEX = { rules: [{ service_tier: "flex", action: "block", error_message: "No flex" }] };

let folder: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-policy-"));
  file = join(folder, "policy.json");
  writeFileSync(file, JSON.stringify(BLOCK_FLEX));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("sluice policy show and set", () => {
  test("write and take the same text, and say what is in force", async () => {
    const { sluice, store } = await setUpCli();
    const initial = await sluice(["policy", "show"]);
    expect([initial.code, initial.err]).toEqual([0, "In force: the default policy (version 0)\n"]);
    const set = await sluice(["policy", "set", file]);
    expect([set.code, set.out]).toEqual([0, "In force: the stored policy (version 1)\n"]);
    const shown = await sluice(["policy", "show"]);
    expect(JSON.parse(shown.out)).toMatchObject(BLOCK_FLEX);
    expect((await sluice(["policy", "set", "-"], { input: shown.out })).code).toBe(0);
    const documents = [1, 2].map((version) => store.policies.version("service-tier", version));
    expect(documents[0]?.document).toBe(documents[1]?.document);
    const json = await sluice(["policy", "show", "--json"]);
    expect(JSON.parse(json.out)).toMatchObject({ version: 2, source: "stored" });
  });

  test("refuse a policy with every problem, and what is no JSON or not there", async () => {
    const { sluice } = await setUpCli();
    const input = '{"rules":[{"service_tier":"flex"},{"action":"block"}]}';
    const bad = await sluice(["policy", "set", "-"], { input });
    expect(bad.code).toBe(1);
    expect(bad.err).toContain("rules[0].action is required: pass, filter, block, force");
    expect(bad.err).toContain("rules[1].service_tier is required");
    const text = await sluice(["policy", "set", "-"], { input: "rules: []" });
    expect([text.code, text.err.includes("Standard input is not JSON")]).toEqual([1, true]);
    const none = await sluice(["policy", "set", join(folder, "none.json")]);
    expect([none.code, none.err.includes("it does not exist")]).toEqual([1, true]);
    expect((await sluice(["policy", "set"])).code).toBe(2);
  });

  test("--if-version changes only that version", async () => {
    const { sluice } = await setUpCli();
    expect((await sluice(["policy", "set", file, "--if-version", "0"])).code).toBe(0);
    const stale = await sluice(["policy", "set", file, "--if-version", "0"]);
    expect([stale.code, stale.err.includes("not at the version")]).toEqual([1, true]);
    expect((await sluice(["policy", "reset", "--if-version", "7"])).code).toBe(1);
    expect((await sluice(["policy", "restore", "1", "--if-version", "1"])).code).toBe(0);
    expect((await sluice(["policy", "set", file, "--if-version", "x"])).code).toBe(2);
  });

  test("say that the stored one cannot be read", async () => {
    const tierPolicy = new CurrentPolicy(null, () => {});
    const { sluice, store } = await setUpCli({ tierPolicy });
    await sluice(["policy", "set", file]);
    tierPolicy.take({ version: 2, document: '{"rules":1}' });
    const { err } = await sluice(["policy", "show"]);
    expect(err).toStartWith("In force: the stored policy of before, because version 2 cannot be");
    const [row] = store.policies.rows.get("service-tier") ?? [];
    if (row !== undefined) row.document = '{"rules":1}';
    const version = await sluice(["policy", "show", "--version", "1"]);
    expect([version.code, version.out]).toEqual([0, ""]);
    expect(version.err).toContain("it cannot be read: The policy cannot be used: rules must be");
  });
});

describe("sluice policy versions, restore and reset", () => {
  test("list every version and bring one back", async () => {
    const { sluice } = await setUpCli();
    await sluice(["policy", "set", file]);
    const reset = await sluice(["policy", "reset"]);
    expect(reset.out).toBe("In force: the default policy (version 2)\n");
    const { out } = await sluice(["policy", "versions"]);
    expect(out).toMatch(/^VERSION +CREATED +ACTOR +RESET\n +2 .* yes\n +1 .* no\n$/);
    const page = await sluice(["policy", "versions", "--limit", "1"]);
    expect(page.err).toContain("There is more: --cursor ");
    const restored = await sluice(["policy", "restore", "1"]);
    expect(restored.out).toBe("In force: the stored policy (version 3)\n");
    const second = await sluice(["policy", "show", "--version", "2"]);
    expect(second.err).toMatch(/^Version 2, by alice at .*, which took the stored policy away\n$/);
    expect((await sluice(["policy", "restore", "9"])).code).toBe(1);
    expect((await sluice(["policy", "restore", "first"])).code).toBe(2);
  });
});

describe("sluice policy explain", () => {
  test("says decision, rule and reason", async () => {
    const { sluice } = await setUpCli();
    await sluice(["policy", "set", file]);
    const args = ["policy", "explain", "--tier", "Flex", "--model", "gpt-5.5", "--project", "web"];
    const { code, out } = await sluice([...args, "--token", "t", "--credential-kind", "oauth"]);
    expect(code).toBe(0);
    const lines = out.split("\n").map((line) => line.replace(/ +/g, " "));
    expect(lines).toEqual([
      "action block",
      "tier -",
      "rule 0",
      "reason action",
      "message No flex",
      "on_block close",
      "refusal -",
      "shadow -",
      "policy_version 1",
      "",
    ]);
  });

  test("tries a draft, and needs a tier", async () => {
    const { sluice } = await setUpCli();
    const args = ["policy", "explain", "--tier", "flex", "--file", file, "--json"];
    const { out } = await sluice(args);
    expect(JSON.parse(out)).toMatchObject({
      decision: { action: "block", rule: 0 },
      policy_version: null,
    });
    expect((await sluice(["policy", "show"])).err).toContain("version 0");
    expect((await sluice(["policy", "explain", "--model", "gpt-5.5"])).code).toBe(2);
  });
});
