/**
 * What answers on the data listeners: health, signing keys, and otherwise the gateway.
 *
 * Owns: which paths are sluice's own, and that every request is guarded first. Does not own: the
 * life of an exchange (`gateway.ts`).
 * Invariant: every request ends in exactly one answer; nothing thrown reaches the runtime.
 */

import { SIGNS_AFTER_MS } from "../auth/token_ring.ts";
import { errorResponse, type GatewayError } from "../errors.ts";
import type { Gateway } from "../gateway.ts";
import type { Connection, MaybePromise } from "../runtime/runtime.ts";
import { guardRequest } from "./guard.ts";

/**
 * How long others may keep the signing keys: what they hold must know a new key before it signs,
 * also where they asked a node just before it heard of that key.
 */
const JWKS_AGE_SECONDS = SIGNS_AFTER_MS / 2 / 1000;

/** How the node is: answered by `/health/ready`. */
export type Readiness = "starting" | "ok" | "degraded" | "draining";

/**
 * Why it is degraded: usage waits on disk, turns are refused because they could not be recorded,
 * revocations may be missing, or the stored policy is not the one in force.
 */
export type HealthReason =
  "store_unreachable" | "ledger_unavailable" | "revocations_old" | "policy_unreadable";

/** What a probe is told. */
export interface Health {
  readonly readiness: Readiness;
  readonly reasons: readonly HealthReason[];
  /** Since the revocations of other nodes were last known to be complete. */
  readonly revocationsAgeMs: number;
}

interface FrontDoorOptions {
  readonly gateway: Pick<Gateway, "handle">;
  /** Hears of what the guard turned away. */
  readonly onRefused: (request: Request, error: GatewayError, requestId: string) => void;
  /** `limits.header_count`; 0: no limit. */
  readonly headerCountMax: number;
  readonly health: () => Health;
  /** The public signing keys, as a JWK set (RFC 7517 section 5). */
  readonly jwks: () => unknown;
}

type FrontDoor = (request: Request, connection: Connection) => MaybePromise<Response | undefined>;

/** The handler of the data listeners. */
export function createFrontDoor(options: FrontDoorOptions): FrontDoor {
  const own: Readonly<Record<string, () => Response>> = {
    "/health": () => healthResponse(options.health()),
    "/health/live": () => Response.json({ status: "ok" }),
    "/health/ready": () => healthResponse(options.health()),
    "/.well-known/jwks.json": () =>
      Response.json(options.jwks(), {
        headers: { "cache-control": `public, max-age=${JWKS_AGE_SECONDS}` },
      }),
  };
  return (request, connection) => {
    const refusal = guardRequest(request, options.headerCountMax);
    if (refusal !== null) return refuse(request, refusal, options);
    const answer = isRead(request.method) ? own[pathOf(request.url)] : undefined;
    return answer === undefined ? options.gateway.handle(request, connection) : answer();
  };
}

function refuse(request: Request, error: GatewayError, options: FrontDoorOptions): Response {
  const requestId = crypto.randomUUID();
  options.onRefused(request, error, requestId);
  return errorResponse(error, "openai", requestId);
}

/** 200 while the node takes work, 503 while it does not. */
export function healthResponse({ readiness, reasons, revocationsAgeMs }: Health): Response {
  const takesWork = readiness === "ok" || readiness === "degraded";
  const revocations_age_ms = Math.round(revocationsAgeMs);
  const body = { status: readiness, reasons, revocations_age_ms };
  return Response.json(body, { status: takesWork ? 200 : 503 });
}

function isRead(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

/** The path of an absolute URL, without parsing the rest: this runs for every request. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return start === -1 ? "/" : url.slice(start, end === -1 ? undefined : end);
}
