/**
 * What takes a right away, on its way to the store: in force on this node already, and written as
 * soon as the store takes it.
 *
 * Owns: what waits, how much of it, and that each is in the audit once. Does not own: what is in
 * force (`revocation.ts`, `directory.ts`), or who notices that the store answers (`follow.ts`).
 * Invariant: what waits is lost only with the process. Such changes commute, so that one which
 * fails again and again holds up no other.
 */

import type { Clock } from "../runtime/clock.ts";
import type { AuditEntry, Store } from "../store/store.ts";

/** Who asks for that many changes within one outage revokes by project. */
const WAITING_MAX = 10_000;

/** How long the answer waits for the store. What is in force does not wait for it. */
const PATIENCE_MS = 2_000;

/** More entries than calls share a request id within the time of an outage. */
const ENTRIES_LOOKED_AT = 100;

/** A change that is in force on this node. */
interface PendingChange {
  /** Its `subject` is what `catchUp` asks for. */
  readonly entry: AuditEntry;
  /** Writes the change with this entry; again, where it rejected. */
  readonly write: (entry: AuditEntry, isRepeated: boolean) => Promise<unknown>;
  /** Called once the store has it; from then on what is read from there says the same. */
  readonly settle: () => void;
}

/** `kept`: it waits, and is written later. */
type Outcome = "written" | "kept";

interface Waiting extends PendingChange {
  readonly sinceMs: number;
  readonly answer: (outcome: Outcome) => void;
  /** Whether it was tried before: its attempt may have been written, and only its answer lost. */
  isRepeated: boolean;
}

interface PendingOptions {
  readonly store: Pick<Store, "listAudit">;
  readonly clock: Clock;
  /** Told of every attempt that failed. */
  readonly onFailure: (error: unknown) => void;
}

export class PendingChanges {
  readonly #options: PendingOptions;
  /** The one that is tried next first. */
  readonly #waiting: Waiting[] = [];
  #flushing: Promise<void> | null = null;

  constructor(options: PendingOptions) {
    this.#options = options;
  }

  /** How many the store does not have yet. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Whether no more can be kept. To be asked before a change is put in force. */
  get isFull(): boolean {
    return this.size >= WAITING_MAX;
  }

  /** Writes a change, now or later. Resolves within about 2 seconds, and never rejects. */
  apply(change: PendingChange): Promise<Outcome> {
    const { clock } = this.#options;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const timer = clock.after(PATIENCE_MS, () => resolve("kept"));
    const sinceMs = clock.nowMs();
    // First: of those that failed before, none may stand in its way.
    this.#waiting.unshift({ ...change, sinceMs, answer: resolve, isRepeated: false });
    void this.flush();
    return promise.finally(() => timer.cancel());
  }

  /** Writes what waits, up to the first that fails. One run at a time; never rejects. */
  flush(): Promise<void> {
    this.#flushing ??= this.#writeAll().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  /**
   * Tries to write what waits, where something of this subject does.
   * @returns whether the store has all of it, so that a right can be given back
   */
  async catchUp(subject: string): Promise<boolean> {
    if (this.#holds(subject)) await this.flush();
    return !this.#holds(subject);
  }

  #holds(subject: string): boolean {
    return this.#waiting.some(({ entry }) => entry.subject === subject);
  }

  async #writeAll(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        await this.#write(next);
      } catch (error) {
        this.#options.onFailure(error);
        this.#remove(next);
        this.#waiting.push(next);
        for (const { answer } of this.#waiting) answer("kept");
        return;
      }
      this.#remove(next);
      next.settle();
      next.answer("written");
    }
  }

  async #write(change: Waiting): Promise<void> {
    const { entry, sinceMs, isRepeated } = change;
    if (isRepeated && (await this.#isRecorded(change))) return;
    change.isRepeated = true;
    const since = new Date(sinceMs).toISOString();
    const details = isRepeated ? { ...entry.details, in_force_since: since } : entry.details;
    await change.write({ ...entry, details }, isRepeated);
  }

  /** Whether an attempt was written although it seemed to fail: change and entry go together. */
  async #isRecorded({ entry, sinceMs }: Waiting): Promise<boolean> {
    const { action, subject, request_id } = entry;
    const query = { action, subject, sinceMs, limit: ENTRIES_LOOKED_AT };
    const { entries } = await this.#options.store.listAudit(query);
    return entries.some((one) => one.request_id === request_id && one.outcome === entry.outcome);
  }

  #remove(change: Waiting): void {
    this.#waiting.splice(this.#waiting.indexOf(change), 1);
  }
}
