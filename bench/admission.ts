/**
 * What a turn pays for being judged: its limits, and the service tier policy.
 *
 * Owns: measuring, in this process, the code that the executable runs. Does not own: what a turn
 * costs with it (`scenarios.ts`).
 * Invariant: nothing is leased anew inside a measurement; the store grants plenty at the first ask.
 */

import type { Message } from "../src/exchange.ts";
import { decideServiceTier } from "../src/policy/service_tier.ts";
import { DEFAULT_SERVICE_TIER_POLICY } from "../src/policy/service_tier_policy.ts";
import { Limiter } from "../src/policy/limiter.ts";
import { messageReaderOf } from "../src/provider/dialect.ts";
import type { MeterDialect } from "../src/provider/provider.ts";
import { readTiers, writeTier } from "../src/provider/tier_field.ts";
import { systemClock } from "../src/runtime/clock.ts";
import type { LeaseRequest } from "../src/store/leases.ts";
import { type Cost, costUs, ROUNDS } from "./cost.ts";

const TURNS = 200_000;
const FRAMES = 100_000;
const PLENTY = 1_000_000_000;
/** Messages that differ, since the search of one and the same would be done once. */
const VARIANTS = 16;

const utf8 = new TextEncoder();

/** `quick` takes one round instead of several. */
export async function measureAdmission(quick: boolean): Promise<Cost[]> {
  const rounds = quick ? 1 : ROUNDS;
  const limits = await limitedTurn();
  return [
    { operation: "limits of a turn", us: costUs(rounds, TURNS, limits), aim: "< 5" },
    ...MESSAGES.map(({ operation, dialect, messages, aim }) => {
      const us = costUs(rounds, FRAMES, (turn) => police(dialect, messages[turn % VARIANTS] ?? ""));
      return { operation: `policy, ${operation}`, us, aim };
    }),
  ];
}

interface Policed {
  readonly operation: string;
  readonly dialect: MeterDialect;
  readonly messages: readonly Message[];
  readonly aim: string;
}

const APPEND = "input_audio_buffer.append";
const REALTIME: readonly (readonly [string, (audio: string) => string])[] = [
  ["type first", (audio) => JSON.stringify({ type: APPEND, audio })],
  [
    "event_id first",
    (audio) => JSON.stringify({ event_id: "event_8f3a1b2c3d4e", type: APPEND, audio }),
  ],
  ["spaced", (audio) => `{"type": "${APPEND}", "audio": "${audio}"}`],
  ["audio first", (audio) => JSON.stringify({ audio, type: APPEND })],
];
const PCM = "audio/pcm;rate=16000";
const QUIET = "< 0.3";

const MESSAGES: readonly Policed[] = [
  ...REALTIME.map(([spelling, write]) => ({
    operation: `8 KiB audio, ${spelling}`,
    dialect: "openai_realtime" as const,
    messages: variants((index) => write(audioOf(index))),
    aim: QUIET,
  })),
  {
    operation: "8 KiB audio, binary",
    dialect: "openai_realtime",
    messages: variants((index) =>
      utf8.encode(JSON.stringify({ type: APPEND, audio: audioOf(index) })),
    ),
    aim: QUIET,
  },
  {
    operation: "8 KiB audio, Gemini Live",
    dialect: "gemini_live",
    messages: variants((index) => liveInput({ audio: { data: audioOf(index), mimeType: PCM } })),
    aim: QUIET,
  },
  {
    operation: "8 KiB audio, Gemini Live, binary",
    dialect: "gemini_live",
    messages: variants((index) =>
      utf8.encode(liveInput({ audio: { data: audioOf(index), mimeType: PCM } })),
    ),
    aim: QUIET,
  },
  {
    operation: "Gemini Live text with escapes",
    dialect: "gemini_live",
    messages: variants((index) => liveInput({ text: `He said: "${index}"\n` })),
    aim: QUIET,
  },
  {
    operation: "2 KiB create with a tier",
    dialect: "openai_responses",
    messages: variants((index) => {
      const input = "x".repeat(2000 + index);
      const create = { type: "response.create", model: "gpt-5.5", input, service_tier: "fast" };
      return JSON.stringify(create);
    }),
    aim: "< 10",
  },
];

function liveInput(realtimeInput: object): string {
  return JSON.stringify({ realtimeInput });
}

function variants(write: (index: number) => Message): Message[] {
  return Array.from({ length: VARIANTS }, (_, index) => write(index));
}

function audioOf(index: number): string {
  return "ABCDEFGHIJKLMNOP".charAt(index).repeat(8192);
}

/** All that a session does to know what a client's message asks for. */
function police(dialect: MeterDialect, message: Message): void {
  const { asks, isQuiet } = readTiers(dialect, "message", message);
  if (!isQuiet) messageReaderOf(dialect)?.clientSignal(message);
  for (const { field, tier } of asks) {
    const decision = decideServiceTier(DEFAULT_SERVICE_TIER_POLICY, {
      tier,
      model: "gpt-5.5",
      credentialKind: "api_key",
      projectId: "default",
      tokenId: "tok_bench",
    });
    writeTier(dialect, "message", message, field, decision.tier);
  }
}

/** Reserves and settles a turn of a token and a project that both have every limit. */
async function limitedTurn(): Promise<() => void> {
  // With the next minute there would be leases to be asked for.
  const nowMs = systemClock.nowMs();
  const limiter = new Limiter({
    nodeId: "bench",
    leases: {
      lease: (_node: string, asked: readonly LeaseRequest[]) =>
        Promise.resolve(asked.map(() => ({ granted: PLENTY, left: PLENTY, unspent: PLENTY }))),
      reportLeases: () => Promise.resolve(),
      removeNode: () => Promise.resolve(),
    },
    clock: { ...systemClock, nowMs: () => nowMs },
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
