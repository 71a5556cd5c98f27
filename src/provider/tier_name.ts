/**
 * The names of service tiers, whoever's they are.
 *
 * Owns: which spellings are one tier. Does not own: which tiers are known (`exchange.ts`), where
 * one stands in a request (`tier_field.ts`), or what may be asked for (`policy/`).
 * Invariant: `canonicalTier` of its own result is that result.
 */

import { KNOWN_TIERS } from "../exchange.ts";

/** What some parsers take for white space, or cut a text at. */
const CONTROLS = /[\p{Cc}\p{Cf}]/gu;

/** No tier is longer, and the other letters of a long text may fold into many times as many. */
const FOLDED_CHARS_MAX = 64;

/**
 * The name under which policies, usage and prices know a tier: trimmed, lower case, no alias, in
 * plain letters (Unicode's NFKC), since an upstream may fold the others too.
 */
export function canonicalTier(tier: string): string {
  const bare = tier.replaceAll(CONTROLS, " ").trim();
  const folded = bare.length > FOLDED_CHARS_MAX ? bare : bare.normalize("NFKC").trim();
  const name = folded.toLowerCase();
  return name === "fast" ? "priority" : name;
}

/** @param tier a canonical name */
export function isKnownTier(tier: string): boolean {
  return KNOWN_TIERS.some((known) => known === tier);
}
