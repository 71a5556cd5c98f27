/**
 * Admission: whether an exchange, a session or a turn may be, and what is set aside for it.
 *
 * Owns: that HTTP requests and turns of a WebSocket pass the same checks, in the same order:
 * endpoint, model, tier, then limits.
 * Does not own: any check (`policy/`), nor what a turn costs (`meter/price.ts`).
 * Invariant: what was set aside is settled or released by whoever got the reservation; a refusal
 * leaves nothing behind.
 */

import { asGatewayError, type GatewayError } from "../errors.ts";
import type { Principal, Reservation, SubjectLimits } from "../exchange.ts";
import { reserveFor } from "../meter/price.ts";
import type { AskedTurn, Charge, TurnAdmission } from "../meter/turn_admission.ts";
import { requireBounded, requireEndpoint, requireModel, requireTier } from "../policy/access.ts";
import type { SessionLimits } from "../policy/session_limits.ts";
import type { Candidate } from "../route/choose.ts";
import { type ModelNames, unversioned } from "../route/model_map.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import type { Admitted, GatewayParts } from "./arrival.ts";
import type { SessionTiers } from "./session_tiers.ts";

/** Nothing is asked of the budgets by an exchange that bills nothing. */
const FREE = { kind: "exchange", tokens: 0, costMicros: 0 } as const;

/** Whether the caller may use this endpoint. @throws GatewayError `endpoint_not_allowed` */
export function admitEndpoint(
  { authenticator }: GatewayParts,
  { principal, candidates }: Admitted,
): void {
  const { endpoint, path } = candidates[0];
  const lists = authenticator.lists(principal);
  requireEndpoint(lists, endpoint.name, path);
  const isLimited = lists.length > 0 || authenticator.limits(principal).length > 0;
  requireBounded(endpoint, isLimited);
}

/**
 * Whether the caller may ask for this.
 * @param modelNames of the model, the caller's first; none: it names no model
 * @throws GatewayError `model_not_allowed`, `tier_blocked`
 */
export function admitAsked(
  { authenticator }: Pick<GatewayParts, "authenticator">,
  principal: Principal,
  modelNames: readonly string[],
  serviceTier: string | null,
): void {
  const lists = authenticator.lists(principal);
  requireModel(lists, modelNames);
  requireTier(lists, serviceTier);
}

/**
 * Sets aside what an HTTP exchange may take.
 * @param asked null: it bills nothing
 * @throws GatewayError the limit that refuses it
 */
export function reserveExchange(
  parts: GatewayParts,
  { principal }: Admitted,
  asked: Omit<AskedTurn, "requestedModel"> | null,
): MaybePromise<Reservation> {
  const { limiter, authenticator } = parts;
  noteUse(parts, principal);
  const ask = asked === null ? FREE : askOf(parts, asked);
  return limiter.reserve(authenticator.limits(principal), ask);
}

/** Sets aside a session's place. @throws GatewayError the limit that refuses it */
export function reserveSession(
  { limiter }: GatewayParts,
  subjects: readonly SubjectLimits[],
): MaybePromise<Reservation> {
  return limiter.reserve(subjects, { kind: "session", tokens: 0, costMicros: 0 });
}

/** Judges the turns of a session. */
export class SessionAdmission implements TurnAdmission {
  readonly #parts: GatewayParts;
  // Not the whole of what was admitted: the request would be kept as long as the session.
  readonly #principal: Principal;
  readonly #candidate: Candidate;
  readonly #session: SessionLimits;
  readonly #names: ModelNames;
  readonly #tiers: SessionTiers;

  constructor(
    parts: GatewayParts,
    { principal, candidates }: Admitted,
    session: SessionLimits,
    names: ModelNames,
    tiers: SessionTiers,
  ) {
    this.#parts = parts;
    this.#principal = principal;
    this.#candidate = candidates[0];
    this.#session = session;
    this.#names = names;
    this.#tiers = tiers;
  }

