/**
 * The service tier policy, applied to every message of a session; and of messages their parameters
 * and models, where the provider limits or renames those.
 *
 * Owns: reading what is asked for, and putting the decision in its place; which model of a session
 * a decision is about; the tiers that a session holds.
 * Does not own: the decision (`tier_judge.ts`), the places (`provider/tier_field.ts`).
 * Invariant: nothing but the field decided about changes. What a session holds is judged anew with
 * the next message after the policy, a list or the model changed.
 */

import { GatewayError } from "../errors.ts";
import type { Message, Principal } from "../exchange.ts";
import { requireModel, tierRefusal } from "../policy/access.ts";
import { type ParamWhitelist, requireParams } from "../policy/param_whitelist.ts";
import { renameInMessage } from "../provider/model_field.ts";
import type { MeterDialect } from "../provider/provider.ts";
import {
  isStanding,
  modelsFor,
  readTiers,
  startsNothing,
  type TierAsk,
  writeTier,
} from "../provider/tier_field.ts";
import type { Candidate } from "../route/choose.ts";
import type { ModelNames } from "../route/model_map.ts";
import { type DecidedTiers, TierJudge, type TierParts } from "./tier_judge.ts";

/** A message after its tiers were decided. */
interface PolicedMessage {
  readonly message: Message;
  /** Of the message, else those that the session holds; null: it named none. */
  readonly tiers: DecidedTiers | null;
  /** Whether it means nothing to the session's meter either. */
  readonly isQuiet: boolean;
}

/** Models that a client may set one after the other before the upstream confirms any. */
const MODELS_ASKED_MAX = 16;

/** A tier that a session holds for the turns that name none. */
interface StandingTier extends DecidedTiers {
  readonly ask: TierAsk;
}

const STANDING_REFUSED =
  'The service tier that the session holds is not allowed any more. Set another, such as "default"';

/** Decides about the messages of one session. */
export class SessionTiers {
  readonly #parts: TierParts;
  readonly #principal: Principal;
  readonly #judge: TierJudge;
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
    this.#judge = new TierJudge(parts, principal, provider);
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
    // Most messages: audio and text of a session that holds nothing to be judged.
    if (isQuiet && this.#standing.length === 0) return { message, tiers: null, isQuiet };
    if (sessionModel !== null) this.#requireMove(sessionModel);
    for (const transcription of reading.transcriptionModels) this.#requireModel(transcription);
    if (responseModel !== null) this.#requireModel(responseModel);
    if (dialect === "openai_responses") this.#model ??= reading.model;
    const held = [this.#model, ...this.#modelsAsked, sessionModel];
    const standing: StandingTier[] = [];
    let policed = message;
    let tiers: DecidedTiers | null = null;
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
