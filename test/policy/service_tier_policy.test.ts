import { describe, expect, test } from "bun:test";
import {
  DEFAULT_SERVICE_TIER_POLICY,
  ServiceTierPolicyError,
  parseServiceTierPolicy,
} from "../../src/policy/service_tier_policy.ts";

/** Every problem of a policy, as `path message`. */
function problems(policy: unknown): string[] {
  try {
    parseServiceTierPolicy(policy);
  } catch (error) {
    if (!(error instanceof ServiceTierPolicyError)) throw error;
    return error.problems.map(({ path, message }) => `${path} ${message}`);
  }
  return [];
}

/** Of a policy whose only rule is right but for these fields. */
function problemsOfRule(fields: Record<string, unknown>): string[] {
  return problems({ rules: [{ service_tier: "priority", action: "filter", ...fields }] });
}

describe("parseServiceTierPolicy()", () => {
  test("fills in what is left out", () => {
    expect(parseServiceTierPolicy({ rules: [{ service_tier: "flex", action: "block" }] })).toEqual({
      rules: [
        {
          service_tier: "flex",
          action: "block",
          force_tier: null,
          scope: "all",
          projects: [],
          tokens: [],
          model_whitelist: [],
          fallback_action: "pass",
          error_message: null,
          fallback_error_message: null,
          on_block: "close",
          shadow: false,
        },
      ],
      unknown_tier: "pass",
    });
  });

  test("spells tiers and names as they are compared", () => {
    const rule = {
      service_tier: " Fast ",
      action: "force",
      force_tier: "FLEX",
      model_whitelist: [" gpt-5.5* ", "Gpt-4"],
      projects: [" p1"],
      error_message: "  ",
      fallback_error_message: " no ",
    };
    const { rules } = parseServiceTierPolicy({ rules: [rule], unknown_tier: "block" });
    expect(rules[0]).toMatchObject({
      service_tier: "priority",
      force_tier: "flex",
      model_whitelist: ["gpt-5.5*", "Gpt-4"],
      projects: ["p1"],
      error_message: null,
      fallback_error_message: "no",
    });
  });

  test("gives its own result back, also from JSON", () => {
    const rules = [
      { service_tier: "all", action: "force", force_tier: "flex", tokens: ["t"], shadow: true },
      { service_tier: "flex", action: "block", on_block: "fail_turn", scope: "oauth" },
    ];
    const policy = parseServiceTierPolicy({ rules, unknown_tier: "filter" });
    expect(parseServiceTierPolicy(policy)).toEqual(policy);
    expect(parseServiceTierPolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
  });

  test("takes an empty list of rules, and no lack of one", () => {
    expect(parseServiceTierPolicy({ rules: [] }).rules).toEqual([]);
    expect(problems({})).toEqual(["rules is required; [] lets every tier pass"]);
    expect(problems({ rules: null })).toHaveLength(1);
  });

  test.each([
    [null, "must be a JSON object, not null"],
    [[], "must be a JSON object, not a list"],
    ["x", 'must be a JSON object, not "x"'],
    [undefined, "must be a JSON object, not undefined"],
  ])("refuses %p as a policy", (policy, problem) => {
    expect(problems(policy)).toEqual([` ${problem}`]);
  });

  const wrong: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ service_tier: "fest" }, 'rules[0].service_tier must be priority, flex, all, not "fest"'],
    [{ service_tier: "auto" }, "rules[0].service_tier must be"],
    [{ service_tier: "" }, "rules[0].service_tier must be"],
    [{ service_tier: null }, "rules[0].service_tier is required"],
    [{ service_tier: 1 }, "rules[0].service_tier must be priority, flex, all, not 1"],
    [{ action: "drop" }, "rules[0].action must be pass, filter, block, force, not"],
    [{ action: "Filter" }, "rules[0].action must be"],
    [{ action: undefined }, "rules[0].action is required"],
    [{ scope: "bedrock" }, "rules[0].scope must be all, oauth, apikey, not"],
    [{ fallback_action: "x" }, "rules[0].fallback_action must be"],
    [{ action: "force" }, "rules[0].force_tier is required where the action is force"],
    [{ fallback_action: "force" }, "rules[0].force_tier is required"],
    [{ action: "force", force_tier: "all" }, "rules[0].force_tier must be priority, flex,"],
    [{ action: "force", force_tier: 3 }, "rules[0].force_tier must be"],
    [{ force_tier: "flex" }, "rules[0].force_tier is only for the action force"],
    [{ model_whitelist: ["a", " "] }, "rules[0].model_whitelist[1] cannot be empty"],
    [{ model_whitelist: "gpt" }, 'rules[0].model_whitelist must be a list, not "gpt"'],
    [{ projects: [1] }, "rules[0].projects[0] must be a string, not 1"],
    [{ tokens: ["t".repeat(257)] }, "rules[0].tokens[0] is longer than 256 characters"],
    [{ tokens: Array(1001).fill("t") }, "rules[0].tokens has 1001 entries, more than 1000"],
    [{ error_message: 5 }, "rules[0].error_message must be a string"],
    [{ fallback_error_message: "m".repeat(1001) }, "rules[0].fallback_error_message is longer"],
    [{ on_block: "drop" }, "rules[0].on_block must be close, fail_turn"],
    [{ shadow: "yes" }, 'rules[0].shadow must be true or false, not "yes"'],
    [{ colour: 1 }, "rules[0].colour is not known. Known: service_tier, action"],
  ];

  test.each(wrong.map(([fields, problem]) => [problem, fields] as const))(
    "says of a rule: %s",
    (problem, fields) => {
      const found = problemsOfRule(fields);
      expect(found).toHaveLength(1);
      expect(found[0]).toStartWith(problem);
    },
  );

  test("finds every problem, each with its place", () => {
    const rules = [{ service_tier: "priority", action: "filter" }, 7, { action: "x", shadow: 1 }];
    expect(problems({ rules, unknown_tier: "force", version: 2 })).toEqual([
      "version is not known. Known: rules, unknown_tier",
      "rules[1] must be a JSON object, not 7",
      'rules[2].action must be pass, filter, block, force, not "x"',
      "rules[2].service_tier is required: priority, flex, all",
      "rules[2].shadow must be true or false, not 1",
      'unknown_tier must be pass, filter, block, not "force"',
    ]);
  });

  test("says at most 50 problems, in one line as well", () => {
    const rules = Array.from({ length: 100 }, () => ({ service_tier: "priority" }));
    expect(problems({ rules })).toHaveLength(50);
    expect(() => parseServiceTierPolicy({ rules: [1] })).toThrow("rules[0] must be a JSON object");
    expect(problems({ rules: Array(1001).fill({}) })).toEqual([
      "rules has 1001 entries, more than 1000",
    ]);
  });
});

describe("DEFAULT_SERVICE_TIER_POLICY", () => {
  test("takes priority out for every model", () => {
    expect(DEFAULT_SERVICE_TIER_POLICY).toMatchObject({
      rules: [{ service_tier: "priority", action: "filter", scope: "all", model_whitelist: [] }],
      unknown_tier: "pass",
    });
    expect(DEFAULT_SERVICE_TIER_POLICY.rules).toHaveLength(1);
  });
});
