import { describe, expect, test } from "bun:test";
import {
  RESTRICTION_FIELDS,
  restrictionDetails,
  restrictionsOf,
} from "../../src/admin/restrictions.ts";
import { UNRESTRICTED } from "../support/unrestricted.ts";

describe("restrictionsOf()", () => {
  test("restricts nothing where nothing is sent, or null", () => {
    expect(restrictionsOf({})).toEqual(UNRESTRICTED);
    expect(restrictionsOf({ models: null, limits: { session_turns: null } })).toEqual(UNRESTRICTED);
  });

  test("takes every field there is", () => {
    const sent = { models: ["a"], endpoints: ["b*"], tiers: ["c"], limits: { session_turns: 1 } };
    expect(restrictionsOf(sent)).toEqual(sent);
    expect(Object.keys(RESTRICTION_FIELDS)).toEqual(Object.keys(sent));
  });
});

describe("restrictionDetails()", () => {
  test("leaves out lists that restrict nothing", () => {
    const limits = { session_turns: 1 };
    expect(restrictionDetails({ ...UNRESTRICTED, tiers: ["flex"], limits })).toEqual({
      tiers: ["flex"],
      limits,
    });
  });
});
