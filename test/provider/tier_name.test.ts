import { describe, expect, test } from "bun:test";
import { KNOWN_TIERS } from "../../src/exchange.ts";
import { canonicalTier, isKnownTier } from "../../src/provider/tier_name.ts";

describe("canonicalTier()", () => {
  test.each([
    ["fast", "priority"],
    ["  Fast\t", "priority"],
    ["PRIORITY", "priority"],
    [" Flex ", "flex"],
    ["ultraFast", "ultrafast"],
    ["Turbo", "turbo"],
    ["  ", ""],
    ["\u0001FAST\u0000", "priority"],
    ["\u200bflex\ufeff", "flex"],
    ["ｐｒｉｏｒｉｔｙ", "priority"],
    ["faſt", "priority"],
    ["fast\u0000x", "fast x"],
    [`${" \0".repeat(500)}fast${" \0".repeat(500)}`, "priority"],
    ["ﷺ".repeat(65), "ﷺ".repeat(65)],
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
