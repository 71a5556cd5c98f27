/**
 * What becomes of a service tier that a client asks for: the one engine for every protocol.
 *
 * Owns: which rule decides, and what it decides. Does not own: how a policy is written
 * (`service_tier_policy.ts`), where tiers stand in a request (`provider/tier_field.ts`), or telling
 * the client.
 * Invariant: a decision about what was decided changes nothing, because a tier that a rule forces
 * is judged in its turn. Pure: the same policy and request give the same decision.
 */

import { coversName } from "../lib/glob.ts";
import { canonicalTier, isKnownTier } from "../provider/tier_name.ts";
import type { ServiceTierPolicy, ServiceTierRule, TierAction } from "./service_tier_policy.ts";

interface TierRequest {
  /** As the client wrote it; null: it named none, or no string. */
  readonly tier: string | null;
  /** The upstream's name for it; null: not known. */
  readonly model: string | null;
  /** Of the upstream's credential. */
  readonly credentialKind: "api_key" | "oauth";
  readonly projectId: string;
  readonly tokenId: string | null;
}

/**
 * Why: `not_asked` and `no_rule` pass, `unknown_tier` is what the policy says of a tier nobody
 * knows; else a rule's `action`, its `fallback_action`, or, with no model known, the stricter one.
 */
type TierReason =
  "not_asked" | "no_rule" | "unknown_tier" | "action" | "fallback_action" | "model_unknown";

/** What a shadow rule would have done. */
interface ShadowDecision {
  /** Its index in the policy. */
  readonly rule: number;
  readonly action: TierAction;
  readonly tier: string | null;
}

export interface TierDecision {
  readonly action: TierAction;
  /** What goes upstream, canonical where it is known; null: none. */
  readonly tier: string | null;
  /** Index of the rule that decided; null: none did. */
  readonly rule: number | null;
  readonly reason: TierReason;
  /** What the caller of a blocked request is told; null: it is not blocked. */
  readonly message: string | null;
  /** What becomes of a WebSocket on which the request is blocked. */
  readonly onBlock: "close" | "fail_turn";
  readonly shadow: readonly ShadowDecision[];
}

/** A decision about one tier, before it is known what goes on beside it. */
type Verdict = Omit<TierDecision, "shadow">;

const NO_SHADOW: readonly ShadowDecision[] = [];
const NOT_ASKED: TierDecision = {
  action: "pass",
  tier: null,
  rule: null,
  reason: "not_asked",
  message: null,
  onBlock: "close",
  shadow: NO_SHADOW,
};

/** Loosest first. */
const STRICTNESS: readonly TierAction[] = ["pass", "force", "filter", "block"];

/** Longest part of a client's words that a message repeats. */
const ECHO_CHARS_MAX = 64;

/**
 * Decides a request for a tier.
 * @param policy from `parseServiceTierPolicy`
 */
export function decideServiceTier(policy: ServiceTierPolicy, request: TierRequest): TierDecision {
  const asked = request.tier;
  if (asked === null) return NOT_ASKED;
  const name = canonicalTier(asked);
  // A tier that nobody knows goes on as it was written, if it does.
  const tier = isKnownTier(name) ? name : asked;
  const shadow: ShadowDecision[] = [];
  const verdict = settled(policy, request, judge(policy, request, name, tier, shadow));
  return { ...verdict, shadow: shadow.length === 0 ? NO_SHADOW : shadow };
}

/** Whether one of two decisions about the same tier leaves less of it. */
export function isStricter(one: TierDecision, other: TierDecision): boolean {
  return STRICTNESS.indexOf(one.action) > STRICTNESS.indexOf(other.action);
}

/** A forced tier obeys the policy too; where rules force in a circle, no tier is sent. */
function settled(policy: ServiceTierPolicy, request: TierRequest, first: Verdict): Verdict {
  let verdict = first;
  for (let hops = 0; hops <= policy.rules.length; hops++) {
    if (verdict.action !== "force" || verdict.tier === null) return verdict;
    const next = judge(policy, request, verdict.tier, verdict.tier, null);
    if (next.tier === verdict.tier) return verdict;
    verdict = next;
  }
  return { ...verdict, action: "filter", tier: null };
}

