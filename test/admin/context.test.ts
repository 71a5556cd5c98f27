import { describe, expect, test } from "bun:test";
import { newId, providerName } from "../../src/admin/context.ts";
import { provider } from "../support/admin.ts";

describe("providerName()", () => {
  const among = (...providers: ReturnType<typeof provider>[]) => ({ providers: () => providers });
  const other = { ...provider("openai"), name: "azure" };

  test("is the one named, if it is configured", () => {
    expect(providerName(among(other, provider("anthropic")), "azure")).toBe("azure");
    expect(() => providerName(among(other), "openai")).toThrow("not configured");
  });

  test("is the only one, else OpenAI's, where none is named", () => {
    expect(providerName(among(other), undefined)).toBe("azure");
    expect(providerName(among(other, provider("openai")), undefined)).toBe("openai");
    expect(() => providerName(among(other, provider("anthropic")), undefined)).toThrow("missing");
  });
});

describe("newId()", () => {
  test("is a prefix and 128 random bits", () => {
    expect(newId("prj")).toMatch(/^prj_[0-9a-f]{32}$/);
    expect(newId("prj")).not.toBe(newId("prj"));
  });
});
