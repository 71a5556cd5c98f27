/** The service tier policy at work on requests, with the real readers and engine. */

import { describe, expect, test } from "bun:test";

import { policeForm, policeUnread } from "../../src/gateway/request_tiers.ts";
import { readRequestedTurn } from "../../src/provider/request.ts";
import {
  BLOCK,
  candidate,
  FILTER,
  FORCE,
  ONLY_FLEX,
  PRINCIPAL,
  thrown,
  TierWorld,
  TOKEN_LISTS,
} from "../support/tier_world.ts";

describe("policeRequest()", () => {
  test.each([
    ["openai_responses", '{"model":"m","service_tier":"fast","n":1.0}', '{"model":"m","n":1.0}'],
    ["anthropic_messages", '{"model":"m", "speed":"fast"}', '{"model":"m"}'],
    ["gemini_generate", '{"serviceTier":"priority","contents":[]}', '{"contents":[]}'],
  ] as const)("filters a tier of %s and nothing else", (dialect, text, expected) => {
    const world = new TierWorld(FILTER);
    const policed = world.request(dialect, text);
    expect(JSON.parse(policed.text)).toEqual(JSON.parse(expected));
    expect(policed.decidedTier).toBeNull();
    expect(world.counted).toEqual(["sluice_policy_decisions_total service_tier filter false"]);
  });

  test("rewrites the alias where it passes, and leaves the very bytes where there is none", () => {
    const world = new TierWorld();
    const policed = world.request("openai_responses", '{"model":"m","service_tier":"fast"}');
    expect([policed.text, policed.decidedTier]).toEqual([
      '{"model":"m","service_tier":"priority"}',
      "priority",
    ]);
    const plain = world.request("openai_responses", '{"model":"m"}');
    expect([plain.isSame, plain.decidedTier]).toEqual([true, null]);
  });

  test("forces another tier", () => {
    const policed = new TierWorld(FORCE).request("openai_responses", '{"service_tier":"priority"}');
    expect([policed.text, policed.decidedTier]).toEqual(['{"service_tier":"flex"}', "flex"]);
  });

  test("blocks with 403 and the words of the rule", () => {
    const world = new TierWorld({ ...BLOCK, error_message: "Not on this plan" });
    const error = thrown(() => world.request("openai_responses", '{"service_tier":"fast"}'));
    expect([error.code, error.status, error.message, error.events]).toEqual([
      "tier_blocked",
      403,
      "Not on this plan",
      [],
    ]);
  });

  test("takes Anthropic's fast mode out of its header alone", () => {
    const headers = new Headers({ "anthropic-beta": "a-1,fast-mode-2026-02-01, b-2" });
    const world = new TierWorld(FILTER);
    const policed = world.request("anthropic_messages", '{"model":"m"}', headers);
    expect([policed.isSame, policed.betas]).toEqual([true, "a-1, b-2"]);
    const other = new Headers({ "anthropic-beta": "a-1" });
    expect(world.request("anthropic_messages", '{"model":"m"}', other).betas).toBeUndefined();
  });

  test("says of fast mode what was asked for and what is sent", () => {
    const passed = new TierWorld().request("anthropic_messages", '{"model":"m","speed":"fast"}');
    expect([passed.requestedTier, passed.decidedTier]).toEqual(["fast", "priority"]);
    const headers = new Headers({ "anthropic-beta": "fast-mode-2026-02-01" });
    const filtered = new TierWorld(FILTER).request("anthropic_messages", '{"model":"m"}', headers);
    expect([filtered.requestedTier, filtered.decidedTier]).toEqual(["fast", null]);
    const both = '{"model":"m","speed":"fast","service_tier":"auto"}';
    for (const [rule, decided] of [
      [{ ...FILTER, shadow: true }, "priority"],
      [FILTER, null],
    ] as const) {
      const policed = new TierWorld(rule).request("anthropic_messages", both, headers);
      expect([policed.requestedTier, policed.decidedTier]).toEqual(["fast", decided]);
    }
  });

  test.each([
    ["anthropic_messages", '{"model":"m","speed":"fast"}'],
    ["gemini_generate", '{"serviceTier":"priority"}'],
    ["openai_responses", '{"service_tier":"priority"}'],
  ] as const)("holds a caller to the tiers of each list in %s", (dialect, text) => {
    const world = new TierWorld();
    world.lists = [TOKEN_LISTS, { subject: "project:prj_1", lists: ONLY_FLEX }];
    const error = thrown(() => world.request(dialect, text));
    expect([error.code, error.subject]).toEqual(["tier_blocked", "project:prj_1"]);
  });

  test("goes by the credential that is sent: a project's own is an API key", () => {
    const world = new TierWorld({ ...BLOCK, scope: "apikey" });
    const oauth = { credentialKind: "oauth" } as const;
    const text = '{"service_tier":"priority"}';
    expect(() => world.request("openai_responses", text, new Headers(), {}, oauth)).not.toThrow();
    world.hasOwnKey = true;
    const ask = () => world.request("openai_responses", text, new Headers(), {}, oauth);
    expect(thrown(ask).code).toBe("tier_blocked");
  });

  test("goes by the project and the token", () => {
    const world = new TierWorld({ ...BLOCK, projects: ["prj_2"] }, { ...FORCE, tokens: ["tok_1"] });
    const policed = world.request("openai_responses", '{"service_tier":"fast"}');
    expect(policed.decidedTier).toBe("flex");
  });
});

describe("policeForm()", () => {
  const form = (serviceTier: string | null) => ({
    ...readRequestedTurn("openai_responses", new TextEncoder().encode("{}"), "/v1/responses"),
    serviceTier,
  });
  const police = (world: TierWorld, serviceTier: string | null) =>
    policeForm(world.parts, PRINCIPAL, candidate("openai_responses"), form(serviceTier));

  test("refuses a tier that may not go on as it is", () => {
    expect(thrown(() => police(new TierWorld(FILTER), "fast")).code).toBe("tier_blocked");
    expect(thrown(() => police(new TierWorld(), "fast")).code).toBe("tier_blocked");
  });

  test("lets the others pass", () => {
    expect(() => police(new TierWorld(FILTER), null)).not.toThrow();
    expect(() => police(new TierWorld(FILTER), "flex")).not.toThrow();
  });
});

describe("policeUnread()", () => {
  const police = (world: TierWorld, model: string | null = null) =>
    policeUnread(world.parts, PRINCIPAL, candidate("openai_responses"), model);

  test("refuses where any tier that there is would be blocked, and counts nothing", () => {
    const world = new TierWorld({ ...BLOCK, service_tier: "flex" });
    expect(thrown(() => police(world))).toMatchObject({ code: "tier_blocked", status: 403 });
    expect(world.counted).toEqual([]);
    const dear = new TierWorld({ ...BLOCK, model_whitelist: ["dear"], fallback_action: "pass" });
    expect(thrown(() => police(dear)).message).toContain("the service tier priority");
    expect(() => police(dear, "cheap")).not.toThrow();
  });

  test("lets pass where tiers would be taken out or replaced", () => {
    expect(() => police(new TierWorld(FILTER, FORCE))).not.toThrow();
  });

  test("refuses whoever is held to a list of tiers", () => {
    const world = new TierWorld();
    const lists = { models: null, endpoints: null, tiers: ["default"] };
    world.lists = [{ subject: "token:tok_1", lists }];
    expect(thrown(() => police(world)).code).toBe("tier_blocked");
  });
});
