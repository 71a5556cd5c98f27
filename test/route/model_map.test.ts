import { describe, expect, test } from "bun:test";

import { gemini } from "../../src/provider/gemini.ts";
import { openai } from "../../src/provider/openai.ts";
import { modelOfUrl, servesModel } from "../../src/route/model_map.ts";
import { resolve } from "../../src/route/resolve.ts";
import { buildTable } from "../../src/route/table.ts";
import { providerConfig } from "../support/provider_config.ts";

describe("servesModel()", () => {
  const models = new Map([["fast", "gpt-5-mini"]]);
  test.each([
    [null, "anything", true],
    [["gpt-5"], null, true],
    [["gpt-5"], "gpt-5", true],
    [["gpt-5"], "gpt-5-mini", false],
    [["gpt-5*"], "gpt-5-mini", true],
    [["fast"], "fast", true],
    [["gpt-5-mini"], "fast", true],
    [["fast"], "gpt-5-mini", false],
    [["other"], "fast", false],
    [[], "gpt-5", false],
  ])("of allowed_models %p for %p is %p", (allowedModels, model, expected) => {
    expect(servesModel({ models, allowedModels }, model)).toBe(expected);
  });
});

describe("modelOfUrl()", () => {
  test.each([
    ["gemini", "POST", "/v1beta/models/gemini-x:generateContent", "", "gemini-x"],
    ["gemini", "GET", "/v1beta/models", "", null],
    ["openai", "GET", "/v1/realtime", "model=rt&x=1", "rt"],
    ["openai", "GET", "/v1/realtime", "", null],
    ["openai", "POST", "/v1/responses", "model=m", null],
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