  admit(asked: AskedTurn): Reservation | Promise<Reservation> {
    const { limiter, authenticator } = this.#parts;
    const principal = this.#principal;
    const session = this.#session;
    try {
      this.#requireAllowed(asked);
    } catch (thrown) {
      throw noteRefusal(this.#parts, principal, thrown);
    }
    try {
      noteUse(this.#parts, principal);
      // Asked for anew with each turn: limits change while a session is open.
      const ask = askOf(this.#parts, asked);
      const reserved = limiter.reserve(authenticator.limits(principal), ask);
      if (!(reserved instanceof Promise)) return countedIn(session, reserved);
      return reserved.then(
        (reservation) => countedIn(session, reservation),
        (thrown: unknown) => {
          throw this.#unreserved(thrown);
        },
      );
    } catch (thrown) {
      throw this.#unreserved(thrown);
    }
  }

  charge(asked: AskedTurn): Charge {
    const { limiter, authenticator } = this.#parts;
    const principal = this.#principal;
    noteUse(this.#parts, principal);
    const ask = askOf(this.#parts, asked);
    const { reservation, refusal } = limiter.charge(authenticator.limits(principal), ask);
    const refused = refusal ?? thrownBy(() => this.#requireAllowed(asked));
    if (refused !== null) noteRefusal(this.#parts, principal, refused);
    return { reservation: countedIn(this.#session, reservation), refusal: refused };
  }

  confirmModel(model: string): void {
    this.#tiers.confirmModel(model);
    this.confirmTranscriptionModel(model);
  }

  confirmTranscriptionModel(model: string): void {
    const principal = this.#principal;
    const lists = this.#parts.authenticator.lists(principal);
    try {
      this.#names.requireConfirmed(model);
      requireModel(lists, this.#names.namesOf(unversioned(model), model));
    } catch (thrown) {
      throw noteRefusal(this.#parts, principal, thrown);
    }
  }

  /** What was allowed when the session was opened may not be any more. */
  #requireAllowed({ requestedModel, model, serviceTier }: AskedTurn): void {
    const { endpoint, path } = this.#candidate;
    requireEndpoint(this.#parts.authenticator.lists(this.#principal), endpoint.name, path);
    if (model === null) this.#names.requireServed(null);
    const modelNames = this.#names.namesOf(requestedModel, model);
    admitAsked(this.#parts, this.#principal, modelNames, serviceTier);
    this.#session.admitTurn();
  }

  #unreserved(thrown: unknown): GatewayError {
    this.#session.turnReleased();
    return noteRefusal(this.#parts, this.#principal, thrown);
  }
}

/** Notes a refusal for the audit and the metrics, and hands it back. */
export function noteRefusal(
  parts: GatewayParts,
  principal: Principal,
  thrown: unknown,
): GatewayError {
  const error = asGatewayError(thrown);
  parts.metrics.count("sluice_refusals_total", [error.code]);
  parts.refusals.note(error.code, error.subject ?? subjectOf(principal));
  return error;
}

/** Whom the audit names for a principal. */
export function subjectOf({ kind, tokenId, projectId }: Principal): string {
  return kind === "token" ? `token:${tokenId}` : `project:${projectId}`;
}

function askOf(
  { config }: GatewayParts,
  { model, serviceTier, frameBytes, outputTokensMax }: Omit<AskedTurn, "requestedModel">,
): { kind: "exchange"; tokens: number; costMicros: number } {
  const { reserveOutputTokens } = config.limits;
  const reserve = reserveFor(model, serviceTier, frameBytes, outputTokensMax, reserveOutputTokens);
  return { kind: "exchange", ...reserve };
}

function noteUse({ limiter }: GatewayParts, { kind, tokenId }: Principal): void {
  if (kind === "token" && tokenId !== null) limiter.noteUse(tokenId, { cacheHit: false });
}

function thrownBy(check: () => void): unknown {
  try {
    check();
    return null;
  } catch (thrown) {
    return thrown;
  }
}

/** The session's own caps count what its turns settle for. */
function countedIn(session: SessionLimits, reservation: Reservation): Reservation {
  return {
    costMicros: reservation.costMicros,
    settle(tokens, costMicros) {
      session.turnEnded(tokens ?? 0, costMicros ?? reservation.costMicros);
      reservation.settle(tokens, costMicros);
    },
    release() {
      session.turnReleased();
      reservation.release();
    },
  };
}
