/**
 * A session whose client is not accepted yet, as the registry holds it: from its admission, so that
 * those that are being dialled count among the open ones, and can be ended like them.
 *
 * Owns: whether it is still wanted, and what gives up its dial. Does not own: opening it
 * (`gateway_websocket.ts`).
 * Invariant: it is in the registry until a session takes its place or `leave` says that none does.
 */

import { GatewayError } from "./errors.ts";
import type { Admitted, GatewayParts } from "./gateway_arrival.ts";
import type { LiveExchange } from "./relay/live.ts";

export class ComingSession implements LiveExchange {
  readonly id: string;
  readonly transport = "websocket";
  readonly projectId: string;
  readonly tokenId: string | null;
  readonly issuedAtMs: number | null;
  readonly provider: string;
  readonly endpoint: string;
  readonly startedAtMs: number;
  readonly remoteAddress: string;
  readonly turns = 0;
  readonly #parts: GatewayParts;
  readonly #admitted: Admitted;
  readonly #left = new AbortController();
  readonly #clientLeft = () => this.#left.abort();
  #error: GatewayError | null = null;

  constructor(parts: GatewayParts, admitted: Admitted) {
    const { principal, connection, candidates, request } = admitted;
    const { provider, endpoint } = candidates[0];
    this.#parts = parts;
    this.#admitted = admitted;
    this.id = admitted.id;
    this.projectId = principal.projectId;
    this.tokenId = principal.tokenId;
    this.issuedAtMs = principal.issuedAtMs;
    this.provider = provider.name;
    this.endpoint = endpoint.name;
    this.startedAtMs = parts.clock.nowMs();
    this.remoteAddress = connection.remoteAddress;
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
