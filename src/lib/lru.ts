/**
 * A map that holds at most `limit` entries and drops the one used longest ago.
 *
 * Owns: the order of use. Does not own: what an entry means or when it goes stale.
 * Invariant: `size` never exceeds `limit`; `get` and `set` take constant time.
 */

export class Lru<K, V> {
  readonly #limit: number;
  /** A Map iterates in insertion order, so its first key is the one used longest ago. */
  readonly #entries = new Map<K, V>();

  /** @throws RangeError when `limit` is no positive integer */
  constructor(limit: number) {
    if (!Number.isSafeInteger(limit) || limit < 1) {
      throw new RangeError(`Cannot make an LRU of ${limit} entries: the limit must be 1 or more`);
    }
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value, which becomes the one used last; undefined where there is none. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return;
    const oldest = this.#entries.keys().next();
    if (!oldest.done) this.#entries.delete(oldest.value);
  }

  delete(key: K): boolean {
    return this.#entries.delete(key);
  }

  /** The values, the one used longest ago first. */
  values(): IterableIterator<V> {
    return this.#entries.values();
  }

  clear(): void {
    this.#entries.clear();
  }
}
