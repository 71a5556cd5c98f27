/**
 * Counters, histograms and gauges in the Prometheus text format (version 0.0.4).
 *
 * Owns: names, help texts, label values, bounds. Does not own: when something is counted.
 * Invariant: label values come from closed sets or from the configuration, never from a request, so
 * that the number of series is bounded.
 */

/** Counter names with their help text and label names. */
const COUNTERS = {
  sluice_exchanges_total: [
    "HTTP exchanges by provider, endpoint and status",
    ["provider", "endpoint", "status"],
  ],
  sluice_sessions_total: [
    "WebSocket sessions ended",
    ["provider", "model", "result", "close_code"],
  ],
  sluice_turns_total: ["Turns ended", ["provider", "kind", "status", "usage_source"]],
  sluice_refusals_total: ["Exchanges refused by the gateway", ["code"]],
  sluice_admin_refusals_total: [
    "Requests to the management API that were nobody's: no admin token, a foreign name, too many",
    ["code"],
  ],
  sluice_frames_dropped_total: ["Frames that could not be delivered", ["reason"]],
  sluice_usage_parse_failed_total: ["Usage that could not be read", ["cause"]],
  sluice_ledger_problems_total: ["Trouble with the usage ledger", ["problem"]],
  sluice_policy_decisions_total: [
    "Service tiers decided; shadow: what a rule would have done",
    ["policy", "action", "shadow"],
  ],
  sluice_limits_unenforced_total: ["Exchanges let through because limits could not be checked", []],
} as const satisfies Record<string, readonly [string, readonly string[]]>;

type CounterName = keyof typeof COUNTERS;

/** Histogram names with their help text and the upper bounds of their buckets. */
const HISTOGRAMS = {
  sluice_revocation_lag_seconds: [
    "From a revocation at another node until it was in force at this one",
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
  ],
} as const satisfies Record<string, readonly [string, readonly number[]]>;

type HistogramName = keyof typeof HISTOGRAMS;

interface Distribution {
  /** Observations up to each bound, and not up to the one before. */
  readonly counts: number[];
  count: number;
  sum: number;
}

/** Model names come from requests, so only this many become label values of their own. */
const MODELS_MAX = 200;

interface Series {
  /** As they are exposed. */
  readonly labels: string;
  value: number;
}

/** A value read at each scrape. */
interface Gauge {
  readonly name: string;
  readonly help: string;
  read(): number;
}

export class Metrics {
  /** Series by their label values. */
  readonly #counters = new Map<CounterName, Map<string, Series>>();
  readonly #histograms = new Map<HistogramName, Distribution>();
  readonly #gauges: Gauge[] = [];
  readonly #models = new Set<string>();

  /** Adds `amount` to a counter. `labels` are values in the order of the counter's label names. */
  count(name: CounterName, labels: readonly string[], amount = 1): void {
    const key = labels.join("\0");
    const series = this.#counters.get(name)?.get(key) ?? this.#begin(name, key, labels);
    series.value += amount;
  }

  #begin(name: CounterName, key: string, values: readonly string[]): Series {
    const labels = COUNTERS[name][1]
      .map((label, at) => `${label}="${escapeLabel(values[at] ?? "")}"`)
      .join(",");
    const series = { labels, value: 0 };
    this.#counters.set(name, (this.#counters.get(name) ?? new Map()).set(key, series));
    return series;
  }

  /** Adds an observation to a histogram. */
  observe(name: HistogramName, value: number): void {
    const bounds: readonly number[] = HISTOGRAMS[name][1];
    const known = this.#histograms.get(name);
    const all = known ?? { counts: bounds.map(() => 0), count: 0, sum: 0 };
    const at = bounds.findIndex((bound) => value <= bound);
    if (at >= 0) all.counts[at] = (all.counts[at] ?? 0) + 1;
    all.count += 1;
    all.sum += value;
    this.#histograms.set(name, all);
  }

  gauge(gauge: Gauge): void {
    this.#gauges.push(gauge);
  }

  /** A model name as a label value: `other` once there are too many to tell apart. */
  modelLabel(model: string | null): string {
    if (model === null) return "";
    if (this.#models.has(model)) return model;
    if (this.#models.size >= MODELS_MAX || model.length > 100) return "other";
    this.#models.add(model);
    return model;
  }

  /** The exposition that `/metrics` answers with. */
  render(): string {
    const lines: string[] = [];
    for (const [name, series] of this.#counters) {
      lines.push(`# HELP ${name} ${COUNTERS[name][0]}`, `# TYPE ${name} counter`);
      for (const { labels, value } of series.values()) lines.push(`${name}{${labels}} ${value}`);
    }
    for (const [name, all] of this.#histograms) lines.push(...histogramLines(name, all));
    for (const gauge of this.#gauges) {
      lines.push(`# HELP ${gauge.name} ${gauge.help}`, `# TYPE ${gauge.name} gauge`);
      lines.push(`${gauge.name} ${gauge.read()}`);
    }
    return `${lines.join("\n")}\n`;
  }
}

function histogramLines(name: HistogramName, { counts, count, sum }: Distribution): string[] {
  const [help, bounds] = HISTOGRAMS[name];
  let below = 0;
  const buckets = bounds.map((bound, at) => {
    below += counts[at] ?? 0;
    return `${name}_bucket{le="${bound}"} ${below}`;
  });
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} histogram`,
    ...buckets,
    `${name}_bucket{le="+Inf"} ${count}`,
    `${name}_sum ${sum}`,
    `${name}_count ${count}`,
  ];
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
