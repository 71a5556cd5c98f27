/**
 * The service tier policy, applied to requests and to every message of a session; and of messages
 * their parameters and models, where the provider limits or renames those.
 *
 * Owns: reading what is asked for, having it decided, and putting the decision in its place; which
 * model of a session a decision is about; what a client is told of a block.
 * Does not own: the decision (`policy/service_tier.ts`), the places (`provider/tier_field.ts`).
 * Invariant: HTTP and WebSocket go through the same function, so that neither is a way around the
 * other. Nothing but the field decided about changes.
 */

import type { ProviderConfig } from "./config/config.ts";
import { GatewayError, type GatewayErrorOptions } from "./errors.ts";
import type { Message, Principal } from "./exchange.ts";
import type { GatewayParts } from "./gateway_arrival.ts";
import { requireModel, requireTier, tierRefusal } from "./policy/access.ts";
import { type ParamWhitelist, requireParams } from "./policy/param_whitelist.ts";
import { decideServiceTier, isStricter, type TierDecision } from "./policy/service_tier.ts";
import { failedTurnMessages } from "./provider/failed_turn.ts";
import { renameInMessage } from "./provider/model_field.ts";
import { BETA_HEADER, fastModeAsk, writeFastMode } from "./provider/fast_mode.ts";
import type { MeterDialect, RequestedTurn } from "./provider/provider.ts";
import { KNOWN_TIERS } from "./provider/tier_name.ts";
import {
  isStanding,
  modelsFor,
  readTiers,
  startsNothing,
  type TierAsk,
  writeTier,
} from "./provider/tier_field.ts";
import type { Candidate } from "./route/choose.ts";
import type { ModelNames } from "./route/model_map.ts";

export type TierParts = Pick<
  GatewayParts,
  "authenticator" | "tierPolicy" | "metrics" | "log" | "credentials" | "clock"
>;

/** Of the answers to requests that asked for a tier. */
export const TIER_HEADER = "x-sluice-service-tier";

/** What was asked for, and what goes upstream; null: no tier. */
interface Tiers {
  readonly requested: string;
  readonly decided: string | null;
}

/** Where Anthropic is asked for fast mode in the body. */
const FAST_FIELD = "speed";

/** A request after its tiers were decided. */
interface PolicedRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  /** As the client wrote it, in whatever field or header; null: it named none. */
  readonly requestedTier: string | null;
  /** As it goes upstream; null: none. */
  readonly decidedTier: string | null;
  /** What becomes of `anthropic-beta`; undefined: it stays as it came, null: it is left out. */
  readonly betas: string | null | undefined;
}

/** A message after its tiers were decided. */
interface PolicedMessage {
  readonly message: Message;
  /** Of the message, else those that the session holds; null: it named none. */
  readonly tiers: Tiers | null;
  /** Whether it means nothing to the session's meter either. */
  readonly isQuiet: boolean;
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
  const judge = new Judge(parts, principal, provider);
  const models = [requested.model];
  let message: Message = body;
  let tiers: Tiers | null = null;
  let isFastAsked = false;
  for (const ask of mayAsk(dialect, requested) ? readTiers(dialect, "body", body).asks : []) {
    const { tier } = judge.decide(ask, models, dialect, null);
    const written = writeTier(dialect, "body", message, ask.field, tier);
    message = written.message;
    // Of a tier and a speed, the speed is what the price depends on.
    isFastAsked ||= ask.field === FAST_FIELD;
    if (tiers === null || ask.field === FAST_FIELD) {
      tiers = { requested: ask.tier, decided: written.tier };
    }
  }
  const { betas, asked } = policeBetas(judge, dialect, headers, models);
  if (!isFastAsked) tiers = asked ?? tiers;
  return {
    body: message === body ? body : bytesOf(message),
    requestedTier: tiers?.requested ?? requested.serviceTier,
    decidedTier: tiers === null ? requested.serviceTier : tiers.decided,
    betas,
  };
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
  const judge = new Judge(parts, principal, provider);
  const ask = { field: "service_tier", tier: serviceTier };
  const { tier } = judge.decide(ask, [model], dialect, null);
  if (tier !== serviceTier) throw blocked("The service tier cannot be changed in a form");
}

