import { expect, test } from "bun:test";

import { Metrics } from "../../src/emit/metrics.ts";

test("Metrics.render() writes each series once with help and type", () => {
  const metrics = new Metrics();
  metrics.count("sluice_refusals_total", ["token_missing"]);
  metrics.count("sluice_refusals_total", ["token_missing"], 2);
  metrics.gauge({ name: "sluice_sessions", help: "Open sessions", read: () => 7 });
  expect(metrics.render()).toBe(
    [
      "# HELP sluice_refusals_total Exchanges refused by the gateway",
      "# TYPE sluice_refusals_total counter",
      'sluice_refusals_total{code="token_missing"} 3',
      "# HELP sluice_sessions Open sessions",
      "# TYPE sluice_sessions gauge",
      "sluice_sessions 7",
      "",
    ].join("\n"),
  );
});

test("Metrics.render() writes a histogram with buckets that add up", () => {
  const metrics = new Metrics();
  for (const seconds of [0.004, 0.005, 0.3, 90]) {
    metrics.observe("sluice_revocation_lag_seconds", seconds);
  }
  const lines = metrics.render().split("\n");
  const bucket = (le: string) => `sluice_revocation_lag_seconds_bucket{le="${le}"}`;
  expect(lines).toContain("# TYPE sluice_revocation_lag_seconds histogram");
  expect(lines).toContain(`${bucket("0.005")} 2`);
  expect(lines).toContain(`${bucket("0.25")} 2`);
  expect(lines).toContain(`${bucket("0.5")} 3`);
  expect(lines).toContain(`${bucket("60")} 3`);
  expect(lines).toContain(`${bucket("+Inf")} 4`);
  expect(lines).toContain("sluice_revocation_lag_seconds_sum 90.309");
  expect(lines).toContain("sluice_revocation_lag_seconds_count 4");
});

test("Metrics.count() escapes label values, so that one cannot forge a series", () => {
  const metrics = new Metrics();
  metrics.count("sluice_refusals_total", ['x"} 1\nfake{a="\\']);
  expect(metrics.render()).toContain('{code="x\\"} 1\\nfake{a=\\"\\\\"} 1');
});

test("Metrics.modelLabel() stops telling models apart when there are too many", () => {
  const metrics = new Metrics();
  const labels = new Set(
    Array.from({ length: 10_000 }, (_, index) => metrics.modelLabel(`model-${index}`)),
  );
  expect(labels.size).toBe(201);
  expect(labels.has("other")).toBe(true);
  expect(metrics.modelLabel("model-0")).toBe("model-0");
});
