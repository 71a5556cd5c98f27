import { describe, expect, test } from "bun:test";
import { arrayOf, pageOf, ref, SCHEMAS } from "../../src/admin/schemas.ts";
import { LIMIT_NAMES } from "../../src/exchange.ts";
import { usageEvent } from "../support/usage_event.ts";

describe("SCHEMAS", () => {
  test("has every limit", () => {
    expect(Object.keys(SCHEMAS.Limits.properties)).toEqual([...LIMIT_NAMES]);
  });

  test("has every field of a usage event", () => {
    expect(SCHEMAS.UsageEvent["required"]).toEqual(Object.keys(usageEvent(1)));
  });
});

describe("pageOf()", () => {
  test("is an object of the list and the next cursor", () => {
    expect(pageOf("tokens", "Token")).toMatchObject({
      required: ["tokens", "next_cursor"],
      properties: { tokens: arrayOf("Token") },
    });
  });
});

describe("arrayOf()", () => {
  test("holds references", () => {
    expect(arrayOf("Token")).toEqual({ type: "array", items: ref("Token") });
    expect(ref("Token")).toEqual({ $ref: "#/components/schemas/Token" });
  });
});
