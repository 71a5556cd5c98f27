import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { Restrictions } from "../../src/exchange.ts";
import {
  requireBounded,
  requireEndpoint,
  requireModel,
  requireTier,
} from "../../src/policy/access.ts";

function restricted(lists: Partial<Restrictions>): Restrictions {
  return { models: null, endpoints: null, tiers: null, limits: {}, ...lists };
}

/** The refusal, or null. */
function refused(run: () => void): GatewayError | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}

test.each([
  [["gpt-5"], "gpt-5", true],
  [["gpt-5"], "gpt-5-mini", false],
  [["gpt-5"], "GPT-5", false],
  [["gpt-5*"], "gpt-5", true],
  [["gpt-5*"], "gpt-5-mini", true],
  [["gpt-5-*"], "gpt-5", false],
  [["o3", "gpt-4.1*"], "gpt-4.1-nano", true],
  [["*"], "anything", true],
  [["*"], null, false],
  [["gpt-5"], null, false],
  [[], "gpt-5", false],
  [["gemini-2.5-*"], "models/gemini-2.5-flash", true],
  [["models/gemini-2.5-flash"], "models/gemini-2.5-flash", true],
] as const)("requireModel() with %p takes %p: %p", (models, model, isAllowed) => {
  const error = refused(() => requireModel(restricted({ models }), model));
  expect(error?.code ?? null).toBe(isAllowed ? null : "model_not_allowed");
});

test("requireModel() names the model and the list", () => {
  const message = refused(() => requireModel(restricted({ models: ["a", "b*"] }), 'x"y'))?.message;
  expect(message).toBe('This token may not be used for the model "x\\"y", only for: a, b*');
  const without = refused(() => requireModel(restricted({ models: ["a"] }), null));
  expect(without?.message).toBe("This token may not be used without naming a model, only for: a");
});

test("requireModel() keeps long names and lists out of its message", () => {
  const models = Array.from({ length: 100 }, (_, at) => `model-${at}-${"m".repeat(190)}`);
  const error = refused(() => requireModel(restricted({ models }), "x".repeat(100_000)));
  expect(error?.message.length).toBeLessThan(500);
});

test.each([
  [["/v1/responses"], "/v1/responses", "/v1/responses", true],
  [["/v1/responses"], "/v1/responses", "/openai/v1/responses", true],
  [["/v1/responses"], "/v1/responses/{id}", "/v1/responses/resp_1", false],
  [["/v1/responses/{id}"], "/v1/responses/{id}", "/v1/responses/resp_1", true],
  [["/v1/audio/*"], "/v1/audio/speech", "/v1/audio/speech", true],
  [["/v1/audio/*"], "/v1/audios", "/v1/audios", false],
  [["/v1/files/file_1"], "/v1/files/{id}", "/v1/files/file_1", true],
] as const)("requireEndpoint() with %p takes %s as %s: %p", (endpoints, name, path, isAllowed) => {
  const error = refused(() => requireEndpoint(restricted({ endpoints }), name, path));
  expect(error?.code ?? null).toBe(isAllowed ? null : "endpoint_not_allowed");
  expect([error?.status ?? 403, error?.closeCode ?? 1008]).toEqual([403, 1008]);
});

test.each([
  [["default"], null, true],
  [["default"], "default", true],
  [["default"], " DEFAULT ", true],
  [["default"], "priority", false],
  [["default"], "auto", false],
  [["priority"], "fast", true],
  [["Fast"], "priority", true],
  [["flex", "default"], "fast", false],
  [["*"], "scale", true],
] as const)("requireTier() with %p takes %p: %p", (tiers, tier, isAllowed) => {
  const error = refused(() => requireTier(restricted({ tiers }), tier));
  expect(error?.code ?? null).toBe(isAllowed ? null : "tier_blocked");
});

test("a token without restrictions may be used for everything", () => {
  for (const none of [null, restricted({})]) {
    requireEndpoint(none, "/v1/responses", "/v1/responses");
    requireModel(none, null);
    requireTier(none, "priority");
  }
});

test.each([
  [true, true, false],
  [true, false, true],
  [false, true, true],
] as const)("requireBounded(), escaping %p, limited %p: %p", (escapesLimits, isLimited, passes) => {
  const ask = () =>
    requireBounded({ name: "/v1/realtime/client_secrets", escapesLimits }, isLimited);
  if (passes) expect(ask).not.toThrow();
  else expect(ask).toThrow("hands out a key of the provider's");
});
