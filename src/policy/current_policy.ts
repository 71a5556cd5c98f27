/**
 * The service tier policy that is in force at this node.
 *
 * Owns: which one that is: the stored one, else that of the configuration, else the default; and
 * holding it in memory. Does not own: what it decides (`service_tier.ts`), when the store is read
 * again (`auth/follow.ts`).
 * Invariant: there is always one in force. A stored one that cannot be read leaves the one before
 * in force and is a problem until a readable one is stored.
 */

import type { Log } from "../emit/log.ts";
import type { PolicyRow, Store } from "../store/store.ts";
import {
  DEFAULT_SERVICE_TIER_POLICY,
  parseServiceTierPolicy,
  type ServiceTierPolicy,
} from "./service_tier_policy.ts";

/** Its name in the store. */
export const SERVICE_TIER = "service-tier";

type PolicySource = "stored" | "configuration" | "default";

/** A policy, and where it is from. */
interface Held {
  readonly policy: ServiceTierPolicy;
  readonly source: PolicySource;
}

export class CurrentPolicy {
  readonly #base: Held;
  readonly #log: Log;
  #held: Held;
  #heldVersion = 0;
  #version = 0;
  #problem: string | null = null;
  /** What was last written to the log. */
  #told = "";
  /** Readings begun, and which of them is in force: they may end in another order. */
  #begun = 0;
  #taken = 0;

  /**
   * Takes the policy of the configuration; null: it has none.
   * @throws ServiceTierPolicyError with every problem of it
   */
  constructor(configured: unknown, log: Log) {
    this.#base =
      configured === null
        ? { policy: DEFAULT_SERVICE_TIER_POLICY, source: "default" }
        : { policy: parseServiceTierPolicy(configured), source: "configuration" };
    this.#held = this.#base;
    this.#log = log;
  }

  /** Read for every request and frame, so that a change is in force with the next one. */
  get policy(): ServiceTierPolicy {
    return this.#held.policy;
  }

  get source(): PolicySource {
    return this.#held.source;
  }

  /** The version in the store that this one is in force by; 0: there never was one. */
  get heldVersion(): number {
    return this.#heldVersion;
  }

  /** What is in force where the store has none. */
  get base(): Held {
    return this.#base;
  }

  /** The newest version in the store; 0: there never was one. */
  get version(): number {
    return this.#version;
  }

  /** Why the newest version in the store is not in force; null: it is. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Reads the store again. @throws what the store throws; what is in force stays */
  async load(store: Pick<Store, "getPolicy">): Promise<void> {
    const reading = ++this.#begun;
    const row = await store.getPolicy(SERVICE_TIER);
    if (reading < this.#taken) return;
    this.#taken = reading;
    this.#hold(row);
  }

  /** Takes a version that was put into the store just now, unless a newer one is here already. */
  take(row: Pick<PolicyRow, "version" | "document">): void {
    if (row.version < this.#version) return;
    // Readings that are under way may not have seen it.
    this.#taken = ++this.#begun;
    this.#hold(row);
  }

  #hold(row: Pick<PolicyRow, "version" | "document"> | null): void {
    this.#version = row?.version ?? 0;
    try {
      this.#held = this.#read(row?.document ?? null);
      this.#heldVersion = this.#version;
      this.#problem = null;
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
    }
    this.#tell();
  }

  #read(document: string | null): Held {
    if (document === null) return this.#base;
    return { policy: parseServiceTierPolicy(JSON.parse(document)), source: "stored" };
  }

  /** Once for each change: the store is read again every minute, whatever happened. */
  #tell(): void {
    const { source, version, problem } = this;
    const news = JSON.stringify([source, version, problem]);
    if (news === this.#told) return;
    this.#told = news;
    if (problem === null) this.#log("policy_in_force", { source, version });
    else {
      const { heldVersion: in_force } = this;
      this.#log("policy_unreadable", { version, in_force, source, reason: problem });
    }
  }
}