/**
 * @param name canonical
 * @param tier what goes on where it passes
 * @param shadow takes what shadow rules would have done; null: nobody asks
 */
function judge(
  policy: ServiceTierPolicy,
  request: TierRequest,
  name: string,
  tier: string,
  shadow: ShadowDecision[] | null,
): Verdict {
  // Rules that name somebody come before those that are about everybody.
  for (const isNamed of [true, false]) {
    for (const [index, rule] of policy.rules.entries()) {
      if (namesSomebody(rule) !== isNamed || !isAbout(rule, request, name)) continue;
      const verdict = verdictOf(rule, index, request.model, name, tier);
      if (!rule.shadow) return verdict;
      shadow?.push({ rule: index, action: verdict.action, tier: verdict.tier });
    }
  }
  if (isKnownTier(name)) return outcome("pass", tier, "no_rule");
  const action = policy.unknown_tier;
  const message = action === "block" ? defaultMessage(name, request.model) : null;
  return { ...outcome(action, tier, "unknown_tier"), message };
}

function outcome(action: TierAction, tier: string | null, reason: TierReason): Verdict {
  const sent = action === "pass" || action === "force" ? tier : null;
  return { action, tier: sent, rule: null, reason, message: null, onBlock: "close" };
}

function namesSomebody(rule: ServiceTierRule): boolean {
  return rule.projects.length > 0 || rule.tokens.length > 0;
}

function isAbout(rule: ServiceTierRule, request: TierRequest, name: string): boolean {
  return coversTier(rule, name) && coversCredential(rule, request) && coversCaller(rule, request);
}

function coversTier({ service_tier }: ServiceTierRule, name: string): boolean {
  if (service_tier === "all" || service_tier === name) return true;
  return service_tier === "priority" && name === "ultrafast";
}

function coversCredential({ scope }: ServiceTierRule, { credentialKind }: TierRequest): boolean {
  return scope === "all" || (scope === "oauth") === (credentialKind === "oauth");
}

function coversCaller(rule: ServiceTierRule, { projectId, tokenId }: TierRequest): boolean {
  if (!namesSomebody(rule) || rule.projects.includes(projectId)) return true;
  return tokenId !== null && rule.tokens.includes(tokenId);
}

function verdictOf(
  rule: ServiceTierRule,
  index: number,
  model: string | null,
  name: string,
  tier: string,
): Verdict {
  const reason = reasonOf(rule, model);
  const isFallback =
    reason === "fallback_action" || (reason === "model_unknown" && fallbackIsStricter(rule));
  const action = isFallback ? rule.fallback_action : rule.action;
  const said = isFallback ? rule.fallback_error_message : rule.error_message;
  const message = action === "block" ? (said ?? defaultMessage(name, model)) : null;
  const sent = action === "force" ? rule.force_tier : tier;
  return { ...outcome(action, sent, reason), rule: index, message, onBlock: rule.on_block };
}

function reasonOf({ model_whitelist }: ServiceTierRule, model: string | null): TierReason {
  if (model_whitelist.length === 0) return "action";
  if (model === null) return "model_unknown";
  return model_whitelist.some((entry) => coversName(entry, model)) ? "action" : "fallback_action";
}

function fallbackIsStricter({ action, fallback_action }: ServiceTierRule): boolean {
  return STRICTNESS.indexOf(fallback_action) > STRICTNESS.indexOf(action);
}

function defaultMessage(name: string, model: string | null): string {
  const what = `openai service_tier=${echo(name)} is not allowed`;
  return model === null ? what : `${what} for model ${echo(model)}`;
}

function echo(text: string): string {
  return text.slice(0, ECHO_CHARS_MAX).toWellFormed();
}
