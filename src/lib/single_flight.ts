/**
 * Work that many ask for at once is done once.
 *
 * Owns: which work is in flight. Does not own: results; nothing is kept after the work ends.
 * Invariant: two runs of one key never overlap, and a failure is told to all who waited, then
 * forgotten.
 */

export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>();

  /** Keys whose work is running. */
  get size(): number {
    return this.#flights.size;
  }

  /** Starts `work`, or joins the run of the same key that is under way. */
  run(key: K, work: () => Promise<V>): Promise<V> {
    const running = this.#flights.get(key);
    if (running !== undefined) return running;
    const flight = this.#land(key, work);
    this.#flights.set(key, flight);
    return flight;
  }

  async #land(key: K, work: () => Promise<V>): Promise<V> {
    // A turn later, so that work that fails at once is in the map before it is taken out again.
    await Promise.resolve();
    try {
      return await work();
    } finally {
      this.#flights.delete(key);
    }
  }
}
