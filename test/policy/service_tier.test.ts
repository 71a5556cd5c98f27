import { describe, expect, test } from "bun:test";
import { KNOWN_TIERS } from "../../src/exchange.ts";
import { decideServiceTier } from "../../src/policy/service_tier.ts";
import type { TierDecision } from "../../src/policy/service_tier.ts";
import {
  DEFAULT_SERVICE_TIER_POLICY,
  parseServiceTierPolicy,
} from "../../src/policy/service_tier_policy.ts";
import { Prng } from "../support/prng.ts";

type Rule = Readonly<Record<string, unknown>>;

const REQUEST = {
  tier: "priority" as string | null,
  model: "gpt-5.5" as string | null,
  credentialKind: "api_key" as "api_key" | "oauth",
  projectId: "p1",
  tokenId: "t1" as string | null,
};

function decide(rules: readonly Rule[], request: Partial<typeof REQUEST> = {}): TierDecision {
  return decideServiceTier(parseServiceTierPolicy({ rules }), { ...REQUEST, ...request });
}

const FILTER = { service_tier: "priority", action: "filter" };
const BLOCK_ALL = { service_tier: "all", action: "block" };

describe("decideServiceTier()", () => {
  test("passes what asks for nothing", () => {
    expect(decide([BLOCK_ALL], { tier: null })).toEqual({
      action: "pass",
      tier: null,
      rule: null,
      reason: "not_asked",
      message: null,
      onBlock: "close",
      shadow: [],
    });
  });

  test.each([
    ["priority", "priority"],
    ["fast", "priority"],
    ["  Fast  ", "priority"],
    ["FLEX", "flex"],
    ["auto", "auto"],
    ["default", "default"],
    ["scale", "scale"],
    ["UltraFast", "ultrafast"],
    ["standard_only", "standard_only"],
    ["turbo", "turbo"],
    [" Turbo ", " Turbo "],
    ["", ""],
  ])("passes %p as %p where no rule matches", (tier, sent) => {
    expect(decide([], { tier })).toMatchObject({ action: "pass", tier: sent, rule: null });
  });

  test.each([
    ["priority", "filter"],
    [" FAST ", "filter"],
    ["ultrafast", "filter"],
    ["flex", "pass"],
    ["auto", "pass"],
    ["default", "pass"],
    ["scale", "pass"],
    ["turbo", "pass"],
  ] as const)("by default makes of %p: %s", (tier, action) => {
    expect(decideServiceTier(DEFAULT_SERVICE_TIER_POLICY, { ...REQUEST, tier }).action).toBe(
      action,
    );
  });

  test.each(["priority", "flex", "auto", "default", "scale", "ultrafast", "turbo", "", " x "])(
    "matches %p with a rule for all",
    (tier) => {
      expect(decide([BLOCK_ALL], { tier })).toMatchObject({ action: "block", tier: null, rule: 0 });
    },
  );

  test("matches a rule for flex with flex alone", () => {
    const rules = [{ service_tier: "flex", action: "block" }];
    expect(decide(rules, { tier: " FLEX" }).action).toBe("block");
    for (const tier of ["priority", "ultrafast", "auto", "flexible"]) {
      expect(decide(rules, { tier }).rule).toBeNull();
    }
  });

  test("(trap 8) lets the first rule decide that matches, even by its fallback", () => {
    const rules = [
      { ...FILTER, service_tier: "flex" },
      { ...FILTER, scope: "oauth" },
      { ...FILTER, model_whitelist: ["gpt-4"], fallback_action: "pass" },
      BLOCK_ALL,
    ];
    expect(decide(rules)).toMatchObject({ action: "pass", rule: 2, reason: "fallback_action" });
  });

  test.each([
    ["all", "api_key", 0],
    ["all", "oauth", 0],
    ["oauth", "oauth", 0],
    ["oauth", "api_key", null],
    ["apikey", "api_key", 0],
    ["apikey", "oauth", null],
  ] as const)("holds a rule of scope %s for a credential of kind %s: %p", (...row) => {
    const [scope, credentialKind, rule] = row;
    expect(decide([{ ...FILTER, scope }], { credentialKind }).rule).toBe(rule);
  });

  test.each([
    [["gpt-5.5"], "gpt-5.5", true],
    [["gpt-5.5"], "gpt-5.5-mini", false],
    [["gpt-5.5*"], "gpt-5.5", true],
    [["gpt-5.5*"], "gpt-5.5-2026-04-23", true],
    [["gpt-5.5*"], "gpt-5", false],
    [["*"], "whatever", true],
    [["*-mini"], "gpt-5-mini", false],
    [["*-mini"], "*-mini", true],
    [["g*5"], "gpt-5", false],
    [["g*5"], "g*5", true],
    [["gpt-5.5"], "GPT-5.5", false],
    [["a", "b", "gpt*"], "gpt-5", true],
    [[], "gpt-5", true],
  ])("finds in the whitelist %p the model %p: %p", (model_whitelist, model, isIn) => {
    const decision = decide([{ ...FILTER, model_whitelist, fallback_action: "block" }], { model });
    expect(decision.action).toBe(isIn ? "filter" : "block");
    expect(decision.reason).toBe(isIn ? "action" : "fallback_action");
  });

  test.each([
    ["filter", "pass", "filter"],
    ["pass", "filter", "filter"],
    ["pass", "block", "block"],
    ["block", "filter", "block"],
    ["force", "pass", "force"],
    ["pass", "force", "force"],
    ["force", "filter", "filter"],
    ["block", "force", "block"],
  ])("of %s and %s takes %s where the model is not known", (action, fallback, strictest) => {
    const force_tier = [action, fallback].includes("force") ? "flex" : null;
    const rule = {
      service_tier: "priority",
      action,
      fallback_action: fallback,
      force_tier,
      model_whitelist: ["gpt*"],
      error_message: "action",
      fallback_error_message: "fallback",
    };
    const decision = decide([rule], { model: null });
    expect(decision).toMatchObject({ action: strictest, reason: "model_unknown" });
    const message = action === "block" ? "action" : "fallback";
    expect(decision.message).toBe(strictest === "block" ? message : null);
  });

  test("takes the action of a rule without a whitelist where the model is not known", () => {
    const rule = { ...FILTER, action: "pass", fallback_action: "block" };
    expect(decide([rule], { model: null })).toMatchObject({ action: "pass", reason: "action" });
  });

  test("asks rules that name the project or the token before all others", () => {
    const rules = [
      BLOCK_ALL,
      { ...FILTER, projects: ["other"] },
      { ...FILTER, action: "pass", projects: ["other"], tokens: ["t1"] },
      { ...FILTER, projects: ["p1"] },
    ];
    expect(decide(rules)).toMatchObject({ action: "pass", rule: 2 });
    expect(decide(rules, { tokenId: "t2" })).toMatchObject({ action: "filter", rule: 3 });
    expect(decide(rules, { tokenId: null })).toMatchObject({ action: "filter", rule: 3 });
    expect(decide(rules, { projectId: "p2", tokenId: null })).toMatchObject({ rule: 0 });
  });

  test("words a block: the rule's message, else the tier and the model", () => {
    const rule = { ...BLOCK_ALL, model_whitelist: ["gpt*"], fallback_action: "block" };
    const said = { ...rule, error_message: "Not here", fallback_error_message: "Nor there" };
    expect(decide([said]).message).toBe("Not here");
    expect(decide([said], { model: "o3" }).message).toBe("Nor there");
    const plain = "openai service_tier=priority is not allowed";
    expect(decide([rule], { tier: "Fast" }).message).toBe(`${plain} for model gpt-5.5`);
    expect(decide([rule], { model: "o3" }).message).toBe(`${plain} for model o3`);
    expect(decide([rule], { model: null }).message).toBe(plain);
    expect(decide([FILTER]).message).toBeNull();
  });

  test("repeats no more than 64 characters of a client's words", () => {
    const tier = `${"x".repeat(63)}😀`;
    const message = decide([BLOCK_ALL], { tier, model: "m".repeat(1000) }).message ?? "";
    expect(message.isWellFormed()).toBe(true);
    expect(message).toContain(`=${"x".repeat(63)}\ufffd is`);
    expect(message).toEndWith(`model ${"m".repeat(64)}`);
  });

  test("says what a blocked WebSocket does", () => {
    expect(decide([BLOCK_ALL]).onBlock).toBe("close");
    expect(decide([{ ...BLOCK_ALL, on_block: "fail_turn" }]).onBlock).toBe("fail_turn");
  });

  test.each([
    ["pass", " Turbo ", null],
    ["filter", null, null],
    ["block", null, "openai service_tier=turbo is not allowed for model gpt-5.5"],
  ])("makes of a tier nobody knows, by unknown_tier %s: %p", (unknown_tier, tier, message) => {
    const policy = parseServiceTierPolicy({ rules: [FILTER], unknown_tier });
    expect(decideServiceTier(policy, { ...REQUEST, tier: " Turbo " })).toMatchObject({
      action: unknown_tier,
      tier,
      rule: null,
      reason: "unknown_tier",
      message,
    });
    for (const known of KNOWN_TIERS.slice(1, 5)) {
      const decision = decideServiceTier(policy, { ...REQUEST, tier: known });
      expect(decision).toMatchObject({ action: "pass", tier: known, reason: "no_rule" });
    }
  });

  test("forces every tier that the rule matches, the forced one included", () => {
    const rules = [{ service_tier: "all", action: "force", force_tier: "priority" }];
    for (const tier of ["flex", "turbo", "priority", "fast"]) {
      expect(decide(rules, { tier })).toMatchObject({ action: "force", tier: "priority", rule: 0 });
    }
  });

  test("holds a forced tier to the policy as well", () => {
    const force = { service_tier: "priority", action: "force", force_tier: "flex" };
    const flex = (action: string) => ({ service_tier: "flex", action });
    expect(decide([force, flex("pass")])).toMatchObject({ action: "force", tier: "flex", rule: 0 });
    expect(decide([force, flex("filter")])).toMatchObject({ action: "filter", rule: 1 });
    expect(decide([force, flex("block")])).toMatchObject({
      action: "block",
      rule: 1,
      message: "openai service_tier=flex is not allowed for model gpt-5.5",
    });
    const further = { ...flex("force"), force_tier: "default" };
    expect(decide([force, further])).toMatchObject({ action: "force", tier: "default", rule: 1 });
  });

  test("sends no tier where rules force in a circle", () => {
    const rules = [
      { service_tier: "priority", action: "force", force_tier: "flex" },
      { service_tier: "flex", action: "force", force_tier: "priority" },
    ];
    expect(decide(rules)).toMatchObject({ action: "filter", tier: null });
  });

  test("tells what shadow rules would have done, and does what the others say", () => {
    const rules = [
      { ...BLOCK_ALL, shadow: true },
      { service_tier: "priority", action: "force", force_tier: "flex", shadow: true },
      FILTER,
      { ...BLOCK_ALL, shadow: true },
      { ...FILTER, action: "pass", projects: ["p1"], shadow: true },
    ];
    const decision = decide(rules, { tier: "fast" });
    expect(decision).toMatchObject({ action: "filter", rule: 2, message: null });
    expect(decision.shadow).toEqual([
      { rule: 4, action: "pass", tier: "priority" },
      { rule: 0, action: "block", tier: null },
      { rule: 1, action: "force", tier: "flex" },
    ]);
    expect(decide(rules, { tier: "auto" })).toMatchObject({ action: "pass", tier: "auto" });
  });

  test("changes nothing in what it decided, under 5,000 random policies", () => {
    const prng = new Prng(61);
    let changed = 0;
    for (let round = 0; round < 5_000; round++) {
      const policy = parseServiceTierPolicy(randomPolicy(prng));
      const request = {
        tier: prng.pick([...KNOWN_TIERS, " Fast ", "Turbo", ""]),
        model: prng.pick([null, "gpt-5", "o3"]),
        credentialKind: prng.pick(["api_key", "oauth"] as const),
        projectId: prng.pick(["p1", "p2"]),
        tokenId: prng.pick([null, "t1"]),
      };
      const { tier } = decideServiceTier(policy, request);
      if (tier !== request.tier) changed++;
      expect(decideServiceTier(policy, { ...request, tier }).tier).toBe(tier);
    }
    expect(changed).toBeGreaterThan(1_000);
  });
});

function randomPolicy(prng: Prng): { rules: Rule[]; unknown_tier: string } {
  const actions = ["pass", "filter", "block", "force", "force", "force"];
  const some = (items: readonly string[]) => (prng.int(0, 2) === 0 ? [prng.pick(items)] : []);
  const rules = Array.from({ length: prng.int(0, 6) }, () => {
    const action = prng.pick(actions);
    const fallback_action = prng.pick(actions);
    const isForced = action === "force" || fallback_action === "force";
    return {
      service_tier: prng.pick(["priority", "flex", "all"]),
      action,
      fallback_action,
      force_tier: isForced ? prng.pick(KNOWN_TIERS) : null,
      scope: prng.pick(["all", "oauth", "apikey"]),
      projects: some(["p1", "p2"]),
      tokens: some(["t1"]),
      model_whitelist: some(["gpt*", "o3", "*"]),
      shadow: prng.int(0, 4) === 0,
    };
  });
  return { rules, unknown_tier: prng.pick(["pass", "filter", "block"]) };
}
