/**
 * What the meter of a session asks before a turn goes upstream.
 *
 * Owns: these shapes. Does not own: the answers (`gateway/admission.ts`).
 */

import type { Reservation } from "../exchange.ts";

/** What a turn asks for, as far as its frame says. */
export interface AskedTurn {
  /** As the client names it; null: it does not, or nobody asked. */
  readonly requestedModel: string | null;
  /** Its own, else the session's, under the upstream's name; null: not known. */
  readonly model: string | null;
  readonly serviceTier: string | null;
  /** Of the frame that asks; 0 where nobody asked. */
  readonly frameBytes: number;
  /** Null: it names no maximum. */
  readonly outputTokensMax: number | null;
}

/** What was taken for a turn that runs already. */
export interface Charge {
  readonly reservation: Reservation;
  /** Why an `admit` would have refused it; null: it would not. */
  readonly refusal: unknown;
}

/** Judges the turns of a session, and sets aside what they may cost. */
export interface TurnAdmission {
  /**
   * Before a turn goes upstream. A promise is returned only where something has to be waited for.
   * @throws GatewayError what refuses it; the promise rejects with it
   */
  admit(asked: AskedTurn): Reservation | Promise<Reservation>;
  /** For a turn that the upstream began, or ended, without an admission that still holds. */
  charge(asked: AskedTurn): Charge;
  /** The upstream says what the session's model is. @throws GatewayError it is not allowed */
  confirmModel(model: string): void;
  /** The same of the model that it transcribes with. @throws GatewayError it is not allowed */
  confirmTranscriptionModel(model: string): void;
}
