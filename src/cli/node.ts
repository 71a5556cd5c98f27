/**
 * A node: every implementation is built here, once, and handed down through the interfaces of those
 * who use it.
 *
 * Owns: what is built in which order, and taken down in the opposite one.
 * Does not own: the process (`serve.ts`): signals, exit codes, restarts.
 * Invariant: a node that was started has its listeners open, its ledger writable and its
 * revocations loaded; after `stop` nothing of it is left but files.
 */

import { readFile } from "node:fs/promises";
import { hostname as machineName } from "node:os";
import { join } from "node:path";

import { createFrontDoor, healthResponse, type Readiness } from "../accept/front_door.ts";
import { openListener, urlOf } from "../accept/listener.ts";
import { type AdminHandler, createAdminHandler } from "../admin/api.ts";
import { Authenticator, endWhenRefused } from "../auth/authenticate.ts";
import { Directory } from "../auth/directory.ts";
import { startResync } from "../auth/resync.ts";
import { Revocations } from "../auth/revocation.ts";
import { Tokens } from "../auth/token.ts";
import type { Config, EndpointConfig } from "../config/config.ts";
import type { Log } from "../emit/log.ts";
import { Metrics } from "../emit/metrics.ts";
import { GatewayError } from "../errors.ts";
import { createGateway, type Gateway } from "../gateway.ts";
import { sessionsForOpenFiles } from "../policy/admit.ts";
import { LiveExchanges } from "../relay/live.ts";
import { bunRuntime } from "../runtime/bun.ts";
import type { Clock } from "../runtime/clock.ts";
import { openFilesMax } from "../runtime/restart.ts";
import type { Listener, ListenOptions, MaybePromise } from "../runtime/runtime.ts";
import { lockFile } from "../runtime/sqlite.ts";
import { Cipher } from "../store/cipher.ts";
import {
  loadAdminToken,
  loadEncryptionKey,
  makeDataDir,
  writeAdminAccess,
} from "../store/key_file.ts";
import { openLedger, type UsageLedger } from "../store/ledger.ts";
import type { LedgerProblem } from "../store/ledger_problem.ts";
import { openPostgresStore } from "../store/postgres.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { VERSION } from "./version.ts";

/** The management API's requests are small. */
const ADMIN_BODY_BYTES_MAX = 2 * 1024 * 1024;

/** How late a node hears of what another one changed, at most, beside the time of a query. */
const RESYNC_INTERVAL_MS = 500;

/** How long sessions that were ended at the deadline have to say so. */
const FAREWELL_MS = 2_000;

interface NodeOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  /** Tells the log where secrets are read from, so that none ever appears there. */
  readonly addSecrets: (read: () => readonly string[]) => void;
}

/** A node that serves. */
export interface RunningNode {
  /** Base URLs of the data listeners, cleartext first. */
  readonly urls: readonly string[];
  readonly adminUrl: string;
  readonly adminToken: string;
  /** Lets what runs finish until the deadline, then takes everything down. */
  stop(deadlineMs: number): Promise<void>;
}

/** Builds a node and opens its listeners. @throws what a part throws; then nothing is left open */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const opened = new Opened();
  let parts: Parts;
  try {
    parts = await openParts(options, opened);
  } catch (error) {
    await opened.close();
    throw error;
  }
  const listeners: Listener[] = [];
  const stop = (deadlineMs: number) => takeDown(parts, listeners, deadlineMs);
  try {
    const urls = await openDataListeners(parts, listeners);
    const adminUrl = openAdminListener(parts, listeners);
    const { adminToken } = parts;
    writeAdminAccess(options.config.dataDir, { url: adminUrl, token: adminToken });
    parts.phase = "ok";
    return { urls, adminUrl, adminToken, stop };
  } catch (error) {
    await stop(0);
    throw error;
  }
}

