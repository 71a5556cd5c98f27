/**
 * The parts of a node that outlive its listeners: store, ledger, identity, limits.
 *
 * Owns: what is opened in which order, what runs in the background, and taking all of it down in
 * the opposite order.
 * Does not own: listeners and the gateway (`node.ts`).
 * Invariant: when the parts are open the ledger is writable, the revocations are loaded and every
 * stored secret's key is there; when opening fails nothing is left open.
 */

import { hostname as machineName } from "node:os";
import { join } from "node:path";

import { RefusalAudit } from "../admin/refusal_audit.ts";
import { endWhenRefused } from "../auth/authenticate.ts";
import { ClientSecrets } from "../auth/client_secret.ts";
import { CommandCredentials } from "../auth/command_credential.ts";
import { Directory } from "../auth/directory.ts";
import { type Follower, readDatabase, startFollowing } from "../auth/follow.ts";
import { PendingChanges } from "../auth/pending.ts";
import { verifyKeys } from "../auth/reencrypt.ts";
import { Revocations } from "../auth/revocation.ts";
import { Tokens } from "../auth/token.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../emit/log.ts";
import { Metrics } from "../emit/metrics.ts";
import { sessionsForOpenFiles } from "../policy/admit.ts";
import { CurrentPolicy } from "../policy/current_policy.ts";
import { Limiter } from "../policy/limiter.ts";
import { RefusalTally } from "../policy/refusal_tally.ts";
import { LiveExchanges } from "../relay/live.ts";
import { AdjustedClock, type Clock } from "../runtime/clock.ts";
import { runCommand } from "../runtime/command.ts";
import { openFilesMax } from "../runtime/restart.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import { Cipher } from "../store/cipher.ts";
import {
  loadAdminToken,
  loadEncryptionKeys,
  makeDataDir,
  readEncryptionKeys,
} from "../store/key_file.ts";
import { openLedger, type UsageLedger } from "../store/ledger.ts";
import type { LedgerProblem } from "../store/ledger_problem.ts";
import { openPostgresStore } from "../store/postgres.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";

/** Between two looks at what other nodes changed, where no notification comes before. */
const FOLLOW_INTERVAL_MS = 500;

/** Differences from the database's clock up to this are the network's. */
const CLOCK_TOLERANCE_MS = 1_000;

/** What the program that prints a credential may take, and print. */
const COMMAND_TIMEOUT_MS = 10_000;
const COMMAND_OUTPUT_BYTES_MAX = 64 * 1024;

const AUDIT_INTERVAL_MS = 15_000;
const TIDY_INTERVAL_MS = 3_600_000;

/** What is forgotten no earlier than needed, for nodes whose clocks differ. */
const KEPT_LONGER_MS = 3_600_000;

export interface NodeOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  /** Tells the log where secrets are read from, so that none ever appears there. */
  readonly addSecrets: (read: () => readonly string[]) => void;
}

/** What was opened, to be closed in the opposite order. */
export class Opened {
  readonly #closers: (() => MaybePromise<void>)[] = [];

  add(close: () => MaybePromise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      await close();
    }
  }
}

/** What the listeners of a node share. */
export interface Parts extends NodeOptions {
  /** Set right by the database's where there are several nodes. */
  readonly clock: AdjustedClock;
  readonly opened: Opened;
  readonly nodeId: string;
  readonly adminToken: string;
  readonly sessionsMax: number;
  readonly startedAtMs: number;
  readonly store: Store;
  readonly cipher: Cipher;
  readonly ledger: UsageLedger;
  readonly tokens: Tokens;
  readonly clientSecrets: ClientSecrets;
  readonly directory: Directory;
  readonly revocations: Revocations;
  readonly commandCredentials: CommandCredentials;
  readonly follower: Follower;
  readonly limiter: Limiter;
  readonly refusals: RefusalTally;
  readonly pending: PendingChanges;
  readonly refusalAudit: RefusalAudit;
  readonly tierPolicy: CurrentPolicy;
  readonly live: LiveExchanges;
  readonly metrics: Metrics;
  phase: "starting" | "ok" | "draining";
}

/**
 * @param opened takes what has to be closed, also when this fails half-way
 * @throws what a part throws
 */
