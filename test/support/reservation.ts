/** Reservations and admissions that remember what became of them. */

import type { Reservation } from "../../src/exchange.ts";
import type { AskedTurn, TurnAdmission } from "../../src/meter/turn_admission.ts";

export class RecordingReservation implements Reservation {
  readonly costMicros: number;
  /** `settled <tokens> <micros>` or `released`, each time it was told. */
  readonly told: string[] = [];

  constructor(costMicros = 0) {
    this.costMicros = costMicros;
  }

  settle(tokens: number | null, costMicros: number | null): void {
    this.told.push(`settled ${tokens} ${costMicros}`);
  }

  release(): void {
    this.told.push("released");
  }
}

/** Admits everything, until a test says otherwise. */
export class RecordingAdmission implements TurnAdmission {
  readonly asked: AskedTurn[] = [];
  readonly charged: AskedTurn[] = [];
  readonly reservations: RecordingReservation[] = [];
  /** Those that it transcribes with too. */
  readonly confirmedModels: string[] = [];
  /** Of each reservation. */
  costMicros = 0;
  onAdmit: (reservation: Reservation) => Reservation | Promise<Reservation> = (given) => given;
  /** Why turns that nobody asked for end the session; null: they do not. */
  refusal: unknown = null;
  onConfirm: (model: string) => void = () => {};

  admit(asked: AskedTurn): Reservation | Promise<Reservation> {
    this.asked.push(asked);
    return this.onAdmit(this.#reserve());
  }

  charge(asked: AskedTurn): { reservation: Reservation; refusal: unknown } {
    this.charged.push(asked);
    return { reservation: this.#reserve(), refusal: this.refusal };
  }

  confirmModel(model: string): void {
    this.confirmedModels.push(model);
    this.onConfirm(model);
  }

  confirmTranscriptionModel(model: string): void {
    this.confirmModel(model);
  }

  #reserve(): Reservation {
    const reservation = new RecordingReservation(this.costMicros);
    this.reservations.push(reservation);
    return reservation;
  }
}
