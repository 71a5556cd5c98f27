/**
 * That an exchange is ended from outside, and why.
 *
 * Owns: the reason, and telling whoever is at work on the exchange.
 * Does not own: what ends it, or how the work is broken off.
 * Invariant: the first reason counts, and is told once. An AbortController says the same at several
 * times the cost, which every exchange would have to pay.
 */

import type { GatewayError } from "../errors.ts";

/** The client left: nobody is there to be told. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";
}

export class Ending {
  #reason: GatewayError | ClientGone | null = null;
  #listener: (() => void) | null = null;

  /** Null: it goes on. */
  get reason(): GatewayError | ClientGone | null {
    return this.#reason;
  }

  /** Ends it, unless it has been. */
  end(reason: GatewayError | ClientGone): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#listener?.();
  }

  /** @param listener hears of it, in the place of the one before; null: nobody */
  tell(listener: (() => void) | null): void {
    this.#listener = listener;
  }

  /** @throws GatewayError or ClientGone: the reason */
  throwIfEnded(): void {
    if (this.#reason !== null) throw this.#reason;
  }
}
