import { describe, expect, test } from "bun:test";
import { KNOWN_TIERS, canonicalTier, isKnownTier } from "../../src/provider/tier_name.ts";

describe("canonicalTier()", () => {
  test.each([
    ["fast", "priority"],
    ["  Fast\t", "priority"],
    ["PRIORITY", "priority"],
    [" Flex ", "flex"],
    ["ultraFast", "ultrafast"],
    ["Turbo", "turbo"],
    ["  ", ""],
  ])("reads %p as %p", (written, tier) => {
    expect(canonicalTier(written)).toBe(tier);
    expect(canonicalTier(tier)).toBe(tier);
  });
});

describe("isKnownTier()", () => {
  test("knows every tier by its canonical name, and no alias", () => {
    expect(KNOWN_TIERS.map(canonicalTier)).toEqual([...KNOWN_TIERS]);
    expect(KNOWN_TIERS.every(isKnownTier)).toBe(true);
    expect(["fast", "turbo", "", "all"].some(isKnownTier)).toBe(false);
  });
});
