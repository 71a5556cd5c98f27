/**
 * The exchanges in flight on this node: HTTP requests and WebSocket sessions.
 *
 * Owns: who is connected, and ending them from outside (revocation, an administrator, a drain).
 * Does not own: how an exchange ends itself.
 * Invariant: every exchange that was added is removed exactly once, so the node has drained when
 * the registry is empty.
 */

import type { GatewayError } from "../errors.ts";
import type { Transport } from "../exchange.ts";

/** An exchange as the registry holds it. */
export interface LiveExchange {
  readonly id: string;
  readonly transport: Transport;
  readonly projectId: string;
  readonly tokenId: string | null;
  /** Of the token; null without one. */
  readonly issuedAtMs: number | null;
  readonly provider: string;
  readonly endpoint: string;
  readonly startedAtMs: number;
  readonly remoteAddress: string;
  /** Turns begun so far. */
  readonly turns: number;
  /** Ends it at once and tells the client why. */
  end(error: GatewayError): void;
  /** Ends it as soon as nothing is running in it. */
  drain(): void;
}

export class LiveExchanges {
  readonly #exchanges = new Map<string, LiveExchange>();
  readonly #sessionsByToken = new Map<string, number>();
  #sessions = 0;
  #whenEmpty: (() => void)[] = [];

  /** Exchanges of every transport. */
  get size(): number {
    return this.#exchanges.size;
  }

  /** WebSocket sessions only. */
  get sessions(): number {
    return this.#sessions;
  }

  /** Sessions of one token. */
  sessionsOf(tokenId: string): number {
    return this.#sessionsByToken.get(tokenId) ?? 0;
  }

  /** Takes the place of one with the same id: what it was before it knew more. */
  replace(exchange: LiveExchange): void {
    this.#exchanges.set(exchange.id, exchange);
  }

  add(exchange: LiveExchange): void {
    this.#exchanges.set(exchange.id, exchange);
    if (exchange.transport === "websocket") this.#countSession(exchange.tokenId, 1);
  }

  remove(exchange: LiveExchange): void {
    if (!this.#exchanges.delete(exchange.id)) return;
    if (exchange.transport === "websocket") this.#countSession(exchange.tokenId, -1);
    if (this.#exchanges.size > 0) return;
    const waiting = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const resolve of waiting) resolve();
  }

  get(id: string): LiveExchange | undefined {
    return this.#exchanges.get(id);
  }

  /** Newest last. */
  list(): LiveExchange[] {
    return [...this.#exchanges.values()];
  }

  /** Ends those that `matches`, and returns how many. */
  endWhere(matches: (exchange: LiveExchange) => boolean, error: GatewayError): number {
    // A copy, because an exchange removes itself while it ends.
    const ending = this.list().filter(matches);
    for (const exchange of ending) exchange.end(error);
    return ending.length;
  }

  /** Asks every exchange to end when it can, and resolves when none is left. */
  drain(): Promise<void> {
    for (const exchange of this.list()) exchange.drain();
    if (this.#exchanges.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  #countSession(tokenId: string | null, change: 1 | -1): void {
    this.#sessions += change;
    if (tokenId === null) return;
    const count = this.sessionsOf(tokenId) + change;
    if (count === 0) this.#sessionsByToken.delete(tokenId);
    else this.#sessionsByToken.set(tokenId, count);
  }
}
