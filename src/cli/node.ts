/**
 * A node: every implementation is built here, once, and handed down through the interfaces of those
 * who use it.
 *
 * Owns: listeners, the gateway and the management API over the parts, and how a node ends.
 * Does not own: the parts beneath (`node_parts.ts`), the process (`serve.ts`): signals, exit codes.
 * Invariant: a node that was started has its listeners open, its ledger writable and its
 * revocations loaded; after `stop` nothing of it is left but files.
 */

import { readFile } from "node:fs/promises";

import {
  createFrontDoor,
  type Health,
  type HealthReason,
  healthResponse,
} from "../accept/front_door.ts";
import { openListener, urlOf } from "../accept/listener.ts";
import { type AdminHandler, createAdminHandler } from "../admin/api.ts";
import { Authenticator } from "../auth/authenticate.ts";
import { rotateEncryption } from "../auth/reencrypt.ts";
import type { EndpointConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import { createGateway, type Gateway } from "../gateway.ts";
import { bunRuntime } from "../runtime/bun.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Listener, ListenOptions } from "../runtime/runtime.ts";
import { readAdminAccess, writeAdminAccess } from "../store/key_file.ts";
import { type NodeOptions, Opened, openParts, type Parts } from "./node_parts.ts";
import { VERSION } from "./version.ts";

/** The management API's requests are small. */
const ADMIN_BODY_BYTES_MAX = 2 * 1024 * 1024;

/** An age of the revocation list that operators should know of. */
const REVOCATIONS_AGE_MS_MAX = 5_000;

/** How long sessions that were ended at the deadline have to say so. */
const FAREWELL_MS = 2_000;

const ANNOUNCE_INTERVAL_MS = 1_000;

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
    announce(parts, adminUrl);
    parts.phase = "ok";
    return { urls, adminUrl, adminToken, stop };
  } catch (error) {
    await stop(0);
    throw error;
  }
}

function gatewayOf(parts: Parts): Gateway {
  const { config, directory, revocations, follower } = parts;
  const { revocationStalenessMaxMs } = config;
  const gateway = createGateway({
    ...parts,
    authenticator: new Authenticator(parts.tokens, parts.clientSecrets, {
      isRevoked: (principal) => revocations.isRevoked(principal),
      isActive: (projectId) => directory.isActive(projectId),
      overrideOf: (jti) => revocations.overrideOf(jti),
      restrictionsOf: (projectId) => directory.project(projectId),
      isStale: () =>
        revocationStalenessMaxMs > 0 && follower.stalenessMs() > revocationStalenessMaxMs,
    }),
    credentials: directory,
    pending: {
      find: (provider, responseId) => parts.store.findPendingUsage(provider, responseId),
      complete: (event) => void parts.ledger.complete(event),
    },
    runtime: bunRuntime,
    random: randomFraction,
    isDraining: () => parts.phase === "draining",
  });
  parts.opened.add(() => gateway.stop());
  return gateway;
}

function adminOf(parts: Parts): AdminHandler {
  const { config, live, log, store, cipher, clock } = parts;
  const dataDir = config.encryptionKeys.length === 0 ? config.dataDir : null;
  return createAdminHandler({
    ...parts,
    admins: [{ name: "admin", token: parts.adminToken, role: "admin" }, ...config.admins],
    rotateEncryption: rotateEncryption({ store, cipher, clock, dataDir }),
    sessions: live,
    hostnames: [config.admin.hostname],
    version: VERSION,
    tokenLifetimeMaxMs: config.tokens.maxLifetimeMs,
    providers: () => config.providers,
    health: (probe) =>
      probe === "live" ? Response.json({ status: "ok" }) : healthResponse(healthOf(parts)),
    metrics: () => parts.metrics.render(),
    status: () => ({
      status: healthOf(parts).readiness,
      revocations_age_ms: Math.round(parts.follower.stalenessMs()),
      node_id: parts.nodeId,
      started_at: new Date(parts.startedAtMs).toISOString(),
      sessions: live.sessions,
      sessions_max: parts.sessionsMax,
      exchanges: live.size,
      ledger: parts.ledger.status(),
      service_tier_policy: tierPolicyStatus(parts),
    }),
    onRefused: ({ method, url }, code, isAnother) => {
      parts.metrics.count("sluice_admin_refusals_total", [code]);
      if (!isAnother) log("admin_refused", { code, method, path: new URL(url).pathname });
    },
    onError: (error) => log("internal_error", { reason: String(error) }),
  });
}

/**
 * Leaves word for the commands in `data_dir`. Of several nodes there the last one is named; when it
 * is gone, one that lives takes its place.
 */
function announce({ config, clock, adminToken, opened }: Parts, url: string): void {
  const { dataDir } = config;
  const own = { url, token: adminToken, pid: process.pid };
  writeAdminAccess(dataDir, own);
  const timer = clock.every(ANNOUNCE_INTERVAL_MS, () => {
    const pid = readAdminAccess(dataDir)?.pid ?? null;
    if (pid === null || !isAlive(pid)) writeAdminAccess(dataDir, own);
  });
  opened.add(() => timer.cancel());
}

function tierPolicyStatus({ tierPolicy: { source, version, problem } }: Parts): object {
  return { source, version, problem };
}

function healthOf({ phase, ledger, follower, tierPolicy }: Parts): Health {
  const { storeReachable, takesTurns } = ledger.status();
  const revocationsAgeMs = follower.stalenessMs();
  const reasons: HealthReason[] = [];
  if (!storeReachable) reasons.push("store_unreachable");
  if (!takesTurns) reasons.push("ledger_unavailable");
  if (revocationsAgeMs > REVOCATIONS_AGE_MS_MAX) reasons.push("revocations_old");
  if (tierPolicy.problem !== null) reasons.push("policy_unreadable");
  const readiness = phase === "ok" && reasons.length > 0 ? "degraded" : phase;
  return { readiness, reasons, revocationsAgeMs };
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
    health: () => healthOf(parts),
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
  const base = { handle: admin, bodyBytesMax: ADMIN_BODY_BYTES_MAX };
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
  // The last answers are with the runtime, and not all written.
  const written = Promise.all(listeners.map((listener) => listener.stop(false)));
  await withDeadline(clock, written, FAREWELL_MS);
  await Promise.all(listeners.map((listener) => listener.stop(true)));
  await parts.opened.close();
}

async function withDeadline(
  clock: Clock,
  work: Promise<unknown>,
  deadlineMs: number,
): Promise<void> {
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

/** Whether there is such a process on this machine. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Somebody else's is there too.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