export async function openParts(given: NodeOptions, opened: Opened): Promise<Parts> {
  const clock = new AdjustedClock(given.clock, CLOCK_TOLERANCE_MS);
  const options = { ...given, clock };
  const { config, log, addSecrets } = options;
  const metrics = new Metrics();
  makeDataDir(config.dataDir);
  const adminToken = config.admin.token ?? loadAdminToken(config.dataDir);
  const adminTokens = [adminToken, ...config.admins.map(({ token }) => token)];
  addSecrets(() => adminTokens);
  const cipher = openCipher(config);
  const nodeId = `${machineName()}-${crypto.randomUUID().slice(0, 13)}`;
  const store = await openStore(options, nodeId);
  opened.add(() => store.close());
  adjust(options, (await readDatabase(store, clock)).databaseNowMs);
  await verifyKeys(store, cipher);
  // Before the ledger, so that its last turns are in the sums when the leases are given back.
  const limits = openLimits(options, opened, { nodeId, store, metrics });
  const ledger = openLedger({
    dataDir: config.dataDir,
    nodeId,
    store,
    clock,
    usage: config.usage,
    report: (problem) => reportLedger(problem, log, metrics),
    stored: (rows) => limits.limiter.stored(rows),
  });
  opened.add(() => ledger.stop());
  const live = new LiveExchanges();
  const identity = await openIdentity(options, store, cipher, metrics);
  addSecrets(() => identity.directory.secrets());
  endWhenRefused(identity.revocations, identity.directory, live);
  const tierPolicy = new CurrentPolicy(config.serviceTierPolicy, log);
  await tierPolicy.load(store);
  const late = openLateWrites(options, opened, store);
  const follower = followOthers(options, store, { ...identity, ...late, tierPolicy });
  opened.add(() => follower.stop());
  const tidying = clock.every(TIDY_INTERVAL_MS, () => void tidy(options, store, identity));
  opened.add(() => tidying.cancel());
  const sessionsMax = await sessionsMaxOf(config);
  const commandCredentials = openCommandCredentials(options, opened);
  const shared = { nodeId, adminToken, sessionsMax, store, cipher, ledger, live, metrics };
  const parts: Parts = {
    ...options,
    opened,
    ...shared,
    ...identity,
    ...limits,
    ...late,
    tierPolicy,
    commandCredentials,
    follower,
    startedAtMs: clock.nowMs(),
    phase: "starting",
  };
  addGauges(parts);
  return parts;
}

/** The keys of the configuration, or those of `data_dir`, which other processes may renew. */
function openCipher({ encryptionKeys, dataDir }: Config): Cipher {
  if (encryptionKeys.length > 0) return new Cipher(encryptionKeys);
  return new Cipher(loadEncryptionKeys(dataDir), () => readEncryptionKeys(dataDir));
}

/** @throws Error when the database cannot be reached or opened, or has another schema */
function openStore({ config, clock, log }: NodeOptions, nodeId: string): Promise<Store> {
  const report = (message: string) => log("store_failed", { reason: message });
  if (config.database !== null) {
    return openPostgresStore({ config: config.database, clock, nodeId, report });
  }
  return openSqliteStore({ path: join(config.dataDir, "sluice.db"), clock, nodeId, report });
}

/** Everything that tells who is calling, read from the store once. */
async function openIdentity(
  { config, clock }: NodeOptions,
  store: Store,
  cipher: Cipher,
  metrics: Metrics,
): Promise<Pick<Parts, "tokens" | "clientSecrets" | "directory" | "revocations">> {
  const tokens = await Tokens.open({ store, cipher, clock, config: config.tokens });
  const clientSecrets = new ClientSecrets({ tokens, cipher, clock, config: config.tokens });
  const directory = new Directory(store, cipher);
  await directory.reload();
  const revocations = new Revocations({
    clock,
    leewayMs: config.tokens.leewayMs,
    reportLag: (lagMs) => metrics.observe("sluice_revocation_lag_seconds", lagMs / 1000),
  });
  await revocations.load(store);
  return { tokens, clientSecrets, directory, revocations };
}

/** Runs the commands for the first time, and does not wait for them. */
function openCommandCredentials(
  { config, clock, log, addSecrets }: NodeOptions,
  opened: Opened,
): CommandCredentials {
  const commands = new CommandCredentials({
    providers: config.providers,
    clock,
    run: (command, signal) =>
      runCommand(command, {
        clock,
        timeoutMs: COMMAND_TIMEOUT_MS,
        outputBytesMax: COMMAND_OUTPUT_BYTES_MAX,
        signal,
      }),
    onFailure: (provider, reason) => log("credential_command_failed", { provider, reason }),
  });
  addSecrets(() => commands.secrets());
  opened.add(() => commands.stop());
  return commands;
}

/** Other nodes revoke, deactivate, rotate and change policies too. */
function followOthers(
  options: NodeOptions & { readonly clock: AdjustedClock },
  store: Store,
  parts: Pick<
    Parts,
    "directory" | "revocations" | "tokens" | "tierPolicy" | "pending" | "refusalAudit"
  >,
): Follower {
  const { directory, revocations, tokens, tierPolicy, pending, refusalAudit } = parts;
  return startFollowing({
    clock: options.clock,
    intervalMs: FOLLOW_INTERVAL_MS,
    store,
    read: {
      directory: () => directory.reload(),
      revocations: (all) => (all ? revocations.reload(store) : revocations.load(store)),
      signing_keys: () => tokens.reload(),
      policies: () => tierPolicy.load(store),
    },
    onFailure: (error) => options.log("store_failed", { reason: String(error) }),
    onDatabaseTime: (databaseNowMs) => adjust(options, databaseNowMs),
    onReached() {
      void pending.flush();
      void refusalAudit.flush("finished");
    },
  });
}