/**
 * Refuses requests that stand where nobody here can read them, unless they may ask for any tier
 * that there is. What a rule would take out or replace is left to the batch, which is a tier of its
 * own.
 * @throws GatewayError `tier_blocked`
 */
export function policeUnread(
  parts: TierParts,
  principal: Principal,
  { provider }: Candidate,
  model: string | null,
): void {
  const judge = new Judge(parts, principal, provider);
  const refused = KNOWN_TIERS.find((tier) => judge.refuses(tier, model));
  if (refused === undefined) return;
  const message =
    `The requests of this batch stand in a file, which may ask for the service tier ${refused}, ` +
    "and that is not allowed. Send them one by one";
  throw blocked(message);
}

function policeBetas(
  judge: Judge,
  dialect: MeterDialect,
  headers: Headers,
  models: readonly (string | null)[],
): { readonly betas: string | null | undefined; readonly asked: Tiers | null } {
  const betas = dialect === "anthropic_messages" ? headers.get(BETA_HEADER) : null;
  const ask = fastModeAsk(betas);
  if (betas === null || ask === null) return { betas: undefined, asked: null };
  const { tier } = judge.decide(ask, models, dialect, null);
  const written = writeFastMode(betas, tier);
  const decided = written === betas ? tier : null;
  const asked = { requested: ask.tier, decided };
  return { betas: written === betas ? undefined : written, asked };
}

/** Whether a body has to be read once more for tiers: that of most requests names none. */
function mayAsk(dialect: MeterDialect, { serviceTier, speed }: RequestedTurn): boolean {
  return serviceTier !== null || speed !== null || dialect === "gemini_generate";
}

/** Models that a client may set one after the other before the upstream confirms any. */
const MODELS_ASKED_MAX = 16;

/** A tier that a session holds for the turns that name none. */
interface StandingTier extends Tiers {
  readonly ask: TierAsk;
}

const STANDING_REFUSED =
  'The service tier that the session holds is not allowed any more. Set another, such as "default"';

/** Decides about the messages of one session. */
export class SessionTiers {
  readonly #parts: TierParts;
  readonly #principal: Principal;
  readonly #judge: Judge;
  readonly #dialect: MeterDialect;
  readonly #whitelist: ParamWhitelist;
  readonly #names: ModelNames;
  /** As the upstream last confirmed it, at first as the URL or the first request asked for it. */
  #model: string | null;
  /** What the client has set since. Which of them the upstream took is not known yet. */
  #modelsAsked: string[] = [];
  #standing: readonly StandingTier[] = [];
  /** The policy that what it holds was judged by, for every model that it may be for. */
  #judgedBy: unknown = null;

  constructor(
    parts: TierParts,
    principal: Principal,
    { endpoint, provider }: Candidate,
    names: ModelNames,
    model: string | null,
  ) {
    this.#parts = parts;
    this.#principal = principal;
    this.#judge = new Judge(parts, principal, provider);
    this.#dialect = endpoint.dialect;
    this.#whitelist = provider.paramWhitelist;
    this.#names = names;
    this.#model = model;
  }

  /** The upstream says what the session's model is. What was asked for later is still to come. */
  confirmModel(model: string): void {
    this.#model = model;
    // The upstream's name may have a version behind the one that was asked for.
    const confirmed = this.#modelsAsked.findIndex((asked) => model.startsWith(asked));
    this.#modelsAsked = this.#modelsAsked.slice(confirmed + 1);
    this.#judgedBy = null;
  }

