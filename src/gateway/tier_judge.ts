/**
 * Has service tiers decided for one caller and one upstream credential.
 *
 * Owns: what a decision is about beside the tier, counting it, and what a client is told of a
 * block.
 * Does not own: the decision (`policy/service_tier.ts`), where a tier stands and what takes its
 * place (`request_tiers.ts`, `session_tiers.ts`).
 * Invariant: HTTP and WebSocket go through this one function, so that neither is a way around the
 * other; what the policy lets through, the lists of token and project must allow as well.
 */

import type { ProviderConfig } from "../config/config.ts";
import { GatewayError, type GatewayErrorOptions } from "../errors.ts";
import type { Message, Principal } from "../exchange.ts";
import { requireTier, tierRefusal } from "../policy/access.ts";
import { decideServiceTier, isStricter, type TierDecision } from "../policy/service_tier.ts";
import { failedTurnMessages } from "../provider/failed_turn.ts";
import type { MeterDialect } from "../provider/provider.ts";
import type { TierAsk } from "../provider/tier_field.ts";
import type { GatewayParts } from "./arrival.ts";

export type TierParts = Pick<
  GatewayParts,
  "authenticator" | "tierPolicy" | "metrics" | "log" | "credentials" | "clock"
>;

/** Of the answers to requests that asked for a tier. */
export const TIER_HEADER = "x-sluice-service-tier";

/** What was asked for, and what goes upstream; null: no tier. */
export interface DecidedTiers {
  readonly requested: string;
  readonly decided: string | null;
}

/** Has tiers decided for one caller and one upstream credential. */
export class TierJudge {
  readonly #parts: TierParts;
  readonly #principal: Principal;
  readonly #credentialKind: "api_key" | "oauth";

  constructor(parts: TierParts, principal: Principal, provider: ProviderConfig) {
    const hasOwn = parts.credentials.hasCredential(principal.projectId, provider.name);
    this.#parts = parts;
    this.#principal = principal;
    // A project's own key is what is sent then.
    this.#credentialKind = hasOwn ? "api_key" : provider.credentialKind;
  }

  /**
   * @param models that the request may be for; of several that are known the strictest decides
   * @param message that asks, on a WebSocket
   * @throws GatewayError `tier_blocked`
   */
  decide(
    { tier }: TierAsk,
    models: readonly (string | null)[],
    dialect: MeterDialect,
    message: Message | null,
  ): TierDecision {
    const known = models.filter((model) => model !== null);
    const decisions = (known.length === 0 ? [null] : known).map((model) => ({
      model,
      ...this.#decideFor(tier, model),
    }));
    const decision = decisions.reduce((one, other) => (isStricter(other, one) ? other : one));
    this.#count(decision, tier, decision.model);
    if (decision.action !== "block") {
      requireTier(this.#parts.authenticator.lists(this.#principal), decision.tier);
      return decision;
    }
    const reason = decision.message ?? "The service tier is not allowed";
    if (message === null)
      throw blocked(reason, { headers: { [TIER_HEADER]: tierPair(tier, null) } });
    if (decision.onBlock === "close") throw blocked(reason);
    throw this.failTurn(dialect, message, reason);
  }

  /** Whether a tier would be refused, which is neither counted nor logged. */
  refuses(tier: string, model: string | null): boolean {
    if (this.#decideFor(tier, model).action === "block") return true;
    return tierRefusal(this.#parts.authenticator.lists(this.#principal), tier) !== null;
  }

  #decideFor(tier: string, model: string | null): TierDecision {
    const { projectId, tokenId } = this.#principal;
    const credentialKind = this.#credentialKind;
    const request = { tier, model, credentialKind, projectId, tokenId };
    return decideServiceTier(this.#parts.tierPolicy.policy, request);
  }

  /** Refuses one message, and the turn that it asks for, if any. The session goes on. */
  failTurn(dialect: MeterDialect, message: Message, reason: string): GatewayError {
    const createdAtS = Math.floor(this.#parts.clock.nowMs() / 1000);
    const id = `resp_${crypto.randomUUID().replaceAll("-", "")}`;
    const turn = { id, createdAtS, reason };
    return blocked(reason, { events: failedTurnMessages(dialect, message, turn), goesOn: true });
  }

  #count({ action, shadow }: TierDecision, tier: string, model: string | null): void {
    const { metrics, log } = this.#parts;
    metrics.count("sluice_policy_decisions_total", ["service_tier", action, "false"]);
    for (const would of shadow) {
      metrics.count("sluice_policy_decisions_total", ["service_tier", would.action, "true"]);
      const { projectId, tokenId } = this.#principal;
      log("policy_shadow", {
        policy: "service_tier",
        rule: would.rule,
        action: would.action,
        requested_service_tier: tier,
        decided_service_tier: would.tier,
        model,
        project_id: projectId,
        token_id: tokenId,
      });
    }
  }
}

export function blocked(message: string, more: GatewayErrorOptions = {}): GatewayError {
  return new GatewayError("tier_blocked", { message, param: "service_tier", ...more });
}

/** What was asked for and what goes upstream, as an answer's `TIER_HEADER` says it. */
export function tierPair(requested: string, decided: string | null): string {
  // Only what fits into a header; the usage event has it whole.
  const shown = (tier: string | null) => (tier ?? "none").replace(/[^\x20-\x3a\x3c-\x7e]/g, "?");
  return `${shown(requested)};${shown(decided)}`;
}
