/**
 * What the routes of the management API stand on, as interfaces of this folder.
 *
 * Owns: the seams, and the small things every route does. Does not own: any implementation.
 * Invariant: a change is stored first, and told to the node's memory only when that succeeded; but
 * what takes a right away is in force first, so that a failing store keeps nothing alive.
 */

import type { Context } from "hono";
import type { Directory } from "../auth/directory.ts";
import type { Revocations } from "../auth/revocation.ts";
import type { Tokens } from "../auth/token.ts";
import type { Cipher } from "../auth/vault.ts";
import type { ProviderConfig } from "../config/config.ts";
import type { GatewayError } from "../errors.ts";
import type { Transport } from "../exchange.ts";
import type { Clock } from "../runtime/clock.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import type { Store, TokenRow } from "../store/store.ts";
import { Problem } from "./problem.ts";

/** An exchange in flight, as the registry of live exchanges holds it. */
export interface LiveSession {
  readonly id: string;
  readonly transport: Transport;
  readonly projectId: string;
  readonly tokenId: string | null;
  readonly provider: string;
  readonly endpoint: string;
  readonly startedAtMs: number;
  readonly remoteAddress: string;
  readonly turns: number;
  end(error: GatewayError): void;
}

/** The registry of live exchanges. */
interface Sessions {
  list(): readonly LiveSession[];
  get(id: string): LiveSession | undefined;
}

/** Names of the probes that load balancers and orchestrators ask for. */
export type HealthProbe = "health" | "live" | "ready";

export interface AdminOptions {
  readonly store: Store;
  readonly directory: Directory;
  readonly tokens: Pick<Tokens, "mint">;
  readonly revocations: Pick<Revocations, "revoke">;
  readonly cipher: Pick<Cipher, "encrypt">;
  readonly clock: Clock;
  readonly sessions: Sessions;
  readonly adminToken: string;
  /** Names that the listener is reached by, besides addresses and `localhost`. */
  readonly hostnames: readonly string[];
  readonly version: string;
  /** `tokens.max_lifetime` */
  readonly tokenLifetimeMaxMs: number;
  /** The providers of the running configuration. */
  readonly providers: () => readonly ProviderConfig[];
  /** The same answers as on the data listener. */
  readonly health: (probe: HealthProbe) => MaybePromise<Response>;
  /** Prometheus text. */
  readonly metrics: () => MaybePromise<string>;
  /** What `/manage/status` says besides version and uptime. Nothing secret. */
  readonly status: () => MaybePromise<Readonly<Record<string, unknown>>>;
  /** Told of requests without the admin token. */
  readonly onUnauthorized: (request: Request) => void;
  /** Told of what a route threw and did not mean to. */
  readonly onError: (error: unknown) => void;
}

/** A route: reads the request, returns the answer or throws a Problem. */
export type Route = (context: Context) => MaybePromise<Response>;

/** Routes of one path, by method. */
export type Routes = Readonly<Record<string, Readonly<Record<string, Route>>>>;

/** A parameter of the path. */
export function pathParameter(context: Context, name: string): string {
  return context.req.param(name) ?? "";
}

/** A new id: a prefix that says of what, and 128 random bits. */
export function newId(prefix: "prj" | "crd"): string {
  return `${prefix}_${crypto.randomUUID().replaceAll("-", "")}`;
}

/**
 * A page as a bare array, with the next one in `Link` (RFC 8288), as llm-proxy's clients read it.
 */
export function arrayResponse(
  context: Context,
  body: readonly unknown[],
  nextCursor: string | null,
): Response {
  if (nextCursor === null) return Response.json(body);
  const next = new URL(context.req.url);
  next.searchParams.set("cursor", nextCursor);
  return Response.json(body, { headers: { link: `<${next.pathname}${next.search}>; rel="next"` } });
}

/**
 * The provider that a credential is for: the one named, else the only one that needs one, else
 * OpenAI's.
 * @throws Problem 400 where that is not clear or not configured
 */
export function providerName(
  options: Pick<AdminOptions, "providers">,
  named: string | undefined,
): string {
  const names = options.providers().map((provider) => provider.name);
  const description = `Configured providers: ${names.join(", ")}`;
  if (named !== undefined) {
    if (names.includes(named)) return named;
    throw new Problem("bad_request", '"provider" is not configured', description);
  }
  const [only] = names;
  if (names.length === 1 && only !== undefined) return only;
  if (names.includes("openai")) return "openai";
  throw new Problem("bad_request", '"provider" is missing', `Say which. ${description}`);
}

/** Lets revoked tokens take effect on this node. Called before the store, which may fail. */
export function enforceRevocations(options: AdminOptions, rows: readonly TokenRow[]): void {
  options.revocations.revoke(rows.map(({ id, expires_at }) => ({ jti: id, expires_at })));
}
