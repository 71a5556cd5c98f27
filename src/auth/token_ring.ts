/**
 * The signing keys there are, read from the store, and which of them signs.
 *
 * Owns: making the first one, rotation, forgetting the old ones. Does not own: what a key does
 * (`token_key.ts`).
 * Invariant: a token is signed with a key that every node has had the time to read, and a key is
 * kept as long as a token that it signed could verify.
 */

import type { TokensConfig } from "../config/config.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AuditEntry, SigningKeyRow, Store } from "../store/store.ts";
import { makeSigningKey, openSigningKey, type PublicJwk, type SigningKey } from "./token_key.ts";
import type { Cipher } from "./vault.ts";

/** By then every node that can read the database has read a new key. */
export const SIGNS_AFTER_MS = 10_000;

/** How long an old key is kept beyond what is needed, for nodes whose clocks differ. */
const KEPT_LONGER_MS = 3_600_000;

interface KeyRingOptions {
  readonly store: Pick<
    Store,
    "listSigningKeys" | "ensureSigningKey" | "insertSigningKey" | "deleteSigningKey"
  >;
  readonly cipher: Cipher;
  readonly clock: Clock;
  /** `algorithm` signs; keys of the other one still verify. */
  readonly config: Pick<TokensConfig, "algorithm" | "maxLifetimeMs" | "leewayMs">;
}

/** A key that was just made, and when it begins to sign, in milliseconds since the epoch. */
export interface RotatedKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly signsFromMs: number;
}

export class KeyRing {
  readonly #options: KeyRingOptions;
  /** Newest first. */
  #keys: readonly SigningKey[] = [];
  #byHeader: ReadonlyMap<string, SigningKey> = new Map();

  private constructor(options: KeyRingOptions) {
    this.#options = options;
  }

  /**
   * Reads the keys; makes one where there is none of the configured algorithm.
   * @throws Error that names a key that cannot be decrypted or used
   */
  static async open(options: KeyRingOptions): Promise<KeyRing> {
    const ring = new KeyRing(options);
    await ring.reload();
    return ring;
  }

  /** The key whose tokens begin with this segment, or null. */
  byHeader(header: string): SigningKey | null {
    return this.#byHeader.get(header) ?? null;
  }

  /** Keys that others may check our signatures with, newest first. */
  publicKeys(): PublicJwk[] {
    return this.#keys.flatMap(({ publicJwk }) => publicJwk ?? []);
  }

  /** The newest key that all nodes know; the oldest one where none is that old. */
  signer(): SigningKey {
    const own = this.#keysOf(this.#options.config.algorithm);
    const knownByAll = this.#options.clock.nowMs() - SIGNS_AFTER_MS;
    const signer = own.find((key) => key.createdAtMs <= knownByAll) ?? own.at(-1);
    if (signer === undefined) throw new Error("Cannot sign tokens: there is no signing key");
    return signer;
  }

  /**
   * Reads the keys again. One that cannot be used does not keep the others from being read.
   * @throws what the store throws, or the first Error that names such a key
   */
  async reload(): Promise<void> {
    const { store, cipher, clock, config } = this.#options;
    let rows = await store.listSigningKeys();
    if (!rows.some((row) => row.algorithm === config.algorithm)) {
      const row = await makeSigningKey(config.algorithm, clock.nowMs(), cipher);
      rows = await store.ensureSigningKey(row);
    }
    const opened = await Promise.allSettled(rows.map((row) => this.#open(row)));
    this.#replace(opened.flatMap((one) => (one.status === "fulfilled" ? one.value : [])));
    for (const one of opened) if (one.status === "rejected") throw one.reason;
  }

  /** Stores a new key of the configured algorithm. */
  async rotate(by: AuditEntry): Promise<RotatedKey> {
    const { store, cipher, clock, config } = this.#options;
    const [newest] = this.#keysOf(config.algorithm);
    // Later than every other, also where another node's clock is ahead of ours.
    const createdAtMs = Math.max(clock.nowMs(), (newest?.createdAtMs ?? 0) + 1);
    const row = await makeSigningKey(config.algorithm, createdAtMs, cipher);
    const key = await openSigningKey(row, cipher);
    await store.insertSigningKey(row, by);
    this.#replace([key, ...this.#keys.filter(({ kid }) => kid !== key.kid)]);
    const { kid, algorithm } = key;
    return { kid, algorithm, signsFromMs: createdAtMs + SIGNS_AFTER_MS };
  }

  /**
   * Deletes the keys whose tokens have all expired. The last key of an algorithm stays: another
   * node may be configured to sign with it.
   * @returns their ids
   */
  async forgetRetired(): Promise<string[]> {
    const retired = [...this.#retiredOf("EdDSA"), ...this.#retiredOf("HS256")];
    for (const key of retired) {
      await this.#options.store.deleteSigningKey(key.kid);
      this.#replace(this.#keys.filter((other) => other !== key));
    }
    return retired.map(({ kid }) => kid);
  }

  #retiredOf(algorithm: SigningKey["algorithm"]): SigningKey[] {
    const { clock, config } = this.#options;
    const keptMs = SIGNS_AFTER_MS + config.maxLifetimeMs + config.leewayMs + KEPT_LONGER_MS;
    const keys = this.#keysOf(algorithm);
    return keys.filter((_, at) => {
      const successor = keys[at - 1];
      return successor !== undefined && successor.createdAtMs + keptMs < clock.nowMs();
    });
  }

  #keysOf(algorithm: SigningKey["algorithm"]): SigningKey[] {
    return this.#keys.filter((key) => key.algorithm === algorithm);
  }

  async #open(row: SigningKeyRow): Promise<SigningKey> {
    const known = this.#keys.find(({ kid }) => kid === row.kid);
    return known ?? (await openSigningKey(row, this.#options.cipher));
  }

  #replace(keys: readonly SigningKey[]): void {
    this.#keys = keys.toSorted((left, right) => right.createdAtMs - left.createdAtMs);
    this.#byHeader = new Map(keys.map((key) => [key.header, key]));
  }
}
