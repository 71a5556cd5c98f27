/**
 * What a token may be used for: endpoints, models, service tiers.
 *
 * Owns: how an entry of a token's list is compared. Does not own: where the lists come from
 * (`auth/`), nor what a request asks for (`provider/`).
 * Invariant: what is not known is not in a list, and refused.
 */

import { GatewayError } from "../errors.ts";
import type { Restrictions } from "../exchange.ts";

/** Of a text from outside that is repeated in a message. */
const SHOWN_CHARACTERS_MAX = 100;
const LIST_SHOWN_CHARACTERS_MAX = 300;

/**
 * @param endpointName its path pattern, as `/v1/responses/{id}`
 * @param path of the request; an entry may be about either
 * @throws GatewayError `endpoint_not_allowed`
 */
export function requireEndpoint(
  restrictions: Restrictions | null,
  endpointName: string,
  path: string,
): void {
  const list = restrictions?.endpoints ?? null;
  if (list === null || isListed(list, endpointName) || isListed(list, path)) return;
  throw new GatewayError("endpoint_not_allowed", {
    message: `This token may not be used for ${shown(endpointName)}, only for: ${listed(list)}`,
  });
}

/**
 * Refuses what would be used later without any limit to whoever has limits.
 * @param endpoint `escapesLimits` says whether it would
 * @param isLimited whether the caller, or the project, has any limit or restriction
 * @throws GatewayError `endpoint_not_allowed`
 */
export function requireBounded(
  { name, escapesLimits }: { readonly name: string; readonly escapesLimits: boolean },
  isLimited: boolean,
): void {
  if (!escapesLimits || !isLimited) return;
  throw new GatewayError("endpoint_not_allowed", {
    message:
      `${name} hands out a key of the provider's, for which no limit of this token or its ` +
      "project would hold. Use a token without limits, or connect through sluice",
  });
}

/**
 * @param model null: the request names none, and what it would get cannot be known
 * @throws GatewayError `model_not_allowed`
 */
export function requireModel(restrictions: Restrictions | null, model: string | null): void {
  const list = restrictions?.models ?? null;
  if (list === null) return;
  if (model !== null && (isListed(list, model) || isListed(list, bareModel(model)))) return;
  const what = model === null ? "without naming a model" : `for the model ${shown(model)}`;
  throw new GatewayError("model_not_allowed", {
    message: `This token may not be used ${what}, only for: ${listed(list)}`,
    param: "model",
  });
}

/**
 * @param tier as the request names it; null: it leaves the choice to its account
 * @throws GatewayError `tier_blocked`
 */
export function requireTier(restrictions: Restrictions | null, tier: string | null): void {
  const list = restrictions?.tiers ?? null;
  if (list === null || tier === null) return;
  if (isListed(list.map(tierName), tierName(tier))) return;
  const what = `for the service tier ${shown(tier)}`;
  throw new GatewayError("tier_blocked", {
    message: `This token may not be used ${what}, only for: ${listed(list)}`,
    param: "service_tier",
  });
}

/** An entry is the whole name, or its beginning and a `*`. */
function isListed(list: readonly string[], name: string): boolean {
  return list.some((entry) =>
    entry.endsWith("*") ? name.startsWith(entry.slice(0, -1)) : name === entry,
  );
}

/** Gemini writes its models with a collection in front of them, in some places. */
function bareModel(model: string): string {
  return model.startsWith("models/") ? model.slice("models/".length) : model;
}

/** `fast` is the new name of `priority`. */
function tierName(tier: string): string {
  const name = tier.trim().toLowerCase();
  return name === "fast" ? "priority" : name;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_CHARACTERS_MAX));
}

function listed(list: readonly string[]): string {
  const text = list.join(", ");
  if (text.length <= LIST_SHOWN_CHARACTERS_MAX) return text;
  return `${text.slice(0, LIST_SHOWN_CHARACTERS_MAX)}…`;
}
