import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { AllowLists, SubjectLists } from "../../src/exchange.ts";
import {
  requireBounded,
  requireEndpoint,
  requireModel,
  requireSecretTaken,
  requireTier,
} from "../../src/policy/access.ts";

function listsOf(subject: string, lists: Partial<AllowLists>): SubjectLists {
  return { subject, lists: { models: null, endpoints: null, tiers: null, ...lists } };
}

function restricted(lists: Partial<AllowLists>): SubjectLists[] {
  return [listsOf("token:tok_1", lists)];
}

/** A token's lists beside its project's. */
function both(token: Partial<AllowLists>, project: Partial<AllowLists>): SubjectLists[] {
  return [listsOf("token:tok_1", token), listsOf("project:prj_1", project)];
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
  const error = refused(() => requireModel(restricted({ models }), model === null ? [] : [model]));
  expect(error?.code ?? null).toBe(isAllowed ? null : "model_not_allowed");
});

test("requireModel() takes a model that is listed under any of its names", () => {
  const list = restricted({ models: ["fast"] });
  requireModel(list, ["gpt-5-mini", "fast"]);
  expect(refused(() => requireModel(list, ["other", "gpt-5-mini"]))?.message).toBe(
    'This token may not be used for the model "other", only for: fast',
  );
});

test("requireModel() names the model and the list", () => {
  const message = refused(() =>
    requireModel(restricted({ models: ["a", "b*"] }), ['x"y']),
  )?.message;
  expect(message).toBe('This token may not be used for the model "x\\"y", only for: a, b*');
  const without = refused(() => requireModel(restricted({ models: ["a"] }), []));
  expect(without?.message).toBe("This token may not be used without naming a model, only for: a");
});

test("requireModel() keeps long names and lists out of its message", () => {
  const models = Array.from({ length: 100 }, (_, at) => `model-${at}-${"m".repeat(190)}`);
  const error = refused(() => requireModel(restricted({ models }), ["x".repeat(100_000)]));
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

test.each([
  [["gpt-5*"], ["gpt-5-mini"], "gpt-5-mini", null],
  [["gpt-5*"], ["gpt-5-mini"], "gpt-5", "project:prj_1"],
  [["gpt-5"], ["gpt-5*"], "gpt-5-mini", "token:tok_1"],
  [["o3"], ["gpt-5"], "o3-mini", "token:tok_1"],
  [["o3"], ["gpt-5"], "gpt-5", "token:tok_1"],
  [null, ["gpt-5"], "o3", "project:prj_1"],
  [["gpt-5"], null, "gpt-5", null],
  [null, ["gpt-5"], null, "project:prj_1"],
] as const)(
  "of a token with %p and a project with %p, %p is refused by %p",
  (token, project, name, by) => {
    const asks = [
      [
        () =>
          requireModel(both({ models: token }, { models: project }), name === null ? [] : [name]),
        "model_not_allowed",
      ],
      [() => requireTier(both({ tiers: token }, { tiers: project }), name), "tier_blocked"],
      [
        () => requireEndpoint(both({ endpoints: token }, { endpoints: project }), name ?? "", "/x"),
        "endpoint_not_allowed",
      ],
    ] as const;
    for (const [ask, code] of asks) {
      // No tier is the account's own, and no list is about it.
      const isRefused = by !== null && !(code === "tier_blocked" && name === null);
      const error = refused(ask);
      expect([error?.code ?? null, error?.subject ?? null]).toEqual(
        isRefused ? [code, by] : [null, null],
      );
      const owner = by?.startsWith("token:") ? "This token" : "This project";
      expect(error?.message ?? owner).toStartWith(owner);
    }
  },
);

test("what has no lists may be used for everything", () => {
  for (const none of [[], restricted({})]) {
    requireEndpoint(none, "/v1/responses", "/v1/responses");
    requireModel(none, []);
    requireTier(none, "priority");
  }
});

test.each([
  [true, true, false],
  [true, false, true],
  [false, true, true],
] as const)("requireBounded(), escaping %p, limited %p: %p", (escapesLimits, isLimited, passes) => {
  const ask = () => requireBounded({ name: "/v1/realtime/calls", escapesLimits }, isLimited);
  if (passes) expect(ask).not.toThrow();
  else expect(ask).toThrow("The media of /v1/realtime/calls go past sluice");
});

test.each([
  ["taken", true, true],
  ["given", true, false],
  [null, true, false],
  [null, false, true],
] as const)("requireSecretTaken() at %p of a secret %p: %p", (clientSecret, isSecret, passes) => {
  const ask = () => requireSecretTaken({ name: "/v1/models", clientSecret }, isSecret);
  if (passes) expect(ask).not.toThrow();
  else expect(ask).toThrow("is not taken for /v1/models");
});
