/**
 * From measurements to figures: rounds put together, relays set beside each other, aims judged.
 *
 * Owns: the arithmetic and the table. Does not own: measuring.
 * Invariant: CPU is a sum over all rounds divided by all units; of latencies the median round
 * counts.
 */

import type { Scenario } from "./scenarios.ts";

export interface Measurement {
  readonly target: string;
  readonly units: number;
  readonly durationUs: number;
  /** Of the relay; null where there is none. */
  readonly cpuUs: number | null;
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  /** Growth by each session that was opened. */
  readonly sessionBytes: number | null;
  /** The same after a turn on each. */
  readonly usedSessionBytes: number | null;
}

export interface Summary {
  readonly scenario: string;
  readonly unit: string;
  readonly target: string;
  readonly units: number;
  readonly unitsPerSecond: number;
  readonly cpuUsPerUnit: number | null;
  readonly cpuTimesNginx: number | null;
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  /** Beyond the direct connection. */
  readonly addedP50Us: number | null;
  readonly addedP99Us: number | null;
  readonly sessionKb: number | null;
  readonly usedSessionKb: number | null;
  readonly aim: string | null;
  readonly aimMet: boolean | null;
}

/** One summary a target, in the order of the targets. */
export function summarize(scenario: Scenario, measurements: readonly Measurement[]): Summary[] {
  const names = [...new Set(measurements.map(({ target }) => target))].sort();
  const groups = new Map(
    names.map((name) => [name, combine(measurements.filter(({ target }) => target === name))]),
  );
  const direct = groups.get("direct");
  const nginx = groups.get("nginx");
  return names.map((target) => {
    const own = groups.get(target) ?? combine([]);
    const cpuTimesNginx = target === "sluice" ? ratio(own.cpuUsPerUnit, nginx?.cpuUsPerUnit) : null;
    const figures = { ...own, cpuTimesNginx };
    return {
      scenario: scenario.name,
      unit: scenario.unit,
      target,
      ...figures,
      addedP50Us: target === "direct" ? null : minus(own.p50Us, direct?.p50Us),
      addedP99Us: target === "direct" ? null : minus(own.p99Us, direct?.p99Us),
      ...(target === "sluice" ? judge(scenario, figures) : { aim: null, aimMet: null }),
    };
  });
}

type Combined = Pick<
  Summary,
  "units" | "unitsPerSecond" | "cpuUsPerUnit" | "p50Us" | "p99Us" | "sessionKb" | "usedSessionKb"
>;

function combine(all: readonly Measurement[]): Combined {
  const sum = (pick: (one: Measurement) => number) => all.reduce((n, one) => n + pick(one), 0);
  const middle = (pick: (one: Measurement) => number | null) => median(all.map(pick));
  const units = sum((one) => one.units);
  const kb = (bytes: number | null) => (bytes === null ? null : bytes / 1024);
  return {
    units,
    unitsPerSecond: (units * 1_000_000) / sum((one) => one.durationUs),
    cpuUsPerUnit: all.some((one) => one.cpuUs === null)
      ? null
      : sum((one) => one.cpuUs ?? 0) / units,
    p50Us: middle((one) => one.p50Us),
    p99Us: middle((one) => one.p99Us),
    sessionKb: kb(middle((one) => one.sessionBytes)),
    usedSessionKb: kb(middle((one) => one.usedSessionBytes)),
  };
}

function median(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

function ratio(a: number | null, b: number | null | undefined): number | null {
  return a === null || b === null || b === undefined || b === 0 ? null : a / b;
}

function minus(a: number | null, b: number | null | undefined): number | null {
  return a === null || b === null || b === undefined ? null : a - b;
}

function judge(
  { aim }: Scenario,
  figures: Pick<Summary, "cpuUsPerUnit" | "cpuTimesNginx" | "sessionKb">,
): Pick<Summary, "aim" | "aimMet"> {
  if (aim === null) return { aim: null, aimMet: null };
  const [value, text] = {
    cpu_times_nginx: [figures.cpuTimesNginx, `CPU ≤ ${aim.atMost} × nginx`] as const,
    cpu_us: [figures.cpuUsPerUnit, `CPU ≤ ${aim.atMost} µs`] as const,
    session_kb: [figures.sessionKb, `≤ ${aim.atMost} KB a session`] as const,
  }[aim.of];
  return { aim: text, aimMet: value === null ? null : value <= aim.atMost };
}

/** The summaries of one scenario as text. */
export function table(scenario: Scenario, summaries: readonly Summary[]): string {
  const idle = scenario.kind === "idle";
  const columns: readonly (readonly [string, (one: Summary) => string])[] = idle
    ? [
        ["", (one) => one.target],
        ["KB/session", (one) => number(one.sessionKb, 1)],
        ["after a turn", (one) => number(one.usedSessionKb, 1)],
        ["aim", aimText],
      ]
    : [
        ["", (one) => one.target],
        [`CPU µs/${scenario.unit}`, (one) => number(one.cpuUsPerUnit, 2)],
        ["× nginx", (one) => number(one.cpuTimesNginx, 2)],
        ["p50 µs", (one) => number(one.p50Us, 0)],
        ["p99 µs", (one) => number(one.p99Us, 0)],
        ["added p50", (one) => number(one.addedP50Us, 0)],
        ["added p99", (one) => number(one.addedP99Us, 0)],
        [`${scenario.unit}s/s`, (one) => number(one.unitsPerSecond, 0)],
        ["aim", aimText],
      ];
  const rows = [
    columns.map(([title]) => title),
    ...summaries.map((one) => columns.map(([, f]) => f(one))),
  ];
  const widths = columns.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const render = (row: readonly string[]) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join("  ")
      .trimEnd();
  const title = `${scenario.name} (${scenario.sessions} side by side)`;
  return `\n${title}\n${rows.map(render).join("\n")}`;
}

function number(value: number | null, digits: number): string {
  return value === null ? "–" : value.toFixed(digits);
}

function aimText({ aim, aimMet }: Summary): string {
  if (aim === null) return "";
  return `${aim}: ${aimMet === null ? "not known" : aimMet ? "met" : "MISSED"}`;
}