/** What the management API keeps while the store does not take it. */
function openLateWrites(
  { clock, log }: NodeOptions,
  opened: Opened,
  store: Store,
): Pick<Parts, "pending" | "refusalAudit"> {
  const onFailure = (error: unknown) => log("store_failed", { reason: String(error) });
  const pending = new PendingChanges({ store, clock, onFailure });
  const refusalAudit = new RefusalAudit({ store, clock, onFailure });
  opened.add(async () => {
    await Promise.all([pending.flush(), refusalAudit.stop()]);
    if (pending.size === 0) return;
    const reason = `${pending.size} revocations and deactivations were not stored and are lost`;
    log("store_failed", { reason });
  });
  return { pending, refusalAudit };
}

/** Nodes agree on the time of their database; SQLite's is the machine's. */
function adjust(
  { config, clock, log }: NodeOptions & { readonly clock: AdjustedClock },
  databaseNowMs: number,
): void {
  if (config.database === null || !clock.adjust(databaseNowMs)) return;
  log("clock_difference", { difference_ms: Math.round(clock.differenceMs) });
}

function openLimits(
  { config, clock, log }: NodeOptions,
  opened: Opened,
  { nodeId, store, metrics }: Pick<Parts, "nodeId" | "store" | "metrics">,
): Pick<Parts, "limiter" | "refusals"> {
  const limiter = new Limiter({
    nodeId,
    leases: store,
    clock,
    onStoreDown: config.limits.onStoreDown,
    report: ({ event }) => {
      metrics.count("sluice_limits_unenforced_total", []);
      log(event, {});
    },
  });
  opened.add(() =>
    // Without the database others have its leases when they see that this node is gone.
    limiter.stop().catch((error: unknown) => log("store_failed", { reason: String(error) })),
  );
  const refusals = new RefusalTally(clock);
  const write = async (scope: "finished" | "all") => {
    const entries = refusals.take(scope);
    if (entries.length === 0) return;
    await store.appendAudit(entries).catch(() => refusals.putBack(entries));
  };
  const timer = clock.every(AUDIT_INTERVAL_MS, () => void write("finished"));
  opened.add(async () => {
    timer.cancel();
    await write("all");
  });
  return { limiter, refusals };
}

/** Forgets what has expired, and signing keys that no living token names. */
async function tidy(
  { config, clock, log }: NodeOptions,
  store: Store,
  { tokens }: Pick<Parts, "tokens">,
): Promise<void> {
  try {
    const expiredMs = clock.nowMs() - config.tokens.leewayMs - KEPT_LONGER_MS;
    while ((await store.forgetExpired(expiredMs)) > 0);
    await tokens.forgetRetired();
  } catch (error) {
    log("store_failed", { reason: String(error) });
  }
}

async function sessionsMaxOf({ limits }: Config): Promise<number> {
  const limit = limits.sessionsMax ?? sessionsForOpenFiles(await openFilesMax());
  return limit === 0 ? Number.MAX_SAFE_INTEGER : limit;
}

function reportLedger({ kind, message }: LedgerProblem, log: Log, metrics: Metrics): void {
  metrics.count("sluice_ledger_problems_total", [kind]);
  const over = kind.endsWith("_recovered") || kind === "turns_interrupted";
  log(over ? "ledger_recovered" : "ledger_problem", { problem: kind, reason: message });
}

function addGauges({ metrics, live, ledger, follower, pending, clock }: Parts): void {
  const gauges: readonly (readonly [string, string, () => number])[] = [
    ["sluice_sessions", "Open sessions", () => live.sessions],
    ["sluice_exchanges", "Exchanges in flight", () => live.size],
    [
      "sluice_ledger_unshipped",
      "Turns on disk that are not in the database yet",
      () => ledger.status().unshippedRecords,
    ],
    [
      "sluice_revocations_age_seconds",
      "Since the revocations of other nodes were last known to be complete",
      () => follower.stalenessMs() / 1000,
    ],
    [
      "sluice_changes_pending",
      "Revocations and deactivations in force here that are not in the database yet",
      () => pending.size,
    ],
    [
      "sluice_clock_difference_seconds",
      "What is added to the machine's clock to have the database's",
      () => clock.differenceMs / 1000,
    ],
  ];
  for (const [name, help, read] of gauges) metrics.gauge({ name, help, read });
}
