/**
 * What the routes of the management API stand on, as interfaces of this folder.
 *
 * Owns: the seams, and the small things every route does. Does not own: any implementation.
 * Invariant: a change is stored first, and told to the node's memory only when that succeeded; but
 * what takes a right away is in force first, so that a failing store keeps nothing alive.
 */

import type { Directory } from "../auth/directory.ts";
import type { PendingChanges } from "../auth/pending.ts";
import type { Cipher } from "../auth/vault.ts";
import type { AdminConfig, ProviderConfig } from "../config/config.ts";
import type { GatewayError } from "../errors.ts";
import type { Restrictions, Transport } from "../exchange.ts";
import type { CurrentPolicy } from "../policy/current_policy.ts";
import type { Clock } from "../runtime/clock.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import type {
  AuditEntry,
  ProjectRevocationRow,
  ProjectRow,
  RevocationRow,
  Store,
  TokenOverrideRow,
} from "../store/store.ts";
import type { AdminContext } from "./call.ts";
import { pathParameter } from "./operation.ts";
import { notFound, Problem } from "./problem.ts";
import type { RefusalAudit } from "./refusal_audit.ts";

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

/** Makes tokens and the keys that sign them. */
interface TokenMaker {
  /** @throws RangeError when the token would be too long to be accepted */
  mint(
    projectId: string,
    lifetimeMs: number,
    restrictions: Restrictions | null,
  ): Promise<{
    readonly token: string;
    readonly jti: string;
    readonly issuedAtMs: number;
    readonly expiresAtMs: number;
  }>;
  /** Makes a new signing key; it signs from `signsFromMs` on. */
  rotate(by: AuditEntry): Promise<{
    readonly kid: string;
    readonly algorithm: string;
    readonly signsFromMs: number;
  }>;
  /** The key that signs now. */
  signingKeyId(): string;
}

/** What this node holds tokens to beside their signature. What is put here is in force at once. */
interface RevocationList {
  revoke(rows: readonly RevocationRow[]): void;
  revokeProject(row: ProjectRevocationRow): void;
  override(row: TokenOverrideRow): void;
  overrideOf(jti: string): TokenOverrideRow | null;
  /** Tokens of the project issued at or before this are revoked; null: none. */
  issuedBefore(projectId: string): number | null;
  /** Deactivates a token ahead of the store. @returns what says that the store has it */
  suspend(jti: string, expiresAtMs: number): () => void;
  /** Reads what other nodes revoked. */
  load(source: Store): Promise<void>;
}

/** Names of the probes that load balancers and orchestrators ask for. */
export type HealthProbe = "health" | "live" | "ready";

export interface AdminOptions {
  readonly store: Store;
  readonly directory: Directory;
  readonly tokens: TokenMaker;
  readonly revocations: RevocationList;
  readonly pending: Pick<PendingChanges, "isFull" | "apply" | "catchUp">;
  readonly refusalAudit: Pick<RefusalAudit, "note" | "written">;
  readonly tierPolicy: CurrentPolicy;
  readonly cipher: Pick<Cipher, "encrypt">;
  readonly clock: Clock;
  readonly sessions: Sessions;
  /** Sessions are one node's: this one's id. */
  readonly nodeId: string;
  readonly admins: readonly AdminConfig[];
  /** Encrypts everything at rest under a new key. @returns its report, nothing secret */
  readonly rotateEncryption: (by: AuditEntry) => Promise<object>;
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
  /**
   * Told of requests that are nobody's: without an admin token, under a foreign name, or too many.
   * @param isAnother as many others of the same client and minute, which need no log line each
   */
  readonly onRefused: (request: Request, code: string, isAnother: boolean) => void;
  /** Told of what a route threw and did not mean to, and of refusals that the audit lacks. */
  readonly onError: (error: unknown) => void;
}

/** A new id: a prefix that says of what, and 128 random bits. */
export function newId(prefix: "prj" | "crd"): string {
  return `${prefix}_${crypto.randomUUID().replaceAll("-", "")}`;
}

/**
 * A page as a bare array, with the next one in `Link` (RFC 8288), as llm-proxy's clients read it.
 */
export function arrayResponse(
  context: AdminContext,
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

/** The project that `{id}` of the path names. @throws Problem 404 */
export function existingProject(
  options: Pick<AdminOptions, "directory">,
  context: AdminContext,
): Promise<ProjectRow> {
  return projectOf(options, pathParameter(context, "id"));
}

/** A project, also one that another node made this moment. @throws Problem 404 */
export async function projectOf(
  { directory }: Pick<AdminOptions, "directory">,
  id: string,
): Promise<ProjectRow> {
  if (directory.project(id) === null) await directory.reload();
  const row = directory.project(id);
  if (row === null) throw notFound("Project", id, "/manage/projects");
  return row;
}
