/**
 * What a caller may ask for: endpoints, models, service tiers.
 *
 * Owns: how an entry of a list is compared. Does not own: whose lists hold, and where they come
 * from (`auth/`), nor what a request asks for (`provider/`).
 * Invariant: every list that holds has to have it; what is not known is in none, and refused.
 */

import { GatewayError } from "../errors.ts";
import type { AllowLists, SubjectLists } from "../exchange.ts";
import { coversName } from "../lib/glob.ts";
import { canonicalTier } from "../provider/tier_name.ts";
import { bareModel } from "../provider/model_field.ts";

/** Of a text from outside that is repeated in a message. */
const SHOWN_CHARACTERS_MAX = 100;
const LIST_SHOWN_CHARACTERS_MAX = 300;

/**
 * @param endpointName its path pattern, as `/v1/responses/{id}`
 * @param path of the request; an entry may be about either
 * @throws GatewayError `endpoint_not_allowed`
 */
export function requireEndpoint(
  subjects: readonly SubjectLists[],
  endpointName: string,
  path: string,
): void {
  const refusal = firstWithout(
    subjects,
    "endpoints",
    (list) => isListed(list, endpointName) || isListed(list, path),
  );
  if (refusal === null) return;
  throw new GatewayError("endpoint_not_allowed", refusalOf(refusal, `for ${shown(endpointName)}`));
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
      `The media of ${name} go past sluice, where no limit of this token or its project would ` +
      "hold. Use a token without limits, or a WebSocket through sluice",
  });
}

/**
 * Refuses a client secret where a browser has no business.
 * @param isSecret whether the caller shows one
 * @throws GatewayError `endpoint_not_allowed`
 */
export function requireSecretTaken(
  { name, clientSecret }: { readonly name: string; readonly clientSecret: string | null },
  isSecret: boolean,
): void {
  if (!isSecret || clientSecret === "taken") return;
  throw new GatewayError("endpoint_not_allowed", {
    message: `A client secret is not taken for ${name}, only for /v1/realtime. Use the token`,
  });
}

/**
 * @param names of the model, the caller's first: any of them may be listed. None: the request names
 *   no model, and what it would get cannot be known
 * @throws GatewayError `model_not_allowed`
 */
export function requireModel(subjects: readonly SubjectLists[], names: readonly string[]): void {
  const refusal = firstWithout(subjects, "models", (list) =>
    names.some((name) => isListed(list, name) || isListed(list, bareModel(name))),
  );
  if (refusal === null) return;
  const [model] = names;
  const what = model === undefined ? "without naming a model" : `for the model ${shown(model)}`;
  throw new GatewayError("model_not_allowed", { ...refusalOf(refusal, what), param: "model" });
}

/**
 * @param tier as the request names it; null: it leaves the choice to its account
 * @throws GatewayError `tier_blocked`
 */
export function requireTier(subjects: readonly SubjectLists[], tier: string | null): void {
  const refusal = tierRefusal(subjects, tier);
  if (refusal !== null) throw refusal;
}

/** Why a tier is refused, as `requireTier` would; null: it is not. */
export function tierRefusal(
  subjects: readonly SubjectLists[],
  tier: string | null,
): GatewayError | null {
  if (tier === null) return null;
  const name = canonicalTier(tier);
  const refusal = firstWithout(subjects, "tiers", (list) =>
    isListed(list.map(canonicalTier), name),
  );
  if (refusal === null) return null;
  const what = `for the service tier ${shown(tier)}`;
  return new GatewayError("tier_blocked", { ...refusalOf(refusal, what), param: "service_tier" });
}

/** A list that does not allow what is asked for. */
interface Refusal {
  /** Whose it is. */
  readonly subject: string;
  readonly list: readonly string[];
}

function firstWithout(
  subjects: readonly SubjectLists[],
  kind: keyof AllowLists,
  allows: (list: readonly string[]) => boolean,
): Refusal | null {
  for (const { subject, lists } of subjects) {
    const list = lists[kind];
    if (list !== null && !allows(list)) return { subject, list };
  }
  return null;
}

function refusalOf({ subject, list }: Refusal, what: string): { message: string; subject: string } {
  const owner = subject.startsWith("token:") ? "token" : "project";
  return { message: `This ${owner} may not be used ${what}, only for: ${listed(list)}`, subject };
}

function isListed(list: readonly string[], name: string): boolean {
  return list.some((entry) => coversName(entry, name));
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_CHARACTERS_MAX));
}

function listed(list: readonly string[]): string {
  const text = list.join(", ");
  if (text.length <= LIST_SHOWN_CHARACTERS_MAX) return text;
  return `${text.slice(0, LIST_SHOWN_CHARACTERS_MAX)}…`;
}