  /**
   * @param asked as the client sent it
   * @throws GatewayError `tier_blocked`, `model_not_allowed`, `invalid_json`, `ambiguous_json`,
   *   `param_not_allowed`: the message must not be forwarded
   */
  police(asked: Message): PolicedMessage {
    const dialect = this.#dialect;
    if (this.#whitelist.size > 0) requireParams(this.#whitelist, asked);
    if (dialect === "none") return { message: asked, tiers: null, isQuiet: false };
    const message = this.#names.isTrivial
      ? asked
      : renameInMessage(dialect, asked, this.#names.toUpstream);
    const reading = readTiers(dialect, "message", message);
    const { sessionModel, responseModel, asks, isQuiet } = reading;
    if (sessionModel !== null) this.#requireMove(sessionModel);
    for (const transcription of reading.transcriptionModels) this.#requireModel(transcription);
    if (responseModel !== null) this.#requireModel(responseModel);
    if (dialect === "openai_responses") this.#model ??= reading.model;
    const held = [this.#model, ...this.#modelsAsked, sessionModel];
    const standing: StandingTier[] = [];
    let policed = message;
    let tiers: Tiers | null = null;
    for (const ask of asks) {
      const { tier } = this.#judge.decide(ask, modelsFor(ask, reading, held), dialect, message);
      const written = writeTier(dialect, "message", policed, ask.field, tier);
      policed = written.message;
      tiers = { requested: ask.tier, decided: written.tier };
      const isHeld = tiers.decided !== null && isStanding(ask);
      if (isHeld) standing.push({ ask, ...tiers });
    }
    // One that was taken out changes nothing of what the upstream has.
    if (standing.length > 0) this.#stands(standing);
    else this.#judgeStanding(held, sessionModel !== null, message);
    if (sessionModel !== null) this.#moveTo(sessionModel);
    return { message: policed, tiers: tiers ?? this.#standing.at(-1) ?? null, isQuiet };
  }

  #requireMove(model: string): void {
    this.#requireModel(model);
    if (this.#modelsAsked.length < MODELS_ASKED_MAX) return;
    throw new GatewayError("bad_request", {
      message: "The session's model was set too often before the upstream confirmed it",
    });
  }

  #requireModel(model: string): void {
    const names = this.#names.namesOf(this.#names.toCaller(model), model);
    requireModel(this.#parts.authenticator.lists(this.#principal), names);
  }

  #moveTo(model: string): void {
    if (this.#modelsAsked.at(-1) !== model) this.#modelsAsked.push(model);
  }

  #stands(standing: readonly StandingTier[]): void {
    this.#standing = standing;
    this.#judgedBy = this.#parts.tierPolicy.policy;
  }

  /**
   * What a session holds was decided by a policy, for a model, or under lists that may not hold any
   * more. Where that is so, nothing goes on that could start a turn, until the client sets another
   * tier.
   */
  #judgeStanding(models: readonly (string | null)[], isMoved: boolean, message: Message): void {
    const { policy } = this.#parts.tierPolicy;
    const unlisted = this.#unlistedTier();
    const isJudged = this.#judgedBy === policy && !isMoved;
    if (unlisted === null && (this.#standing.length === 0 || isJudged)) return;
    if (!isMoved && startsNothing(this.#dialect, message)) return;
    if (unlisted !== null) throw this.#judge.failTurn(this.#dialect, message, unlisted.message);
    for (const { ask, decided } of this.#standing) {
      const { tier } = this.#judge.decide(ask, models, this.#dialect, message);
      // It cannot be rewritten any more: the upstream has it.
      if (tier !== decided) throw this.#judge.failTurn(this.#dialect, message, STANDING_REFUSED);
    }
    this.#judgedBy = policy;
  }

  /** Why the caller may not have a tier that the session holds; null: it may. */
  #unlistedTier(): GatewayError | null {
    if (this.#standing.length === 0) return null;
    const lists = this.#parts.authenticator.lists(this.#principal);
    for (const { decided } of this.#standing) {
      const refusal = tierRefusal(lists, decided);
      if (refusal !== null) return refusal;
    }
    return null;
  }
}

/** Has tiers decided for one caller and one upstream credential. */
class Judge {
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

function blocked(message: string, more: GatewayErrorOptions = {}): GatewayError {
  return new GatewayError("tier_blocked", { message, param: "service_tier", ...more });
}

/** What was asked for and what goes upstream, as an answer's `TIER_HEADER` says it. */
export function tierPair(requested: string, decided: string | null): string {
  // Only what fits into a header; the usage event has it whole.
  const shown = (tier: string | null) => (tier ?? "none").replace(/[^\x20-\x3a\x3c-\x7e]/g, "?");
  return `${shown(requested)};${shown(decided)}`;
}

/** The message in bytes of its own. */
export function bytesOf(message: Message): Uint8Array<ArrayBuffer> {
  return typeof message === "string" ? new TextEncoder().encode(message) : new Uint8Array(message);
}
