/**
 * Anthropic's fast mode as its beta header asks for it: `anthropic-beta: …,fast-mode-2026-02-01`.
 *
 * Owns: finding that one beta in the list, and taking it out. Does not own: the field `speed` of
 * the body (`tier_field.ts`).
 * Invariant: every other beta stays as it was written, and where there is no fast mode the whole
 * header does.
 */

import type { TierAsk } from "./tier_field.ts";
import { FAST_TIER } from "./tier_field.ts";

/** Also behind what somebody may take for a comma or a quote. */
const FAST_MODE = /(?<![a-z\d-])fast-mode-/i;

/** The header whose value `fastModeAsk` and `writeFastMode` take; several are joined by commas. */
export const BETA_HEADER = "anthropic-beta";

/** The tier that the betas ask for; null: none of them does, or there is no such header. */
export function fastModeAsk(betas: string | null): TierAsk | null {
  if (betas === null || !betas.split(",").some(isFastMode)) return null;
  return { field: BETA_HEADER, tier: "fast" };
}

/**
 * The betas after a decision about their tier.
 * @param tier what may be sent, canonical; only `priority` keeps fast mode
 * @returns null: the header is to be left out, because nothing remains of it
 */
export function writeFastMode(betas: string, tier: string | null): string | null {
  if (tier === FAST_TIER) return betas;
  const all = betas.split(",");
  const kept = all.filter((beta) => !isFastMode(beta));
  if (kept.length === all.length) return betas;
  const rest = kept.join(",").trimStart();
  return rest === "" ? null : rest;
}

function isFastMode(beta: string): boolean {
  return FAST_MODE.test(beta);
}
