/**
 * The service tier policy, applied to requests and to every message of a session; and of messages
 * their parameters, where the provider limits those.
 *
 * Owns: reading what is asked for, having it decided, and putting the decision in its place; which
 * model of a session a decision is about; what a client is told of a block.
 * Does not own: the decision (`policy/service_tier.ts`), the places (`provider/tier_field.ts`).
 * Invariant: HTTP and WebSocket go through the same function, so that neither is a way around the
 * other. Nothing but the field decided about changes.
 */

import { GatewayError } from "./errors.ts";
import type { Message, Principal } from "./exchange.ts";
import type { GatewayParts } from "./gateway_arrival.ts";
import { type ParamWhitelist, requireParams } from "./policy/param_whitelist.ts";
import { decideServiceTier, isStricter, type TierDecision } from "./policy/service_tier.ts";
import { failedTurnMessages } from "./provider/failed_turn.ts";
import { BETA_HEADER, fastModeAsk, writeFastMode } from "./provider/fast_mode.ts";
import type { MeterDialect, RequestedTurn } from "./provider/provider.ts";
import { readTiers, type TierAsk, writeTier } from "./provider/tier_field.ts";
import type { Candidate } from "./route/choose.ts";

type TierParts = Pick<GatewayParts, "tierPolicy" | "metrics" | "log">;

/** A request after its tiers were decided. */
interface PolicedRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  /** As it goes upstream; null: none. */
  readonly decidedTier: string | null;
  /** What becomes of `anthropic-beta`; undefined: it stays as it came, null: it is left out. */
  readonly betas: string | null | undefined;
}

/** A message after its tiers were decided. */
interface PolicedMessage {
  readonly message: Message;
  /** As the client wrote it; null: it named none. */
  readonly requestedTier: string | null;
}

/**
 * Decides about an HTTP request.
 * @throws GatewayError `tier_blocked`, `ambiguous_json`, `param_not_allowed`
 */
export function policeRequest(
  parts: TierParts,
  principal: Principal,
  { endpoint: { dialect }, provider }: Candidate,
  headers: Headers,
  body: Uint8Array<ArrayBuffer>,
  requested: RequestedTurn,
): PolicedRequest {
  const judge = new Judge(parts, principal, provider.credentialKind);
  const models = [requested.model];
  let message: Message = body;
  let decidedTier = requested.serviceTier;
  for (const ask of mayAsk(dialect, requested) ? readTiers(dialect, "body", body).asks : []) {
    const { tier } = judge.decide(ask, models, dialect, null);
    const written = writeTier(dialect, "body", message, ask.field, tier);
    message = written.message;
    if (ask.field !== "speed") decidedTier = written.tier;
  }
  const betas = policeBetas(judge, dialect, headers, models);
  return { body: message === body ? body : bytesOf(message), decidedTier, betas };
}

/**
 * Refuses a form that asks for a tier which may not go on as it is: a form that streams by cannot
 * be rewritten.
 * @throws GatewayError `tier_blocked`
 */
export function policeForm(
  parts: TierParts,
  principal: Principal,
  { endpoint: { dialect }, provider }: Candidate,
  { model, serviceTier }: RequestedTurn,
): void {
  if (serviceTier === null) return;
  const judge = new Judge(parts, principal, provider.credentialKind);
  const ask = { field: "service_tier", tier: serviceTier };
  const { tier } = judge.decide(ask, [model], dialect, null);
  if (tier !== serviceTier) throw blocked("The service tier cannot be changed in a form", []);
}

function policeBetas(
  judge: Judge,
  dialect: MeterDialect,
  headers: Headers,
  models: readonly (string | null)[],
): string | null | undefined {
  if (dialect !== "anthropic_messages") return undefined;
  const betas = headers.get(BETA_HEADER);
  const ask = fastModeAsk(betas);
  if (betas === null || ask === null) return undefined;
  const { tier } = judge.decide(ask, models, dialect, null);
  const written = writeFastMode(betas, tier);
  return written === betas ? undefined : written;
}

/** Whether a body has to be read once more for tiers: that of most requests names none. */
function mayAsk(dialect: MeterDialect, { serviceTier, speed }: RequestedTurn): boolean {
  return serviceTier !== null || speed !== null || dialect === "gemini_generate";
}

/** Decides about the messages of one session. */
export class SessionTiers {
  readonly #judge: Judge;
  readonly #dialect: MeterDialect;
  readonly #whitelist: ParamWhitelist;
  /** As the upstream last confirmed it, at first as the URL names it. */
  #model: string | null;
  /** As the client last set it; null: the upstream has answered since. */
  #modelAsked: string | null = null;

  constructor(
    parts: TierParts,
    principal: Principal,
    { endpoint, provider }: Candidate,
    model: string | null,
  ) {
    this.#judge = new Judge(parts, principal, provider.credentialKind);
    this.#dialect = endpoint.dialect;
    this.#whitelist = provider.paramWhitelist;
    this.#model = model;
  }

  /** The upstream says what the session's model is. */
  confirmModel(model: string): void {
    this.#model = model;
    this.#modelAsked = null;
  }

  /**
   * @throws GatewayError `tier_blocked`, `invalid_json`, `ambiguous_json`, `param_not_allowed`: the
   *   message must not be forwarded
   */
  police(message: Message): PolicedMessage {
    const dialect = this.#dialect;
    if (this.#whitelist.size > 0) requireParams(this.#whitelist, message);
    if (dialect === "none") return { message, requestedTier: null };
    const { model, sessionModel, asks } = readTiers(dialect, "message", message);
    this.#modelAsked = sessionModel ?? this.#modelAsked;
    let policed = message;
    for (const ask of asks) {
      const models = model === null ? [this.#model, this.#modelAsked] : [model];
      const { tier } = this.#judge.decide(ask, models, dialect, message);
      policed = writeTier(dialect, "message", policed, ask.field, tier).message;
    }
    return { message: policed, requestedTier: asks[0]?.tier ?? null };
  }
}

/** Has tiers decided for one caller and one upstream credential. */
class Judge {
  readonly #parts: TierParts;
  readonly #principal: Principal;
  readonly #credentialKind: "api_key" | "oauth";

  constructor(parts: TierParts, principal: Principal, credentialKind: "api_key" | "oauth") {
    this.#parts = parts;
    this.#principal = principal;
    this.#credentialKind = credentialKind;
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
    const { tierPolicy } = this.#parts;
    const { projectId, tokenId } = this.#principal;
    const credentialKind = this.#credentialKind;
    const known = models.filter((model) => model !== null);
    const decisions = (known.length === 0 ? [null] : known).map((model) => ({
      model,
      ...decideServiceTier(tierPolicy.policy, {
        tier,
        model,
        credentialKind,
        projectId,
        tokenId,
      }),
    }));
    const decision = decisions.reduce((one, other) => (isStricter(other, one) ? other : one));
    this.#count(decision, tier, decision.model);
    if (decision.action !== "block") return decision;
    const reason = decision.message ?? "The service tier is not allowed";
    if (message === null || decision.onBlock === "close") throw blocked(reason, []);
    throw blocked(reason, failedTurnMessages(dialect, message, newResponseId(), reason));
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

function blocked(message: string, events: readonly string[]): GatewayError {
  return new GatewayError("tier_blocked", { message, param: "service_tier", events });
}

function newResponseId(): string {
  return `resp_${crypto.randomUUID().replaceAll("-", "")}`;
}

function bytesOf(message: Message): Uint8Array<ArrayBuffer> {
  return typeof message === "string" ? new TextEncoder().encode(message) : new Uint8Array(message);
}
