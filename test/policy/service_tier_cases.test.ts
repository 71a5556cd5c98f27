/**
 * The policy from the client's bytes to the upstream's, case by case: what other gateways that have
 * such a policy are known to do, and to get wrong.
 */

import { describe, expect, test } from "bun:test";
import { decideServiceTier } from "../../src/policy/service_tier.ts";
import {
  DEFAULT_SERVICE_TIER_POLICY,
  parseServiceTierPolicy,
} from "../../src/policy/service_tier_policy.ts";
import type { ServiceTierPolicy } from "../../src/policy/service_tier_policy.ts";
import { fastModeAsk, writeFastMode } from "../../src/provider/fast_mode.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";
import { readTiers, writeTier } from "../../src/provider/tier_field.ts";
import type { TierCarrier } from "../../src/provider/tier_field.ts";

const FILTER = parseServiceTierPolicy({ rules: [{ service_tier: "all", action: "filter" }] });
const BLOCK = parseServiceTierPolicy({ rules: [{ service_tier: "all", action: "block" }] });
const NO_RULES = parseServiceTierPolicy({ rules: [] });
const FORCE = parseServiceTierPolicy({
  rules: [{ service_tier: "all", action: "force", force_tier: "priority" }],
});

/** What goes upstream, or the message of a block; binary in, binary through. */
function through(
  dialect: MeterDialect,
  carrier: TierCarrier,
  policy: ServiceTierPolicy,
  text: string,
  sessionModel: string | null = null,
): string {
  let message: string | Uint8Array = new TextEncoder().encode(text);
  const { asks, model } = readTiers(dialect, carrier, message);
  for (const { field, tier } of asks) {
    const decision = decideServiceTier(policy, {
      tier,
      model: model ?? sessionModel,
      credentialKind: "api_key",
      projectId: "p1",
      tokenId: null,
    });
    if (decision.message !== null) return decision.message;
    message = writeTier(dialect, carrier, message, field, decision.tier).message;
  }
  return typeof message === "string" ? message : new TextDecoder().decode(message);
}

const PLACES = [
  ["openai_chat", "body"],
  ["openai_responses", "body"],
  ["openai_responses", "message"],
] as const;

describe.each(PLACES)("a service tier in %s, %s,", (dialect, carrier) => {
  const run = (policy: ServiceTierPolicy, text: string, sessionModel?: string) =>
    through(dialect, carrier, policy, text, sessionModel);
  const request = (tier: string) =>
    `{"model":"gpt-5.5", "service_tier" : ${tier} ,"type":"response.create","n":1.0}`;
  const without = '{"model":"gpt-5.5", "type":"response.create","n":1.0}';

  test.each(["1", "null", "{}", "[]", "true"])("that is %s stays byte for byte", (tier) => {
    for (const policy of [FILTER, BLOCK, FORCE, DEFAULT_SERVICE_TIER_POLICY]) {
      expect(run(policy, request(tier))).toBe(request(tier));
    }
  });

  test("that is not there is not put there", () => {
    for (const policy of [FILTER, BLOCK, FORCE]) expect(run(policy, without)).toBe(without);
  });

  test.each(['"turbo"', '" Turbo "', '""'])("that nobody knows, %s, passes as it is", (tier) => {
    for (const policy of [NO_RULES, DEFAULT_SERVICE_TIER_POLICY]) {
      expect(run(policy, request(tier))).toBe(request(tier));
    }
    expect(run(FILTER, request(tier))).toBe(without);
    expect(run(FORCE, request(tier))).toBe(request('"priority"'));
  });

  test.each([
    ['"  Fast  "', '"priority"'],
    ['"fast"', '"priority"'],
    ['"f\\u0061st"', '"priority"'],
    ['"FLEX"', '"flex"'],
    ['"priority"', '"priority"'],
    ['"auto"', '"auto"'],
    ['"default"', '"default"'],
    ['"scale"', '"scale"'],
  ])("%s passes as %s, on HTTP and WebSocket alike", (tier, sent) => {
    expect(run(NO_RULES, request(tier))).toBe(request(sent));
  });

  test.each(['"priority"', '" FAST"', '"ultrafast"', '"\\u0070riority"'])(
    "%s is taken out by default, and flex is not",
    (tier) => {
      expect(run(DEFAULT_SERVICE_TIER_POLICY, request(tier))).toBe(without);
      expect(run(DEFAULT_SERVICE_TIER_POLICY, request('"flex"'))).toBe(request('"flex"'));
    },
  );

  test("that is blocked names tier and model", () => {
    expect(run(BLOCK, request('"Fast"'))).toBe(
      "openai service_tier=priority is not allowed for model gpt-5.5",
    );
  });

  test("in a nested object is none", () => {
    const text = '{"model":"m","metadata":{"service_tier":"fast"},"input":[{"service_tier":"a"}]}';
    expect(run(BLOCK, text)).toBe(text);
  });

  test("is found under an escaped key, and is judged by the model that is last in the text", () => {
    const policy = parseServiceTierPolicy({
      rules: [{ service_tier: "priority", action: "block", model_whitelist: ["gpt-5.5*"] }],
    });
    const text = (model: string) =>
      `{"s\\u0065rvice_tier":"fast","input":{"model":"o3"},"\\u006dodel":"${model}"}`;
    expect(run(policy, text("gpt-5.5-mini"))).toContain("not allowed for model gpt-5.5-mini");
    expect(run(policy, text("o3"))).toBe(text("o3").replace("fast", "priority"));
  });

  test("is judged by the session's model where the text has none, else most strictly", () => {
    const policy = parseServiceTierPolicy({
      rules: [{ service_tier: "priority", action: "filter", model_whitelist: ["gpt-5.5"] }],
    });
    const text = '{"service_tier":"priority"}';
    expect(run(policy, text, "o3")).toBe(text);
    expect(run(policy, text, "gpt-5.5")).toBe("{}");
    expect(run(policy, text)).toBe("{}");
  });
});

