/**
 * The bench: what sluice costs, beside nginx and beside no relay at all, in one run on one machine.
 *
 *   npm run bench -- [--quick] [--json FILE] [--only TEXT] [--without-sluice]
 *     [--executable FILE]
 *
 * Owns: the order of measuring. Does not own: the scenarios, the targets, the table.
 * Invariant: targets take turns in every round, so that a slow minute of the machine hits all of
 * them.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { measureAdmission } from "./admission.ts";
import type { ClientResult } from "./client.ts";
import { costTable } from "./cost.ts";
import { cpuUs, jsonLines, residentBytes, start, stop, stopAll } from "./process.ts";
import { summarize, table, type Measurement, type Summary } from "./report.ts";
import { measureRevocation, revocationLine } from "./revocation.ts";
import { measureRouting } from "./routing.ts";
import { quickened, SCENARIOS, unitsOf, type Scenario } from "./scenarios.ts";
import { directTarget, startNginx, startSluice, startUpstream, type Target } from "./targets.ts";
import { measureTokens, tokenTable } from "./tokens.ts";

const ROUNDS = 3;
/** Longer than sluice's `usage.ship_interval`, so that shipping the ledger is paid for. */
const SETTLE_MS = 400;
/** Garbage of the handshakes is collected within this time. */
const IDLE_SETTLE_MS = 2000;
const RUN_WITHIN_MS = 6 * 60_000;

/** One scenario against one target, by a load client of its own. */
async function measure(scenario: Scenario, target: Target, settleMs: number): Promise<Measurement> {
  const { port, token, pid } = target;
  const before = pid === null ? 0 : residentBytes(pid);
  const options = JSON.stringify({ port, token, scenario });
  const client = start([process.execPath, join(import.meta.dir, "client.ts"), options], null);
  const next = jsonLines(client);
  await next();
  const idle = scenario.kind === "idle";
  await Bun.sleep(settleMs);
  const opened = pid === null ? 0 : residentBytes(pid);
  const startUs = pid === null ? 0 : cpuUs(pid);
  client.stdin.write("go\n");
  void client.stdin.flush();
  const result = (await next()) as ClientResult;
  await Bun.sleep(settleMs);
  const units = unitsOf(scenario);
  const perSession = (bytes: number) => (idle && pid !== null ? bytes / units : null);
  const measurement: Measurement = {
    target: target.name,
    units,
    durationUs: result.durationUs,
    cpuUs: pid === null || idle ? null : cpuUs(pid) - startUs,
    p50Us: idle ? null : result.p50Us,
    p99Us: idle ? null : result.p99Us,
    sessionBytes: perSession(opened - before),
    usedSessionBytes: perSession((pid === null ? 0 : residentBytes(pid)) - before),
  };
  await stop(client);
  return measurement;
}

/**
 * All rounds of one scenario. Memory can be measured only once: a process does not shrink again.
 */
async function measureRounds(
  scenario: Scenario,
  targets: readonly Target[],
  rounds: number,
): Promise<Summary[]> {
  const measurements: Measurement[] = [];
  const settleMs = scenario.kind === "idle" ? IDLE_SETTLE_MS : SETTLE_MS;
  for (let round = 0; round < (scenario.kind === "idle" ? 1 : rounds); round++) {
    for (let index = 0; index < targets.length; index++) {
      const target = targets[(index + round) % targets.length];
      if (target === undefined || (scenario.kind === "idle" && target.pid === null)) continue;
      measurements.push(await measure(scenario, target, settleMs));
    }
  }
  return summarize(scenario, measurements);
}

/** A few sessions that come and go, so that growth at the first ones is not counted as theirs. */
async function warmUp(targets: readonly Target[]): Promise<void> {
  const [idle] = SCENARIOS;
  for (const target of targets) {
    if (idle === undefined || target.pid === null) continue;
    await measure({ ...idle, sessions: 100 }, target, SETTLE_MS);
  }
}

async function startTargets(folder: string, executable: string | null): Promise<Target[]> {
  const upstreamPort = await startUpstream();
  const nginx = await startNginx(upstreamPort, folder);
  if (nginx === null) console.error("nginx is not installed: measuring without it");
  const sluice = executable === null ? null : await startSluice(executable, upstreamPort, folder);
  return [directTarget(upstreamPort), nginx, sluice].filter((target) => target !== null);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      only: { type: "string", default: "" },
      "without-sluice": { type: "boolean", default: false },
      executable: { type: "string", default: join(import.meta.dir, "../dist/sluice") },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  try {
    const executable = values["without-sluice"] ? null : values.executable;
    const targets = await startTargets(folder, executable);
    const chosen = SCENARIOS.filter(({ name }) => name.includes(values.only));
    if (chosen.some(({ kind }) => kind === "idle")) await warmUp(targets);
    const summaries: Summary[] = [];
    for (const scenario of chosen) {
      const sized = values.quick ? quickened(scenario) : scenario;
      const found = await measureRounds(sized, targets, values.quick ? 1 : ROUNDS);
      summaries.push(...found);
      console.log(table(sized, found));
    }
    const { quick, only } = values;
    const isAsked = (name: string) => name.includes(only);
    const tokens = isAsked("token verification") ? await measureTokens(quick) : null;
    if (tokens !== null) console.log(tokenTable(tokens));
    const admission = isAsked("admission") ? await measureAdmission(quick) : null;
    if (admission !== null) console.log(costTable("admission", admission));
    const routing = isAsked("routing") ? measureRouting(quick) : null;
    if (routing !== null) console.log(costTable("routing", routing));
    const revocation =
      executable !== null && isAsked("revocation lag")
        ? await measureRevocation(executable, await startUpstream(), folder, quick)
        : null;
    if (revocation !== null) console.log(revocationLine(revocation));
    const problems = (await Promise.all(targets.map((target) => target.check()))).filter(Boolean);
    for (const problem of problems) console.error(problem);
    if (values.json !== undefined) {
      const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release() };
      const inProcess = { tokens, admission, routing, revocation };
      const report = { machine, bun: Bun.version, quick, results: summaries, ...inProcess };
      await Bun.write(values.json, `${JSON.stringify(report, null, 2)}\n`);
    }
    return problems.length === 0 ? 0 : 1;
  } finally {
    stopAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stopAll();
    process.exit(1);
  });
}
setTimeout(() => {
  console.error(`bench: not done within ${RUN_WITHIN_MS / 60_000} minutes`);
  stopAll();
  process.exit(1);
}, RUN_WITHIN_MS);

process.exit(await main());
