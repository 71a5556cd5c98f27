/**
 * A few connections, shared by whoever needs one.
 *
 * Owns: opening them, and closing those that nobody needs. Does not own: what a connection is, and
 * who waits for one (`turns.ts`).
 * Invariant: at most `sizeMax` are open; a member is used by one at a time; who waits is answered
 * within `waitMs`.
 */

import type { Clock, Timer } from "../runtime/clock.ts";
import { Turns } from "./turns.ts";

export interface PoolMember {
  readonly isUsable: boolean;
  /** Ends it in an orderly way; it is not in use. */
  close(): void;
  /** Ends it at once, whatever it is doing. */
  destroy(): void;
}

interface PoolOptions<M extends PoolMember> {
  readonly sizeMax: number;
  readonly waitMs: number;
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
  open(): Promise<M>;
  /** The error for who waited in vain. */
  refuse(reason: "closed" | "busy"): Error;
}

/** After a while a name may mean another server, and a balancer may want another connection. */
const LIFETIME_MS = 30 * 60_000;

interface Idle<M> {
  readonly member: M;
  readonly timer: Timer;
}

export class Pool<M extends PoolMember> {
  readonly #options: PoolOptions<M>;
  readonly #openedAtMs = new Map<M, number>();
  /** The last one used is the next one used, so that the others grow old. */
  readonly #idle: Idle<M>[] = [];
  readonly #turns: Turns;
  #isClosed = false;

  constructor(options: PoolOptions<M>) {
    this.#options = options;
    this.#turns = new Turns(options);
  }

  /** Open ones, in use or not. */
  get size(): number {
    return this.#openedAtMs.size;
  }

  /** Runs with a member that is nobody else's until then. @throws what `open` and `run` throw */
  use<T>(run: (member: M) => Promise<T>): Promise<T> {
    return this.#turns.take(async () => {
      const member = this.#takeIdle() ?? (await this.#open());
      try {
        return await run(member);
      } finally {
        this.#putBack(member);
      }
    });
  }

  /** Ends those that are not in use: what befell one of them befell all. */
  dropIdle(): void {
    for (const { member, timer } of this.#idle.splice(0)) {
      timer.cancel();
      this.#openedAtMs.delete(member);
      member.destroy();
    }
  }

  /** Ends all of them; what is running is cut off. */
  close(): void {
    this.#isClosed = true;
    this.#turns.close();
    for (const { member, timer } of this.#idle.splice(0)) {
      timer.cancel();
      this.#openedAtMs.delete(member);
      member.close();
    }
    for (const member of this.#openedAtMs.keys()) member.destroy();
    this.#openedAtMs.clear();
  }

  #takeIdle(): M | null {
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      entry.timer.cancel();
      if (entry.member.isUsable) return entry.member;
      this.#openedAtMs.delete(entry.member);
    }
    return null;
  }

  async #open(): Promise<M> {
    const member = await this.#options.open();
    if (this.#isClosed) {
      member.destroy();
      throw this.#options.refuse("closed");
    }
    this.#openedAtMs.set(member, this.#options.clock.monotonicMs());
    return member;
  }

  #putBack(member: M): void {
    const { clock, idleTimeoutMs } = this.#options;
    const openedAtMs = this.#openedAtMs.get(member);
    // Unknown: the pool was closed meanwhile, and has ended it.
    if (openedAtMs === undefined) return;
    if (!member.isUsable) {
      this.#openedAtMs.delete(member);
    } else if (clock.monotonicMs() - openedAtMs >= LIFETIME_MS) {
      this.#end(member);
    } else {
      const timer = clock.after(idleTimeoutMs, () => {
        this.#idle.splice(
          this.#idle.findIndex((entry) => entry.member === member),
          1,
        );
        this.#end(member);
      });
      this.#idle.push({ member, timer });
    }
  }

  #end(member: M): void {
    this.#openedAtMs.delete(member);
    member.close();
  }
}
