/** A limiter with its own time and a store in memory, and the few steps that its tests repeat. */

import { GatewayError } from "../../src/errors.ts";
import type { Limits, Reservation, SubjectLimits } from "../../src/exchange.ts";
import { type Ask, type LimitEvent, Limiter } from "../../src/policy/limiter.ts";
import { FakeClock } from "./fake_clock.ts";
import { MemoryLeases } from "./memory_leases.ts";

export const EXCHANGE: Ask = { kind: "exchange", tokens: 10, costMicros: 100 };
export const SESSION: Ask = { kind: "session", tokens: 0, costMicros: 0 };

/** Noon, at the start of a minute. */
const START_MS = Date.UTC(2026, 10, 21, 12);

export class LimiterWorld {
  readonly clock = new FakeClock(START_MS);
  readonly leases = new MemoryLeases(this.clock);
  readonly events: LimitEvent[] = [];

  limiter(nodeId = "n1", onStoreDown: "allow" | "deny" = "allow"): Limiter {
    const { clock, leases } = this;
    const report = (event: LimitEvent) => void this.events.push(event);
    return new Limiter({ nodeId, leases, clock, onStoreDown, report });
  }

  /** Usage rows of a token arrive in the store, in the periods that they count for. */
  ship(
    limiter: Limiter,
    costMicros: number,
    periods: readonly string[],
    { nodeId = "n1", tokenId = "t1" } = {},
  ): void {
    const subject = `token:${tokenId}`;
    const change = { subject, quantity: "cost_micros", amount: costMicros } as const;
    this.leases.spend.add(periods.map((period) => ({ ...change, period })));
    const row = { node_id: nodeId, project_id: "p", token_id: tokenId };
    limiter.stored([{ ...row, settled_micros: costMicros }]);
  }

  /** Lets calls to the store and what waits for them finish. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      this.clock.flushSoon();
      await Promise.resolve();
    }
  }

  /** Time passes, a second at a time. */
  async pass(durationMs: number): Promise<void> {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= 1_000) {
      this.clock.advance(Math.min(1_000, leftMs));
      await this.settle();
    }
  }

  /** The reservation, or the code of the refusal. */
  async reserve(
    limiter: Limiter,
    subjects: readonly SubjectLimits[],
    ask: Ask = EXCHANGE,
  ): Promise<Reservation | string> {
    const reserved = outcome(() => limiter.reserve(subjects, ask));
    await this.settle();
    return reserved;
  }

  /** For where it must be admitted. */
  async admitted(
    limiter: Limiter,
    subjects: readonly SubjectLimits[],
    ask: Ask = EXCHANGE,
  ): Promise<Reservation> {
    const reserved = await this.reserve(limiter, subjects, ask);
    if (typeof reserved === "string") throw new Error(`Refused: ${reserved}`);
    return reserved;
  }
}

async function outcome(
  run: () => Reservation | Promise<Reservation>,
): Promise<Reservation | string> {
  try {
    return await run();
  } catch (error) {
    return error instanceof GatewayError ? error.code : String(error);
  }
}

export function token(limits: Limits, id = "t1"): readonly SubjectLimits[] {
  return [{ subject: `token:${id}`, limits }];
}

/** How many of `count` exchanges are admitted, one after the other. */
export async function admittedOf(
  world: LimiterWorld,
  limiter: Limiter,
  subjects: readonly SubjectLimits[],
  count: number,
): Promise<Reservation[]> {
  const admitted: Reservation[] = [];
  for (let at = 0; at < count; at++) {
    const reserved = await world.reserve(limiter, subjects);
    if (typeof reserved !== "string") admitted.push(reserved);
  }
  return admitted;
}
