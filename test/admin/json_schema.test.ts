import { describe, expect, test } from "bun:test";
import { object } from "../../src/admin/json_schema.ts";

const PROPERTIES = { name: { type: "string" }, size: { type: "integer" } };

describe("object()", () => {
  test("requires every property, and takes no other", () => {
    expect(object(PROPERTIES)).toEqual({
      type: "object",
      required: ["name", "size"],
      additionalProperties: false,
      properties: PROPERTIES,
    });
  });

  test("requires those that are named alone", () => {
    expect(object(PROPERTIES, ["size"])).toEqual({ ...object(PROPERTIES), required: ["size"] });
  });
});
