/**
 * Which tokens were revoked before they expired.
 *
 * Owns: the list in memory and who hears of changes. Does not own: the record, which is the
 * store's.
 * Invariant: a revoked token stays on the list as long as it could verify, and no longer: the list
 * is bounded by the tokens revoked within one lifetime.
 */

import type { Clock } from "../runtime/clock.ts";
import type { RevocationRow } from "../store/store.ts";

/** How often the list is searched for expired entries, at most; it only grows on a revocation. */
const SWEEP_INTERVAL_MS = 60_000;

/** Where the list is read from at start and on a resync. */
interface RevocationSource {
  listRevocations(nowMs: number): Promise<RevocationRow[]>;
}

/** Hears of newly revoked tokens. */
type RevocationListener = (jtis: ReadonlySet<string>) => void;

export class Revocations {
  readonly #clock: Clock;
  readonly #leewayMs: number;
  /** `jti` → when its token expires. */
  readonly #expiries = new Map<string, number>();
  readonly #listeners: RevocationListener[] = [];
  #sweptAtMs: number;

  /** @param leewayMs what verification forgives after `exp`; entries outlive their token by it */
  constructor(clock: Clock, leewayMs: number) {
    this.#clock = clock;
    this.#leewayMs = leewayMs;
    this.#sweptAtMs = clock.nowMs();
  }

  get size(): number {
    return this.#expiries.size;
  }

  isRevoked(jti: string): boolean {
    return this.#expiries.has(jti);
  }

  /** Calls `listener` with each batch that was not on the list before. */
  onRevoked(listener: RevocationListener): void {
    this.#listeners.push(listener);
  }

  /** Reads what the store has. Entries that are here already stay. */
  async load(source: RevocationSource): Promise<void> {
    this.revoke(await source.listRevocations(this.#clock.nowMs() - this.#leewayMs));
  }

  /** Adds to the list and tells the listeners. What is on it already is told to nobody again. */
  revoke(rows: readonly Pick<RevocationRow, "jti" | "expires_at">[]): void {
    this.#sweep();
    const added = new Set<string>();
    for (const row of rows) {
      if (!this.#expiries.has(row.jti)) added.add(row.jti);
      const knownMs = this.#expiries.get(row.jti) ?? 0;
      this.#expiries.set(row.jti, Math.max(knownMs, row.expires_at));
    }
    if (added.size === 0) return;
    for (const listener of this.#listeners) listener(added);
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#sweptAtMs < SWEEP_INTERVAL_MS) return;
    this.#sweptAtMs = nowMs;
    for (const [jti, expiresAtMs] of this.#expiries) {
      if (expiresAtMs + this.#leewayMs <= nowMs) this.#expiries.delete(jti);
    }
  }
}