/** What was opened, to be closed in the opposite order. */
class Opened {
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

/** What listeners share. */
interface Parts extends NodeOptions {
  readonly opened: Opened;
  readonly nodeId: string;
  readonly adminToken: string;
  readonly sessionsMax: number;
  readonly startedAtMs: number;
  readonly store: Store;
  readonly cipher: Cipher;
  readonly ledger: UsageLedger;
  readonly tokens: Tokens;
  readonly directory: Directory;
  readonly revocations: Revocations;
  readonly live: LiveExchanges;
  readonly metrics: Metrics;
  phase: "starting" | "ok" | "draining";
}

async function openParts(options: NodeOptions, opened: Opened): Promise<Parts> {
  const { config, clock, log, addSecrets } = options;
  makeDataDir(config.dataDir);
  opened.add(holdDataDir(config.dataDir));
  const metrics = new Metrics();
  const adminToken = config.admin.token ?? loadAdminToken(config.dataDir);
  addSecrets(() => [adminToken]);
  const made = config.encryptionKeys.length === 0;
  const cipher = new Cipher(made ? [loadEncryptionKey(config.dataDir)] : config.encryptionKeys);
  const nodeId = `${machineName()}-${crypto.randomUUID().slice(0, 13)}`;
  const store = await openStore(options);
  opened.add(() => store.close());
  const ledger = openLedger({
    dataDir: config.dataDir,
    nodeId,
    store,
    clock,
    usage: config.usage,
    report: (problem) => reportLedger(problem, log, metrics),
  });
  opened.add(() => ledger.stop());
  const live = new LiveExchanges();
  const identity = await openIdentity(config, clock, store, cipher);
  addSecrets(() => identity.directory.secrets());
  endWhenRefused(identity.revocations, identity.directory, live);
  if (config.database !== null) opened.add(followOthers(options, store, identity));
  const limit = config.limits.sessionsMax ?? sessionsForOpenFiles(await openFilesMax());
  const sessionsMax = limit === 0 ? Number.MAX_SAFE_INTEGER : limit;
  const shared = { nodeId, adminToken, sessionsMax, store, cipher, ledger, live, metrics };
  const startedAtMs = clock.nowMs();
  addGauges(metrics, live, ledger);
  return { ...options, opened, ...shared, ...identity, startedAtMs, phase: "starting" };
}

/** Other nodes revoke and deactivate too. @returns what stops following them */
function followOthers(
  { clock, log }: NodeOptions,
  store: Store,
  { directory, revocations }: Pick<Parts, "directory" | "revocations">,
): () => void {
  const timer = startResync({
    clock,
    intervalMs: RESYNC_INTERVAL_MS,
    async read() {
      await directory.reload();
      await revocations.load(store);
    },
    onFailure: (error) => log("store_failed", { reason: String(error) }),
  });
  return () => timer.cancel();
}

/**
 * Keeps a second node out of the folder: it would not hear of revocations made here.
 * @returns what lets go of it; the kernel does when the process dies
 */
function holdDataDir(dataDir: string): () => void {
  const lock = lockFile(join(dataDir, "node.lock"), 0);
  if (lock === null) {
    throw new Error(
      `Another node runs on ${dataDir}. Stop it first, or give this one a data_dir of its own`,
    );
  }
  return () => lock.release();
}

/** @throws Error when the database cannot be reached or opened, or has another schema */
function openStore({ config, clock, log }: NodeOptions): Promise<Store> {
  const report = (message: string) => log("store_failed", { reason: message });
  if (config.database !== null) {
    return openPostgresStore({ config: config.database, clock, report });
  }
  return openSqliteStore({ path: join(config.dataDir, "sluice.db"), clock, report });
}

/** Everything that tells who is calling, read from the store once. */
async function openIdentity(
  config: Config,
  clock: Clock,
  store: Store,
  cipher: Cipher,
): Promise<Pick<Parts, "tokens" | "directory" | "revocations">> {
  const tokens = await Tokens.open({ store, cipher, clock, config: config.tokens });
  const directory = new Directory(store, cipher);
  await directory.reload();
  const revocations = new Revocations(clock, config.tokens.leewayMs);
  await revocations.load(store);
  return { tokens, directory, revocations };
}

function reportLedger({ kind, message }: LedgerProblem, log: Log, metrics: Metrics): void {
  metrics.count("sluice_ledger_problems_total", [kind]);
  const over = kind.endsWith("_recovered") || kind === "turns_interrupted";
  log(over ? "ledger_recovered" : "ledger_problem", { problem: kind, reason: message });
}

function addGauges(metrics: Metrics, live: LiveExchanges, ledger: UsageLedger): void {
  metrics.gauge({ name: "sluice_sessions", help: "Open sessions", read: () => live.sessions });
  metrics.gauge({ name: "sluice_exchanges", help: "Exchanges in flight", read: () => live.size });
  metrics.gauge({
    name: "sluice_ledger_unshipped",
    help: "Turns on disk that are not in the database yet",
    read: () => ledger.status().unshippedRecords,
  });
}

function gatewayOf(parts: Parts): Gateway {
  const { directory, revocations } = parts;
  return createGateway({
    ...parts,
    authenticator: new Authenticator(parts.tokens, {
      isRevoked: (jti) => revocations.isRevoked(jti),
      isActive: (projectId) => directory.isActive(projectId),
    }),
    credentials: directory,
    pending: {
      find: (provider, responseId) => parts.store.findPendingUsage(provider, responseId),
      complete: (event) => void parts.ledger.complete(event),
    },
    runtime: bunRuntime,
    fetch: (url, init) => fetch(url, init),
    random: randomFraction,
    isDraining: () => parts.phase === "draining",
  });
}

function adminOf(parts: Parts): AdminHandler {
  const { config, live, log } = parts;
  return createAdminHandler({
    ...parts,
    sessions: live,
    hostnames: [config.admin.hostname],
    version: VERSION,
    tokenLifetimeMaxMs: config.tokens.maxLifetimeMs,
    providers: () => config.providers,
    health: (probe) =>
      probe === "live" ? Response.json({ status: "ok" }) : healthResponse(readiness(parts)),
    metrics: () => parts.metrics.render(),
    status: () => ({
      status: readiness(parts),
      node_id: parts.nodeId,
      started_at: new Date(parts.startedAtMs).toISOString(),
      sessions: live.sessions,
      sessions_max: parts.sessionsMax,
      exchanges: live.size,
      ledger: parts.ledger.status(),
    }),
    onUnauthorized: ({ method, url }) => {
      parts.metrics.count("sluice_admin_refusals_total", []);
      log("admin_refused", { method, path: new URL(url).pathname });
    },
    onError: (error) => log("internal_error", { reason: String(error) }),
  });
}

/** Degraded: usage waits on disk, or what would have to be recorded is refused. */
function readiness(parts: Parts): Readiness {
  if (parts.phase !== "ok") return parts.phase;
  const { storeReachable, takesTurns } = parts.ledger.status();
  return storeReachable && takesTurns ? "ok" : "degraded";
}

async function openDataListeners(parts: Parts, listeners: Listener[]): Promise<string[]> {
  const { http, https, limits } = parts.config;
  const handle = createFrontDoor({
    gateway: gatewayOf(parts),
    onRefused: ({ method }, { code, status, message }, requestId) => {
      parts.metrics.count("sluice_refusals_total", [code]);
      parts.log("request_refused", {
        request_id: requestId,
        code,
        status,
        method,
        reason: message,
      });
    },
    headerCountMax: limits.headerCountMax,
    readiness: () => readiness(parts),
    jwks: () => parts.tokens.jwks(),
  });
  const base = { handle, bodyBytesMax: Number.MAX_SAFE_INTEGER };
  const urls: string[] = [];
  if (http !== null) urls.push(open("http", http, base, parts, listeners));
  if (https !== null) {
    const [cert, key] = await Promise.all([
      readFile(https.certFile, "utf8"),
      readFile(https.keyFile, "utf8"),
    ]);
    urls.push(open("https", https, { ...base, tls: { cert, key } }, parts, listeners));
  }
  return urls;
}

function openAdminListener(parts: Parts, listeners: Listener[]): string {
  const admin = adminOf(parts);
  const base = { handle: (request: Request) => admin(request), bodyBytesMax: ADMIN_BODY_BYTES_MAX };
  return open("admin", parts.config.admin, base, parts, listeners);
}

function open(
  name: "http" | "https" | "admin",
  endpoint: EndpointConfig,
  options: Pick<ListenOptions, "handle" | "bodyBytesMax" | "tls">,
  parts: Parts,
  listeners: Listener[],
): string {
  const { hostname, port } = endpoint;
  const messageBytesMax = parts.config.limits.frameBytesMax;
  const listener = openListener(bunRuntime, name, { ...options, hostname, port, messageBytesMax });
  listeners.push(listener);
  const url = urlOf(listener);
  parts.log("listening", { listener: name, url, address: listener.hostname, port: listener.port });
  return url;
}

async function takeDown(
  parts: Parts,
  listeners: readonly Listener[],
  deadlineMs: number,
): Promise<void> {
  const { live, clock } = parts;
  parts.phase = "draining";
  const drained = live.drain();
  await withDeadline(clock, drained, deadlineMs);
  live.endWhere(() => true, new GatewayError("draining"));
  await withDeadline(clock, drained, FAREWELL_MS);
  await Promise.all(listeners.map((listener) => listener.stop(true)));
  await parts.opened.close();
}

async function withDeadline(clock: Clock, work: Promise<void>, deadlineMs: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = clock.after(deadlineMs, () => late.resolve());
  await Promise.race([work, late.promise]);
  timer.cancel();
}

/** In [0, 1), from the system's randomness. */
function randomFraction(): number {
  const [value = 0] = crypto.getRandomValues(new Uint32Array(1));
  return value / 2 ** 32;
}
