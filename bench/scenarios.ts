/**
 * What is measured: each scenario as data, which the load client and the upstream both obey.
 *
 * Owns: the counts, which bound the run. Does not own: how a scenario is driven (`client.ts`) or
 * answered (`upstream.ts`).
 * Invariant: a turn is what a provider would send, with a beginning, deltas and an end that carries
 * usage.
 */

export interface Scenario {
  readonly name: string;
  /** What one unit is: CPU is given for each. */
  readonly unit: "frame" | "event" | "request" | "session";
  readonly kind: "websocket" | "sse" | "json" | "idle";
  /** Sessions, streams or connections side by side. */
  readonly sessions: number;
  /** Turns or requests of each, one after the other. */
  readonly turns: number;
  /** Deltas of a turn. */
  readonly deltas: number;
  readonly deltaBytes: number;
  /** Deltas that leave the upstream in one write. */
  readonly deltasPerWrite: number;
  /** Between two writes of a session; 0: as fast as they are taken. */
  readonly intervalMs: number;
  /** What the product aims at, with authentication, tap and metering on. */
  readonly aim: Aim | null;
}

export type Aim =
  | { readonly of: "cpu_times_nginx"; readonly atMost: number }
  | { readonly of: "cpu_us"; readonly atMost: number }
  | { readonly of: "session_kb"; readonly atMost: number };

/** A beginning and an end around the deltas. */
export const EVENTS_AROUND_DELTAS = 2;

const PACED = { sessions: 8, turns: 5, deltas: 500, deltasPerWrite: 1, intervalMs: 1 };

/** The idle one comes first: it needs processes that have not grown under load yet. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: "idle sessions",
    unit: "session",
    kind: "idle",
    sessions: 2000,
    turns: 1,
    deltas: 20,
    deltaBytes: 245,
    deltasPerWrite: 1,
    intervalMs: 0,
    aim: { of: "session_kb", atMost: 10 },
  },
  {
    name: "245-byte frames, paced",
    unit: "frame",
    kind: "websocket",
    ...PACED,
    deltaBytes: 245,
    aim: { of: "cpu_times_nginx", atMost: 1.3 },
  },
  {
    name: "245-byte frames, bursts",
    unit: "frame",
    kind: "websocket",
    sessions: 4,
    turns: 400,
    deltas: 500,
    deltaBytes: 245,
    deltasPerWrite: 64,
    intervalMs: 0,
    aim: { of: "cpu_times_nginx", atMost: 3 },
  },
  {
    name: "16 KiB frames",
    unit: "frame",
    kind: "websocket",
    sessions: 4,
    turns: 60,
    deltas: 100,
    deltaBytes: 16_384,
    deltasPerWrite: 4,
    intervalMs: 0,
    aim: null,
  },
  {
    name: "SSE events, paced",
    unit: "event",
    kind: "sse",
    ...PACED,
    deltaBytes: 245,
    aim: { of: "cpu_times_nginx", atMost: 2.5 },
  },
  {
    name: "JSON requests",
    unit: "request",
    kind: "json",
    sessions: 8,
    turns: 2000,
    deltas: 0,
    deltaBytes: 0,
    deltasPerWrite: 0,
    intervalMs: 0,
    aim: { of: "cpu_us", atMost: 60 },
  },
];

/** The same at a fraction of the size, for `--quick`. */
export function quickened(scenario: Scenario): Scenario {
  const sessions = scenario.kind === "idle" ? 500 : scenario.sessions;
  return { ...scenario, sessions, turns: Math.ceil(scenario.turns / 4) };
}

/** Units of one run. */
export function unitsOf(scenario: Scenario): number {
  const { kind, sessions, turns, deltas } = scenario;
  if (kind === "idle") return sessions;
  return sessions * turns * (kind === "json" ? 1 : deltas + EVENTS_AROUND_DELTAS);
}
