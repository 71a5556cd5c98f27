/**
 * The caps of one session: how long it may be open or idle, and how much its turns may use.
 *
 * Owns: the count of this session's turns. Does not own: the timers (`relay/`), nor limits that
 * span sessions (`limiter.ts`).
 * Invariant: a turn is refused once a cap is reached; one that runs is never ended for it.
 */

import { narrowLimits } from "../config/limits.ts";
import { GatewayError } from "../errors.ts";
import type { Limits, SubjectLimits } from "../exchange.ts";

export class SessionLimits {
  /** From the session's opening, in milliseconds; 0: no cap. */
  readonly durationMsMax: number;
  /** Without a data frame either way, in milliseconds; 0: no cap. */
  readonly idleMsMax: number;
  readonly #limits: Limits;
  #turnsRunning = 0;
  #turnsEnded = 0;
  #tokens = 0;
  #costMicros = 0;

  /** @param subjects of whose caps the narrowest hold, as they are when the session opens */
  constructor(subjects: readonly SubjectLimits[]) {
    this.#limits = subjects.reduce<Limits>((all, { limits }) => narrowLimits(all, limits), {});
    this.durationMsMax = (this.#limits.session_seconds ?? 0) * 1000;
    this.idleMsMax = (this.#limits.session_idle_seconds ?? 0) * 1000;
  }

  /**
   * Counts a turn that begins.
   * @throws GatewayError `session_limit`, whose message says which cap is reached
   */
  admitTurn(): void {
    const { session_turns, session_tokens, session_cost_micros } = this.#limits;
    refuseAt(session_turns, this.#turnsEnded + this.#turnsRunning, "turns");
    refuseAt(session_tokens, this.#tokens, "tokens");
    refuseAt(session_cost_micros, this.#costMicros, "micro-dollars");
    this.#turnsRunning += 1;
  }

  /** A turn is over that was admitted, or that the upstream began by itself. */
  turnEnded(tokens: number, costMicros: number): void {
    this.turnReleased();
    this.#turnsEnded += 1;
    this.#tokens += tokens;
    this.#costMicros += costMicros;
  }

  /** An admitted turn came to nothing: it was refused after all, or never reached the upstream. */
  turnReleased(): void {
    this.#turnsRunning = Math.max(0, this.#turnsRunning - 1);
  }
}

function refuseAt(max: number | undefined, used: number, unit: string): void {
  if (max === undefined || used < max) return;
  throw new GatewayError("session_limit", {
    message: `The session reached its limit of ${max} ${unit}. Open a new one`,
  });
}
