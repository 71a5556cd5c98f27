/**
 * A session whose client is not accepted yet, as the registry holds it: from its admission, so that
 * those that are being dialled count among the open ones, and can be ended like them.
 *
 * Owns: whether it is still wanted, and what gives up its dial. Does not own: opening it
 * (`websocket.ts`).
 * Invariant: it is in the registry until a session takes its place or `leave` says that none does.
 */

import { GatewayError } from "../errors.ts";
import type { LiveExchange } from "../relay/live.ts";
import type { Admitted, GatewayParts } from "./arrival.ts";
import { RegisteredSession } from "./registered.ts";

export class ComingSession extends RegisteredSession implements LiveExchange {
  readonly turns = 0;
  readonly #parts: GatewayParts;
  readonly #admitted: Admitted;
  readonly #left = new AbortController();
  readonly #clientLeft = () => this.#left.abort();
  #error: GatewayError | null = null;

  constructor(parts: GatewayParts, admitted: Admitted) {
    const { candidates, request } = admitted;
    super(parts, admitted, candidates[0]);
    this.#parts = parts;
    this.#admitted = admitted;
    request.signal.addEventListener("abort", this.#clientLeft);
    if (request.signal.aborted) this.#clientLeft();
    parts.live.add(this);
  }

  /** Ends what is dialled for it: its client left, or it is not to be. */
  get signal(): AbortSignal {
    return this.#left.signal;
  }

  /** Why it is not to be; null: nobody said so. */
  get error(): GatewayError | null {
    return this.#error;
  }

  end(error: GatewayError): void {
    this.#error ??= error;
    this.#left.abort();
  }

  /** Nothing was asked for in it, and another node takes it. */
  drain(): void {
    this.end(new GatewayError("draining", { headers: { connection: "close" } }));
  }

  /**
   * To be called after whatever took time.
   * @throws GatewayError why it is not to be
   */
  requireWanted(): void {
    const { authenticator, isDraining } = this.#parts;
    // The drain may have begun before this was there to be told.
    if (isDraining()) this.drain();
    if (this.#error !== null) throw this.#error;
    authenticator.recheck(this.#admitted.principal);
  }

  /** @param isAccepted whether a session has taken its place */
  leave(isAccepted: boolean): void {
    this.#admitted.request.signal.removeEventListener("abort", this.#clientLeft);
    if (!isAccepted) this.#parts.live.remove(this);
  }
}
