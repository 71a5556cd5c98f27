/**
 * Client keys that are written in the configuration (`auth_keys`).
 *
 * Owns: the comparison. Does not own: the project; all of them belong to the one named here.
 * Invariant: keys are kept and compared as SHA-256 digests, and every key is compared every time,
 * so that the time taken says nothing of how close a guess came.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import type { Principal } from "../exchange.ts";
import { encodeHex } from "../lib/encoding.ts";

/** The project of static keys' and `auth: open` exchanges. Exists from the first migration. */
export const DEFAULT_PROJECT_ID = "default";

interface StaticKey {
  readonly digest: Uint8Array;
  readonly principal: Principal;
}

export class StaticKeys {
  readonly #keys: readonly StaticKey[];

  constructor(keys: readonly string[]) {
    this.#keys = keys.map((key) => {
      const digest = sha256(key);
      return { digest, principal: principalOf(digest) };
    });
  }

  get size(): number {
    return this.#keys.length;
  }

  /** Whose key this is, or null. Its `tokenId` is `static_<first 8 hexadecimal digits>`. */
  match(credential: string): Principal | null {
    if (this.#keys.length === 0) return null;
    const digest = sha256(credential);
    let matched: Principal | null = null;
    for (const key of this.#keys) {
      if (timingSafeEqual(key.digest, digest)) matched = key.principal;
    }
    return matched;
  }

  /** Whether there is a key with this `tokenId`. */
  has(tokenId: string | null): boolean {
    return this.#keys.some(({ principal }) => principal.tokenId === tokenId);
  }
}

function principalOf(digest: Uint8Array): Principal {
  return {
    kind: "static_key",
    projectId: DEFAULT_PROJECT_ID,
    tokenId: `static_${encodeHex(digest).slice(0, 8)}`,
    expiresAtMs: null,
    issuedAtMs: null,
    restrictions: null,
  };
}

/** Whether two secrets are equal, in a time that depends on neither. */
export function secretsEqual(left: string, right: string): boolean {
  return timingSafeEqual(sha256(left), sha256(right));
}

function sha256(text: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(text).digest());
}
