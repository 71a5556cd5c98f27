/**
 * The names of service tiers, whoever's they are.
 *
 * Owns: which spellings are one tier, and which tiers are known. Does not own: where a tier stands
 * in a request (`tier_field.ts`), or what may be asked for (`policy/`).
 * Invariant: `canonicalTier` of its own result is that result.
 */

/** `standard_only` is Anthropic's, `standard` and `unspecified` are Gemini's, the rest OpenAI's. */
export const KNOWN_TIERS = [
  "priority",
  "flex",
  "auto",
  "default",
  "scale",
  "ultrafast",
  "standard",
  "standard_only",
  "unspecified",
] as const;

/** The name under which policies, usage and prices know a tier: trimmed, lower case, no alias. */
export function canonicalTier(tier: string): string {
  const name = tier.trim().toLowerCase();
  return name === "fast" ? "priority" : name;
}

/** @param tier a canonical name */
export function isKnownTier(tier: string): boolean {
  return KNOWN_TIERS.some((known) => known === tier);
}
