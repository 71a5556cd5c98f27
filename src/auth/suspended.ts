/**
 * What is out of use on this node before the store says so.
 *
 * Owns: who holds what. Does not own: what that means (`directory.ts`, `revocation.ts`).
 * Invariant: an id is suspended until each of its holds was released, whatever is read meanwhile.
 */

export class Suspended {
  /** Id → how many holds there are. */
  readonly #holds = new Map<string, number>();

  has(id: string): boolean {
    return this.#holds.has(id);
  }

  /** @returns what releases this hold; to be called once */
  hold(id: string): () => void {
    this.#holds.set(id, (this.#holds.get(id) ?? 0) + 1);
    return () => {
      const left = (this.#holds.get(id) ?? 0) - 1;
      if (left > 0) this.#holds.set(id, left);
      else this.#holds.delete(id);
    };
  }
}