describe("a service tier on a WebSocket", () => {
  test.each(['"type":"response.cancel"', '"type":"response.processed"'])(
    "stays in what starts nothing: %s",
    (type) => {
      const text = `{${type},"service_tier":"fast"}`;
      for (const policy of [FILTER, BLOCK]) {
        expect(through("openai_responses", "message", policy, text)).toBe(text);
      }
    },
  );

  test.each(['"type":""', '"type":" response.create"', '"type":"response.steer"', '"type":1'])(
    "is judged in whatever else there may be: %s",
    (type) => {
      const text = `{${type},"service_tier":"fast"}`;
      expect(through("openai_responses", "message", FILTER, text)).toBe(`{${type}}`);
    },
  );

  test("is judged where Realtime would have it, in a response and in a session", () => {
    const created = '{"type":"response.create","response":{"service_tier":"fast"}}';
    const updated = '{"session":{"service_tier":"fast"},"type":"session.update"}';
    const sent = (text: string) => through("openai_realtime", "message", FILTER, text);
    expect(sent(created)).toBe('{"type":"response.create","response":{}}');
    expect(sent(updated)).toBe('{"session":{},"type":"session.update"}');
  });
});

describe("Anthropic's fast mode", () => {
  const body = '{"model":"claude", "speed":"fast", "service_tier":"auto"}';
  const run = (policy: ServiceTierPolicy, text: string) =>
    through("anthropic_messages", "body", policy, text);

  test("is priority: filtered by default, with the other tier left alone", () => {
    expect(run(DEFAULT_SERVICE_TIER_POLICY, body)).toBe(
      '{"model":"claude", "service_tier":"auto"}',
    );
    expect(run(NO_RULES, body)).toBe(body);
    expect(run(FILTER, body)).toBe('{"model":"claude"}');
    expect(run(BLOCK, '{"speed":"fast"}')).toBe("openai service_tier=priority is not allowed");
  });

  test("is priority by its beta alone", () => {
    const betas = "oauth-2025-04-20,fast-mode-2026-02-01";
    const decide = (policy: ServiceTierPolicy) =>
      decideServiceTier(policy, {
        tier: fastModeAsk(betas)?.tier ?? null,
        model: "claude",
        credentialKind: "oauth",
        projectId: "p1",
        tokenId: null,
      });
    expect(decide(BLOCK).action).toBe("block");
    expect(writeFastMode(betas, decide(NO_RULES).tier)).toBe(betas);
    expect(writeFastMode(betas, decide(DEFAULT_SERVICE_TIER_POLICY).tier)).toBe("oauth-2025-04-20");
  });
});

test.each([
  ["gemini_generate", "body", '{"serviceTier":"PRIORITY","a":1}', '{"a":1}'],
  ["gemini_generate", "body", '{"service_tier":"priority","a":1}', '{"a":1}'],
  [
    "gemini_live",
    "message",
    '{"setup":{"model":"m","serviceTier":"priority"}}',
    '{"setup":{"model":"m"}}',
  ],
] as const)(
  "Gemini's tier is under the same rules in %s, %s: %s",
  (dialect, carrier, text, after) => {
    expect(through(dialect, carrier, DEFAULT_SERVICE_TIER_POLICY, text)).toBe(after);
  },
);
