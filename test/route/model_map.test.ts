import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { gemini } from "../../src/provider/gemini.ts";
import { openai } from "../../src/provider/openai.ts";
import {
  decidesByModel,
  ModelNames,
  modelOfUrl,
  queryWithModel,
  servesModel,
  unversioned,
  withModel,
} from "../../src/route/model_map.ts";
import { resolve } from "../../src/route/resolve.ts";
import { buildTable } from "../../src/route/table.ts";
import { providerConfig } from "../support/provider_config.ts";

const models = new Map([["fast", "gpt-5-mini"]]);

describe("servesModel()", () => {
  test.each([
    [null, "anything", true],
    [null, null, true],
    [["gpt-5"], undefined, true],
    [["gpt-5"], null, false],
    [["gpt-5"], "gpt-5", true],
    [["gpt-5"], "gpt-5-mini", false],
    [["gpt-5*"], "gpt-5-mini", true],
    [["fast"], "fast", true],
    [["gpt-5-mini"], "fast", true],
    [["fast"], "gpt-5-mini", false],
    [["other"], "fast", false],
    [["gpt-5"], "models/gpt-5", true],
    [["models/*"], "models/gpt-5", true],
    [["gpt-5-mini"], "models/fast", true],
    [["fast"], "models/gpt-5-mini", false],
    [[], "gpt-5", false],
  ])("of allowed_models %p for %p is %p", (allowedModels, model, expected) => {
    expect(servesModel({ models, allowedModels }, model)).toBe(expected);
  });
});

test("decidesByModel() is true where one of them is limited", () => {
  const free = providerConfig({ models });
  expect(decidesByModel([free])).toBe(false);
  expect(decidesByModel([free, providerConfig({ allowedModels: ["a"] })])).toBe(true);
});

describe("modelOfUrl()", () => {
  test.each([
    ["gemini", "POST", "/v1beta/models/gemini-x:generateContent", "", "gemini-x"],
    ["gemini", "POST", "/v1beta/models/gemini%2Dx:generateContent", "", "gemini-x"],
    ["gemini", "GET", "/v1beta/models", "", undefined],
    ["openai", "GET", "/v1/models/gpt-5", "", "gpt-5"],
    ["openai", "GET", "/v1/realtime", "model=rt&x=1", "rt"],
    ["openai", "GET", "/v1/realtime", "", undefined],
    ["openai", "POST", "/v1/responses", "model=m", undefined],
  ] as const)("%s %s %s ?%s is %p", (type, method, path, query, expected) => {
    const request = { method, path, host: "x", headers: new Headers() };
    const upgrade = path === "/v1/realtime";
    const table = buildTable([providerConfig({ type })], null);
    const route = resolve({ ...request, upgrade }, table, () =>
      type === "gemini" ? gemini : openai,
    );
    expect(modelOfUrl(route, query)).toBe(expected);
  });
});

const rename = (name: string) => (name === "fast" ? "a/b" : name);

test.each([
  ["gemini", "/v1/models/fast:generateContent", "/v1/models/a%2Fb:generateContent"],
  ["gemini", "/v1/models/g%2Dx:generateContent", "/v1/models/g%2Dx:generateContent"],
  ["gemini", "/v1/models/%zz:generateContent", "/v1/models/%zz:generateContent"],
  ["openai", "/v1/models/fast", "/v1/models/a%2Fb"],
  ["openai", "/v1/responses/fast", "/v1/responses/fast"],
  ["anthropic", "/v1/models/fast", "/v1/models/fast"],
] as const)("withModel() of %s makes %s %s", (type, path, expected) => {
  expect(withModel(path, { type }, rename)).toBe(expected);
});

test.each([
  ["model=fast&x=%20", "model=a%2Fb&x=%20"],
  ["x=1&model=other&%zz", "x=1&model=other&%zz"],
  ["", ""],
])("queryWithModel() makes %p %p", (query, expected) => {
  expect(queryWithModel(query, rename)).toBe(expected);
});

test.each([
  ["gpt-5.5-2026-04-23", "gpt-5.5"],
  ["claude-sonnet-5-20260131", "claude-sonnet-5"],
  ["gemini-3-flash-001", "gemini-3-flash"],
  ["gpt-5.5-mini", "gpt-5.5-mini"],
  ["2026-04-23", "2026-04-23"],
])("unversioned() makes %s %s", (model, expected) => {
  expect(unversioned(model)).toBe(expected);
});

describe("ModelNames", () => {
  test("gives back the caller's name for the one that was asked for, dated or not", () => {
    const names = new ModelNames(providerConfig({ models }));
    expect(names.renamesAnswers).toBe(false);
    expect(names.toUpstream("fast")).toBe("gpt-5-mini");
    expect(names.renamesAnswers).toBe(true);
    expect(names.toCaller("gpt-5-mini")).toBe("fast");
    expect(names.toCaller("gpt-5-mini-2026-01-31")).toBe("fast");
    expect(names.toCaller("gpt-5-mini-x")).toBe("gpt-5-mini-x");
  });

  test("follows a caller that uses the upstream's own name next", () => {
    const names = new ModelNames(providerConfig({ models }));
    names.toUpstream("fast");
    expect(names.toUpstream("gpt-5-mini")).toBe("gpt-5-mini");
    expect(names.toCaller("gpt-5-mini")).toBe("gpt-5-mini");
  });

  test("takes a name with Google's collection in front for the same, and leaves that there", () => {
    const names = new ModelNames(
      providerConfig({ models: new Map([...models, ["models/a", "b"]]) }),
    );
    expect(names.toUpstream("models/fast")).toBe("models/gpt-5-mini");
    expect(names.toCaller("gpt-5-mini")).toBe("fast");
    expect([names.toUpstream("models/a"), names.toUpstream("models/x")]).toEqual(["b", "models/x"]);
  });

  test("knows every name of a model", () => {
    const names = new ModelNames(providerConfig({ models: new Map([...models, ["x", "y"]]) }));
    expect(names.namesOf("fast", "gpt-5-mini")).toEqual(["fast", "gpt-5-mini"]);
    expect(names.namesOf(null, "gpt-5-mini-2026-01-31")).toEqual(["gpt-5-mini-2026-01-31", "fast"]);
    expect(names.namesOf("a", null)).toEqual(["a"]);
    expect(names.namesOf(null, null)).toEqual([]);
  });

  test("is trivial without names and limits", () => {
    expect(new ModelNames(providerConfig()).isTrivial).toBe(true);
    expect(new ModelNames(providerConfig({ models })).isTrivial).toBe(false);
    expect(new ModelNames(providerConfig({ allowedModels: [] })).isTrivial).toBe(false);
  });

  test("refuses what the provider does not serve, and says who and what", () => {
    const names = new ModelNames(providerConfig({ name: "p", models, allowedModels: ["fast"] }));
    names.toUpstream("fast");
    expect(refusal(() => names.toUpstream("gpt-5"))).toBe(
      'p does not serve the model "gpt-5" here',
    );
    expect(refusal(() => names.requireServed(null))).toBe(
      "p does not serve requests without a model here",
    );
    names.requireConfirmed("gpt-5-mini-2026-01-31");
    expect(refusal(() => names.requireConfirmed("gpt-5"))).toBe(
      'p does not serve the model "gpt-5" here',
    );
  });
});

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof GatewayError && thrown.code === "model_not_allowed")
      return thrown.message;
    throw thrown;
  }
  throw new Error("Nothing was refused");
}
