/**
 * Whether a text holds one of many known secrets, at a cost that does not grow with their number.
 *
 * Owns: the search, that of Rabin and Karp: a rolling hash of the first characters of each secret.
 * Does not own: which secrets there are, or what becomes of the text.
 * Invariant: a hash only says where to look; found is what stands there, whole.
 */

/** As many characters of each are hashed, so no secret is shorter. */
export const INDEXED_LENGTH = 6;

const BITS = 16;
const MASK = (1 << BITS) - 1;
/** Odd, so that the oldest character still counts. */
const FACTOR = 0x9e3b;
/** What the oldest of the hashed characters has been multiplied with. */
const OLDEST = powerOf(FACTOR, INDEXED_LENGTH - 1);

export class SecretIndex {
  /** By their hash; most texts have none that is in here. */
  readonly #filter = new Uint8Array(1 << BITS);
  readonly #secrets = new Map<number, string[]>();

  /** @param secrets none shorter than `INDEXED_LENGTH` */
  constructor(secrets: readonly string[]) {
    for (const secret of secrets) {
      const hash = hashOfStart(secret);
      this.#filter[hash] = 1;
      this.#secrets.set(hash, [...(this.#secrets.get(hash) ?? []), secret]);
    }
  }

  /** Whether any of them stands in the text. */
  isIn(text: string): boolean {
    if (text.length < INDEXED_LENGTH) return false;
    let hash = hashOfStart(text);
    for (let at = 0; ; at++) {
      if (this.#filter[hash] === 1 && this.#standsAt(text, at, hash)) return true;
      const next = at + INDEXED_LENGTH;
      if (next >= text.length) return false;
      const rest = hash - Math.imul(text.charCodeAt(at), OLDEST);
      hash = (Math.imul(rest, FACTOR) + text.charCodeAt(next)) & MASK;
    }
  }

  #standsAt(text: string, at: number, hash: number): boolean {
    return this.#secrets.get(hash)?.some((secret) => text.startsWith(secret, at)) === true;
  }
}

function hashOfStart(text: string): number {
  let hash = 0;
  for (let at = 0; at < INDEXED_LENGTH; at++) {
    hash = (Math.imul(hash, FACTOR) + text.charCodeAt(at)) & MASK;
  }
  return hash;
}

function powerOf(base: number, exponent: number): number {
  let power = 1;
  for (let count = 0; count < exponent; count++) power = Math.imul(power, base) & MASK;
  return power;
}
