/**
 * Refusals of the management API on their way to the audit.
 *
 * Owns: which of them become entries of their own and which are summed, and what waits for the
 * store. Does not own: what is refused (`api.ts`), or who notices that the store answers.
 * Invariant: no refusal is left out, none waits for the store longer than half a second, and memory
 * is bounded. An attempt whose answer was lost is repeated: an entry may be there twice.
 */

import { Lru } from "../lib/lru.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AuditEntry, Store } from "../store/store.ts";
import { networkOf } from "./throttle.ts";

/** Entries of their own for a client nobody knows, in a minute. */
const SINGLES_MAX = 10;
const NETWORKS_MAX = 10_000;
const WAITING_MAX = 1_000;
const SUMS_MAX = 1_000;
const BATCH_MAX = 100;
const PATIENCE_MS = 500;
const MINUTE_MS = 60_000;

/** What became of a refusal: an entry of its own, the first of a sum, or another of one. */
type Noted = "single" | "first" | "another";

interface Waiting {
  readonly entry: AuditEntry;
  readonly atMs: number;
}

interface Sum {
  readonly entry: AuditEntry;
  readonly minuteMs: number;
  count: number;
}

interface RefusalAuditOptions {
  readonly store: Pick<Store, "appendAudit">;
  readonly clock: Clock;
  /** Told of every attempt that failed. */
  readonly onFailure: (error: unknown) => void;
}

export class RefusalAudit {
  readonly #options: RefusalAuditOptions;
  #waiting: Waiting[] = [];
  readonly #sums = new Map<string, Sum>();
  /** Network → how many entries of their own its refusals became within a minute. */
  readonly #singles = new Lru<string, { readonly minuteMs: number; count: number }>(NETWORKS_MAX);
  #writing: Promise<void> | null = null;
  /** The store was slow or failed: nobody waits for it until it took something again. */
  #isAway = false;

  constructor(options: RefusalAuditOptions) {
    this.#options = options;
  }

  /**
   * Takes an entry.
   * @param isKnown whether somebody was authenticated; the others are summed from the eleventh of a
   *   network and minute on
   */
  note(entry: AuditEntry, isKnown: boolean): Noted {
    const atMs = this.#options.clock.nowMs();
    const minuteMs = atMs - (atMs % MINUTE_MS);
    const hasRoom = this.#waiting.length < WAITING_MAX;
    if (!hasRoom || !(isKnown || this.#isAmongFirst(entry.client_address, minuteMs))) {
      return this.#add(entry, minuteMs) ? "first" : "another";
    }
    this.#waiting.push({ entry, atMs });
    return "single";
  }

  /** Resolves when what was noted is written, or cannot be soon. Never rejects. */
  async written(): Promise<void> {
    if (this.#isAway) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(PATIENCE_MS, () => {
      this.#isAway = true;
      resolve();
    });
    await Promise.race([promise, this.flush("finished")]);
    timer.cancel();
  }

  /**
   * Writes what waits. One run at a time; never rejects.
   * @param scope `finished` leaves out sums of the minute that is not over
   */
  flush(scope: "finished" | "all"): Promise<void> {
    this.#writing ??= this.#writeAll(scope).finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  /** Writes all of it, as far as the store takes it. */
  async stop(): Promise<void> {
    await this.#writing;
    await this.flush("all");
  }

  #isAmongFirst(address: string, minuteMs: number): boolean {
    const network = networkOf(address);
    const known = this.#singles.get(network);
    const singles = known?.minuteMs === minuteMs ? known : { minuteMs, count: 0 };
    this.#singles.set(network, singles);
    singles.count += 1;
    return singles.count <= SINGLES_MAX;
  }

  /** @returns whether it is the first of its sum */
  #add(entry: AuditEntry, minuteMs: number): boolean {
    const network = networkOf(entry.client_address);
    const shown = { ...entry, subject: "", request_id: "", client_address: network };
    const key = JSON.stringify([
      minuteMs,
      entry.actor,
      entry.action,
      entry.details["code"],
      network,
    ]);
    const isFull = this.#sums.size >= SUMS_MAX && !this.#sums.has(key);
    const place = isFull ? `others ${entry.details["code"]}` : key;
    const others = { ...shown, actor: "unknown", client_address: "" };
    const known = this.#sums.get(place);
    const sum = known ?? { entry: isFull ? others : shown, minuteMs, count: 0 };
    sum.count += 1;
    this.#sums.set(place, sum);
    return known === undefined;
  }

  async #writeAll(scope: "finished" | "all"): Promise<void> {
    try {
      do {
        const batch = this.#waiting.slice(0, BATCH_MAX);
        if (batch.length > 0) await this.#append(batch.map(({ entry }) => entry));
        this.#waiting.splice(0, batch.length);
        await this.#writeSums(scope);
      } while (this.#waiting.length > 0);
    } catch (error) {
      this.#isAway = true;
      this.#waiting = this.#waiting.map(saysWhen);
      this.#options.onFailure(error);
    }
  }

  async #writeSums(scope: "finished" | "all"): Promise<void> {
    const overMs = this.#options.clock.nowMs() - MINUTE_MS;
    const sums = [...this.#sums].filter(([, sum]) => scope === "all" || sum.minuteMs <= overMs);
    if (sums.length === 0) return;
    // Others may be added to a sum while it is written.
    const counts = new Map(sums.map(([key, { count }]) => [key, count]));
    await this.#append(sums.map(([, sum]) => entryOfSum(sum)));
    for (const [key, sum] of sums) {
      sum.count -= counts.get(key) ?? 0;
      if (sum.count === 0) this.#sums.delete(key);
    }
  }

  async #append(entries: readonly AuditEntry[]): Promise<void> {
    await this.#options.store.appendAudit(entries);
    this.#isAway = false;
  }
}

/** What is written late says when it was. */
function saysWhen({ entry, atMs }: Waiting): Waiting {
  const refused_at = new Date(atMs).toISOString();
  return { entry: { ...entry, details: { ...entry.details, refused_at } }, atMs };
}

function entryOfSum({ entry, minuteMs, count }: Sum): AuditEntry {
  const minute = new Date(minuteMs).toISOString();
  const { status = null, code = null } = entry.details;
  return { ...entry, details: { status, code, count, minute } };
}
