/**
 * What a turn pays for being judged: its limits, and the service tier policy.
 *
 * Owns: measuring, in this process, the code that the executable runs. Does not own: what a turn
 * costs with it (`scenarios.ts`).
 * Invariant: nothing is leased anew inside a measurement; the store grants plenty at the first ask.
 */

import { decideServiceTier } from "../src/policy/service_tier.ts";
import { DEFAULT_SERVICE_TIER_POLICY } from "../src/policy/service_tier_policy.ts";
import { Limiter } from "../src/policy/limiter.ts";
import { readTiers, writeTier } from "../src/provider/tier_field.ts";
import { systemClock } from "../src/runtime/clock.ts";
import type { LeaseRequest } from "../src/store/leases.ts";

const ROUNDS = 5;
const TURNS = 200_000;
const FRAMES = 100_000;
const PLENTY = 1_000_000_000;

/** Microseconds of one operation, of the median round. */
export interface Cost {
  readonly operation: string;
  readonly us: number;
  readonly aim: string;
}

/** `quick` takes one round instead of several. */
export async function measureAdmission(quick: boolean): Promise<Cost[]> {
  const rounds = quick ? 1 : ROUNDS;
  const limits = await limitedTurn();
  return [
    { operation: "limits of a turn", us: median(rounds, TURNS, limits), aim: "< 5" },
    {
      operation: "policy, 8 KiB audio frame",
      us: median(rounds, FRAMES, () => police(AUDIO)),
      aim: "< 0.3",
    },
    {
      operation: "policy, 2 KiB create with a tier",
      us: median(rounds, FRAMES, () => police(CREATE)),
      aim: "< 10",
    },
  ];
}

/** The costs as text. */
export function admissionTable(costs: readonly Cost[]): string {
  const rows = costs.map(({ operation, us, aim }) => {
    return `${operation.padEnd(34)}${us.toFixed(3).padStart(8)}  ${aim}`;
  });
  return `\nadmission${" ".repeat(31)}µs  aim\n${rows.join("\n")}`;
}

const AUDIO = JSON.stringify({ type: "input_audio_buffer.append", audio: "A".repeat(8192) });
const CREATE = JSON.stringify({
  type: "response.create",
  model: "gpt-5.5",
  input: "x".repeat(2000),
  service_tier: "fast",
});

function police(message: string): void {
  for (const { field, tier } of readTiers("openai_responses", "message", message).asks) {
    const decision = decideServiceTier(DEFAULT_SERVICE_TIER_POLICY, {
      tier,
      model: "gpt-5.5",
      credentialKind: "api_key",
      projectId: "default",
      tokenId: "tok_bench",
    });
    writeTier("openai_responses", "message", message, field, decision.tier);
  }
}

/** Reserves and settles a turn of a token and a project that both have every limit. */
async function limitedTurn(): Promise<() => void> {
  const limiter = new Limiter({
    nodeId: "bench",
    leases: {
      lease: (_node: string, asked: readonly LeaseRequest[]) =>
        Promise.resolve(asked.map(() => ({ granted: PLENTY, left: PLENTY, unspent: PLENTY }))),
      reportLeases: () => Promise.resolve(),
      removeNode: () => Promise.resolve(),
    },
    clock: systemClock,
    onStoreDown: "deny",
    report: () => {},
  });
  const limits = {
    requests_per_minute: PLENTY,
    tokens_per_minute: PLENTY,
    concurrent_exchanges: PLENTY,
    max_requests: PLENTY,
    budget_micros_per_day: PLENTY,
  };
  const subjects = [
    { subject: "token:bench", limits },
    { subject: "project:bench", limits },
  ];
  const ask = { kind: "exchange", tokens: 1, costMicros: 1 } as const;
  (await limiter.reserve(subjects, ask)).settle(1, 1);
  return () => {
    const reservation = limiter.reserve(subjects, ask);
    if (reservation instanceof Promise) throw new Error("A lease was asked for");
    reservation.settle(1, 1);
  };
}

function median(rounds: number, count: number, run: () => void): number {
  const costs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    for (let done = 0; done < count; done++) run();
    costs.push(((performance.now() - startMs) * 1000) / count);
  }
  return costs.toSorted((a, b) => a - b)[costs.length >> 1] ?? 0;
}
