/**
 * Keeps what a node has in memory in step with a database that other nodes change too.
 *
 * Owns: when which part is read again, and how old it is. Does not own: the parts (`directory.ts`,
 * `revocation.ts`, `token_ring.ts`, `policy/current_policy.ts`).
 * Invariant: one reading at a time; whatever was missed, or went wrong, is repaired within a minute
 * of the database being there; with it away the last known state stays in force.
 */

import type { Clock, Timer } from "../runtime/clock.ts";
import type { Revisions, Store } from "../store/store.ts";

/** How often everything is read, whatever the revisions say. */
const REPAIR_INTERVAL_MS = 60_000;

/** Of a look that took longer nobody knows when the database read its clock. */
const ROUND_TRIP_MAX_MS = 1_000;

/**
 * Around an outage: others write what they kept meanwhile as soon as they can, and notifications
 * may take longer than the database to come back.
 */
const ALERT_INTERVAL_MS = 200;
const ALERT_MS = 5_000;

/** What is followed; what restricts first, because it hurries. */
const PARTS = ["revocations", "policies", "directory", "signing_keys"] as const;

type Part = (typeof PARTS)[number];

interface FollowOptions {
  readonly clock: Clock;
  /** Between two looks at the revisions, where no notification comes before. */
  readonly intervalMs: number;
  readonly store: Pick<Store, "readRevisions" | "watchRevisions">;
  /** Read a part again: what is new of it, or all of it. */
  readonly read: { readonly [P in Part]: (all: boolean) => Promise<void> };
  /** Told of the first failure of an outage. */
  readonly onFailure: (error: unknown) => void;
  /** Told what time the database has, in milliseconds since the epoch, with each quick look. */
  readonly onDatabaseTime: (databaseNowMs: number) => void;
  /** Told with each look that the database answers. */
  readonly onReached: () => void;
}

export interface Follower {
  /**
   * Milliseconds since the database was last seen to have nothing that this node does not have. At
   * first, since the start: the parts were read just before.
   */
  stalenessMs(): number;
  stop(): void;
}

/**
 * Reads at once, every `intervalMs` and at each notification, until it is stopped; more often while
 * the database is away, and for 5 seconds after.
 */
export function startFollowing(options: FollowOptions): Follower {
  const { clock, intervalMs, store } = options;
  const following = new Following(options);
  following.notice();
  const timer = clock.every(intervalMs, () => following.look());
  const unwatch = store.watchRevisions(() => following.notice());
  return {
    stalenessMs: () => clock.monotonicMs() - following.freshAtMs,
    stop() {
      timer.cancel();
      unwatch();
      following.stop();
    },
  };
}

class Following {
  readonly #options: FollowOptions;
  readonly #known = new Map<Part, number>();
  #isReading = false;
  #isNoticed = false;
  #isFailing = false;
  #isStopped = false;
  #alertTimer: Timer | null = null;
  #alertUntilMs = 0;
  #repairAtMs: number;
  /** On the monotonic clock. */
  freshAtMs: number;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.freshAtMs = options.clock.monotonicMs();
    this.#repairAtMs = this.freshAtMs;
  }

  /** Something may have changed: what is being read now may be from before. */
  notice(): void {
    this.#isNoticed = true;
    this.look();
  }

  look(): void {
    if (!this.#isReading && !this.#isStopped) void this.#readWhileNoticed();
  }

  stop(): void {
    this.#isStopped = true;
    this.#alertTimer?.cancel();
  }

  async #readWhileNoticed(): Promise<void> {
    this.#isReading = true;
    do {
      this.#isNoticed = false;
      try {
        await this.#read();
        this.#isFailing = false;
      } catch (error) {
        if (!this.#isFailing && !this.#isStopped) this.#options.onFailure(error);
        this.#isFailing = true;
        this.#alertUntilMs = this.#options.clock.monotonicMs() + ALERT_MS;
      }
    } while (this.#isNoticed && !this.#isStopped);
    this.#isReading = false;
    this.#lookSoon();
  }

  #lookSoon(): void {
    const { clock } = this.#options;
    if (this.#isStopped || this.#alertTimer !== null) return;
    if (clock.monotonicMs() >= this.#alertUntilMs) return;
    this.#alertTimer = clock.after(ALERT_INTERVAL_MS, () => {
      this.#alertTimer = null;
      this.look();
    });
  }

  /** @throws the first failure; what could be read is in force all the same */
  async #read(): Promise<void> {
    const { clock, store, onDatabaseTime, onReached } = this.#options;
    const beganAtMs = clock.monotonicMs();
    const { databaseNowMs, roundTripMs, ...revisions } = await readDatabase(store, clock);
    if (roundTripMs <= ROUND_TRIP_MAX_MS) onDatabaseTime(databaseNowMs);
    onReached();
    const all = beganAtMs >= this.#repairAtMs;
    const moved = PARTS.filter((part) => all || this.#known.get(part) !== revisions[part]);
    const read = await Promise.allSettled(
      moved.map((part) => this.#readPart(part, all, revisions)),
    );
    for (const one of read) if (one.status === "rejected") throw one.reason;
    if (all) this.#repairAtMs = beganAtMs + REPAIR_INTERVAL_MS;
    this.freshAtMs = beganAtMs;
  }

  async #readPart(part: Part, all: boolean, revisions: Pick<Revisions, Part>): Promise<void> {
    await this.#options.read[part](all);
    this.#known.set(part, revisions[part]);
  }
}

/**
 * The revisions, and what time the database has as the answer is here: it read its clock in the
 * middle of the round trip, give or take half of it.
 */
export async function readDatabase(
  store: Pick<Store, "readRevisions">,
  clock: Pick<Clock, "monotonicMs">,
): Promise<Revisions & { readonly databaseNowMs: number; readonly roundTripMs: number }> {
  const beganAtMs = clock.monotonicMs();
  const revisions = await store.readRevisions();
  const roundTripMs = clock.monotonicMs() - beganAtMs;
  return { ...revisions, databaseNowMs: revisions.nowMs + roundTripMs / 2, roundTripMs };
}
