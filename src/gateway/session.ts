/**
 * A session as the node holds it from the dial's success to its end.
 *
 * Owns: joining policy, meter and relay for one session, its place among the live exchanges, its
 * caps in time, and what is told of it at its end.
 * Does not own: opening it (`websocket.ts`), relaying (`relay/session.ts`).
 * Invariant: its place is given back and its end is told once, whoever ended it.
 */

import type { TimeoutsConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { Message, Reservation, SessionTap } from "../exchange.ts";
import { createSessionMeter, type SessionMeterTap } from "../meter/session_meter.ts";
import type { SessionLimits } from "../policy/session_limits.ts";
import { renameInUpstreamMessage } from "../provider/model_field.ts";
import type { MeterDialect } from "../provider/provider.ts";
import type { Dialed } from "../relay/dial.ts";
import { headerValues } from "../relay/handshake.ts";
import type { LiveExchange } from "../relay/live.ts";
import { Session } from "../relay/session.ts";
import type { SessionOutcome } from "../relay/session_record.ts";
import type { Candidate } from "../route/choose.ts";
import { ModelNames } from "../route/model_map.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { SessionAdmission } from "./admission.ts";
import { type Admitted, contextOf, type GatewayParts, reportInternal } from "./arrival.ts";
import { RegisteredSession } from "./registered.ts";
import { SessionTiers } from "./session_tiers.ts";

/** The longest that a timer can wait (ECMAScript hosts keep 31 bits): 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** What a session may take. */
export interface Allowance {
  /** Its place among the open sessions, given back at its end. */
  readonly place: Reservation;
  readonly limits: SessionLimits;
  /** On the monotonic clock: its longest duration counts from then. */
  readonly sinceMs: number;
}

/** An upstream that agreed, and whose it is. */
export interface Agreement {
  readonly candidate: Candidate;
  readonly dialed: Dialed;
}

/**
 * The session's model where the URL names it, as Realtime's does; null: it does not.
 * @throws GatewayError `bad_request`: it names several, and which one the upstream reads is open
 */
export function modelOfQuery({ found }: Admitted): string | null {
  const models = new URLSearchParams(found.query).getAll("model");
  if (models.length <= 1) return models[0] ?? null;
  throw new GatewayError("bad_request", {
    message: 'The URL names "model" more than once. Send it once',
    param: "model",
  });
}

/** How long a session may be idle: the shorter one; 0 is none. */
export function idleMsOf({ idleMs }: TimeoutsConfig, { idleMsMax }: SessionLimits): number {
  return idleMs === 0 || idleMsMax === 0
    ? Math.max(idleMs, idleMsMax)
    : Math.min(idleMs, idleMsMax);
}

function timeoutsOf(timeouts: TimeoutsConfig, limits: SessionLimits): TimeoutsConfig {
  const idleMs = idleMsOf(timeouts, limits);
  return idleMs === timeouts.idleMs ? timeouts : { ...timeouts, idleMs };
}

/** Ends a session when it has lasted its longest. Null: it may last. */
export function limitLifetime(
  clock: Clock,
  { limits: { durationMsMax }, sinceMs }: Allowance,
  end: (error: GatewayError) => void,
): Timer | null {
  if (durationMsMax === 0 || durationMsMax > TIMER_MS_MAX) return null;
  const message = `The session lasted ${durationMsMax / 1000} s, its limit`;
  const leftMs = Math.max(0, sinceMs + durationMsMax - clock.monotonicMs());
  return clock.after(leftMs, () => end(new GatewayError("session_limit", { message })));
}

/** The policy sees each of the client's messages first, the meter what goes upstream. */
class PolicedTap implements SessionTap {
  readonly #dialect: MeterDialect;
  readonly #names: ModelNames;
  readonly #tiers: SessionTiers;
  readonly #meter: SessionMeterTap;

  constructor(
    dialect: MeterDialect,
    names: ModelNames,
    tiers: SessionTiers,
    meter: SessionMeterTap,
  ) {
    this.#dialect = dialect;
    this.#names = names;
    this.#tiers = tiers;
    this.#meter = meter;
  }

  clientMessage(asked: Message): Message | Promise<Message> {
    const { message, tiers, isQuiet } = this.#tiers.police(asked);
    const until = this.#meter.clientMessage(message, tiers, isQuiet);
    return until === undefined ? message : until.then(() => message);
  }

  upstreamMessage(message: Message): Message | Promise<Message> {
    const names = this.#names;
    const until = this.#meter.upstreamMessage(message);
    const named = names.renamesAnswers
      ? renameInUpstreamMessage(this.#dialect, message, names.toCaller)
      : message;
    if (until === undefined) return named;
    // The view is that of a read which is over by then.
    const kept = typeof named === "string" ? named : new Uint8Array(named);
    return until.then(() => kept);
  }

  get turnsRunning(): number {
    return this.#meter.turnsRunning;
  }

  get turns(): number {
    return this.#meter.turns;
  }

  end(): Promise<void> | undefined {
    return this.#meter.end();
  }
}

/** A session as the registry holds it, to which whoever makes it adds it. */
export class LiveSession extends RegisteredSession implements LiveExchange {
  readonly session: Session;
  readonly #parts: GatewayParts;
  readonly #meter: SessionMeterTap;
  readonly #model: string | null;
  readonly #place: Reservation;
  /** Ends it when it has lasted its longest; null: it may last. */
  readonly #lifetime: Timer | null;

  /** @param model as the URL or the first message names it; null: neither does */
  constructor(
    parts: GatewayParts,
    admitted: Admitted,
    allowance: Allowance,
    { candidate, dialed }: Agreement,
    model: string | null,
  ) {
    super(parts, admitted, candidate);
    const { provider, family, endpoint } = candidate;
    const { requestIdHeader } = family;
    const requestId =
      requestIdHeader === null ? null : (headerValues(dialed.headers, requestIdHeader)[0] ?? null);
    this.#parts = parts;
    this.#place = allowance.place;
    this.#model = model;
    const names = ModelNames.of(provider);
    const theirs = model === null ? null : names.toUpstream(model);
    const tiers = new SessionTiers(parts, admitted.principal, candidate, names, theirs);
    this.#meter = createSessionMeter({
      ...parts.meter,
      context: contextOf(admitted, candidate, requestId),
      dialect: endpoint.dialect,
      admission: new SessionAdmission(parts, admitted, allowance.limits, names, tiers),
      callerModel: names.toCaller,
      sessionModel: theirs,
    });
    this.session = new Session({
      upstream: dialed.socket,
      tap: new PolicedTap(endpoint.dialect, names, tiers, this.#meter),
      timeouts: timeoutsOf(provider.timeouts, allowance.limits),
      queueBytesMax: parts.config.limits.frameQueueBytesMax,
      messageBytesMax: parts.config.limits.frameBytesMax,
      sendsErrorEvents: provider.type === "openai",
      clock: parts.clock,
      sweep: parts.sweep,
      onEnd: (outcome) => this.#ended(outcome),
    });
    this.#lifetime = limitLifetime(parts.clock, allowance, (error) => this.end(error));
    parts.log("relay_start", {
      session_id: this.id,
      project_id: this.projectId,
      provider: this.provider,
      endpoint: this.endpoint,
    });
  }

  get turns(): number {
    return this.#meter.turns;
  }

  end(error: GatewayError): void {
    this.session.fail(error);
  }

  drain(): void {
    this.session.drain();
  }

  /** The client was not accepted after all. */
  abandon(): void {
    this.session.closed(1006, "", false);
  }

  #ended(outcome: SessionOutcome): void {
    this.#parts.live.remove(this);
    this.#lifetime?.cancel();
    this.#place.settle(0, 0);
    if (outcome.error !== null) reportInternal(this.#parts, this.id, outcome.error);
    this.tellEnd(this.#parts, this.#model, outcome, {
      close_code_upstream: outcome.closeCodeUpstream,
      frames_up: outcome.framesUp,
      frames_down: outcome.framesDown,
      bytes_up: outcome.bytesUp,
      bytes_down: outcome.bytesDown,
    });
  }
}
