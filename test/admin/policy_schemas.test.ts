/** The described policy against the one that is read. */

import { describe, expect, test } from "bun:test";

import { POLICY_DOCUMENT, POLICY_SCHEMAS } from "../../src/admin/policy_schemas.ts";
import { parseServiceTierPolicy } from "../../src/policy/service_tier_policy.ts";

type Schema = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** The schema below a path of properties and `items`. */
function below(schema: unknown, ...path: string[]): Readonly<Record<string, unknown>> {
  return path.reduce(
    (at, name) => {
      const child = name === "items" ? at["items"] : (at["properties"] as Schema)[name];
      return child as Readonly<Record<string, unknown>>;
    },
    schema as Readonly<Record<string, unknown>>,
  );
}

const SENT_RULE = below(POLICY_DOCUMENT, "rules", "items");
const MINIMAL = { service_tier: "flex", action: "force", force_tier: "auto" };

/** Every value that a field of a rule is described to take. */
const CHOICES = Object.entries(SENT_RULE["properties"] as Schema).flatMap(([name, schema]) =>
  ((schema["enum"] ?? []) as unknown[]).map((value) => [name, value] as const),
);

describe("POLICY_DOCUMENT", () => {
  test("names every field of a policy and its rules, and no other", () => {
    const policy = parseServiceTierPolicy({ rules: [MINIMAL] });
    expect(Object.keys(POLICY_DOCUMENT["properties"] as object)).toEqual(Object.keys(policy));
    const [rule = {}] = policy.rules;
    expect(Object.keys(SENT_RULE["properties"] as object)).toEqual(Object.keys(rule));
  });

  test("requires what is required, and no more", () => {
    expect(SENT_RULE["required"]).toEqual(["service_tier", "action"]);
    expect(() =>
      parseServiceTierPolicy({ rules: [{ service_tier: "all", action: "pass" }] }),
    ).not.toThrow();
    expect(() => parseServiceTierPolicy({})).toThrow("rules is required");
  });

  test.each(CHOICES)("describes a %s that may be %p", (name, value) => {
    const isForced = name === "force_tier" || value === "force";
    const base = isForced ? MINIMAL : { service_tier: "flex", action: "pass" };
    const force = name === "force_tier" && value === null ? { action: "pass" } : {};
    const rule = { ...base, [name]: value, ...force };
    expect(() => parseServiceTierPolicy({ rules: [rule] })).not.toThrow();
  });
});

test("POLICY_SCHEMAS say of an answered policy that everything is there", () => {
  const policy = below(POLICY_SCHEMAS.ServiceTierPolicy, "policy");
  const rule = below(policy, "rules", "items");
  expect(rule["required"]).toEqual(Object.keys(rule["properties"] as object));
});
