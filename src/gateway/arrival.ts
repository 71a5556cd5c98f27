/**
 * What the life of an exchange is made of: the node's parts, a request that came, and its caller.
 *
 * Owns: these shapes, for `gateway.ts` and the two files beside it. Does not own: any phase.
 */

import type { Authenticator } from "../auth/authenticate.ts";
import type { ClientSecrets } from "../auth/client_secret.ts";
import { type CommandCredentials, isCommand } from "../auth/command_credential.ts";
import type { FoundCredentials } from "../auth/credential.ts";
import type { Config, CredentialConfig, ProviderConfig } from "../config/config.ts";
import type { Log } from "../emit/log.ts";
import type { Metrics } from "../emit/metrics.ts";
import type { GatewayError } from "../errors.ts";
import type { ClientSecret, ExchangeContext, Ledger, Principal } from "../exchange.ts";
import type { PendingTurns } from "../meter/background.ts";
import type { MeterOptions } from "../meter/row.ts";
import type { CurrentPolicy } from "../policy/current_policy.ts";
import type { Limiter } from "../policy/limiter.ts";
import type { RefusalTally } from "../policy/refusal_tally.ts";
import {
  credentialHeaders,
  type CredentialPolicy,
  type UpstreamHeaderOptions,
} from "../relay/headers.ts";
import type { LiveExchanges } from "../relay/live.ts";
import type { Outbox } from "../relay/outbox.ts";
import type { Pools } from "../relay/pools.ts";
import type { Reachability } from "../relay/reachability.ts";
import type { BodyBudget } from "../relay/request_body.ts";
import type { SessionSweep } from "../relay/session_sweep.ts";
import type { Affinity } from "../route/affinity.ts";
import type { Candidate } from "../route/choose.ts";
import type { Health } from "../route/health.ts";
import type { KnownModel } from "../route/model_map.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Connection, MaybePromise, Runtime } from "../runtime/runtime.ts";

/** Where projects' own credentials are. */
interface CredentialSource {
  credential(projectId: string, provider: string): MaybePromise<string | null>;
  hasCredential(projectId: string, provider: string): boolean;
}

/** The parts of a node, built once by the composition root. */
export interface GatewayOptions {
  readonly config: Config;
  readonly nodeId: string;
  readonly sessionsMax: number;
  readonly authenticator: Authenticator;
  readonly credentials: CredentialSource;
  readonly clientSecrets: Pick<ClientSecrets, "make">;
  readonly commandCredentials: Pick<CommandCredentials, "value" | "current" | "renew">;
  readonly limiter: Pick<Limiter, "reserve" | "charge" | "rates" | "noteUse">;
  readonly refusals: Pick<RefusalTally, "note">;
  /** The service tier policy in force; it may be another one with every message. */
  readonly tierPolicy: Pick<CurrentPolicy, "policy">;
  readonly ledger: Ledger;
  readonly pending: PendingTurns;
  readonly live: LiveExchanges;
  readonly runtime: Pick<Runtime, "connect" | "openPool">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** In [0, 1). */
  readonly random: () => number;
  /** Whether new exchanges are turned away. */
  readonly isDraining: () => boolean;
}

/** The parts that `gateway.ts` itself makes, shared by all exchanges of a node. */
export interface GatewayParts extends GatewayOptions {
  readonly meter: MeterOptions;
  readonly health: Health;
  readonly affinity: Affinity;
  readonly bodyBudget: BodyBudget;
  readonly reachability: Reachability;
  readonly pools: Pools;
  readonly outbox: Outbox;
  readonly sweep: SessionSweep;
}

/** A request, before anything is decided about it. */
export interface Arrival {
  /** Of the exchange; a session's id in the ledger. */
  readonly id: string;
  readonly request: Request;
  readonly connection: Connection;
  readonly path: string;
  /** As it came, with `?`; "" for none. */
  readonly query: string;
  readonly isUpgrade: boolean;
}

/** Upstreams that may serve a request, best first. */
export type Candidates = readonly [Candidate, ...Candidate[]];

/** What a request says of whom it is for, once its body or first message is read. */
export interface Asked {
  readonly model: KnownModel;
  /** The response that it goes on from, which only its maker knows; null: none. */
  readonly previousResponseId: string | null;
}

/** A request whose caller is known, with the upstreams that may serve it. */
export interface Admitted extends Arrival {
  readonly principal: Principal;
  readonly found: FoundCredentials;
  /** As far as the head of the request tells. */
  readonly candidates: Candidates;
  /** Whether the model that is asked for may lead to others than those. */
  readonly decidesByModel: boolean;
  /** Upstreams that the route has, each with one credential. */
  readonly upstreamCount: number;
  /**
   * Chooses again, with what is known by now.
   * @throws GatewayError why there is none, as for the first choice
   */
  chooseFor(asked: Asked): Candidates;
}

/** The facts that every turn of the exchange repeats. */
export function contextOf(
  admitted: Admitted,
  candidate: Candidate,
  upstreamRequestId: string | null,
): ExchangeContext {
  return {
    sessionId: admitted.id,
    projectId: admitted.principal.projectId,
    tokenId: admitted.principal.tokenId,
    provider: candidate.provider.name,
    endpoint: candidate.endpoint.name,
    upstreamRequestId,
  };
}

/** What a request to an upstream is made of. */
export interface UpstreamRequestOptions extends UpstreamHeaderOptions {
  /**
   * For when the upstream refused the credential: resolves with whether there is another one now.
   * Null: it is not a command's, so there never is.
   */
  readonly renewCredential: (() => Promise<boolean>) | null;
}

/** A credential of the configuration, or a project's own, with what its command printed. */
interface OpenedCredential {
  readonly policy: CredentialPolicy;
  readonly key: string | null;
  readonly renew: (() => Promise<boolean>) | null;
}

/**
 * The credential to be sent to a provider.
 * @param key the one to be used where `auth_value` is not
 * @throws GatewayError `upstream_auth_failed`: its command printed none
 */
async function openCredential(
  { commandCredentials }: Pick<GatewayOptions, "commandCredentials">,
  provider: ProviderConfig,
  key: CredentialConfig | null,
): Promise<OpenedCredential> {
  const { name, type, authHeader, authValue, credentialKind } = provider;
  const rest = { name, type, authHeader, credentialKind };
  if (isCommand(authValue)) {
    const value = await commandCredentials.value(authValue);
    const renew = () => commandCredentials.renew(authValue, value);
    return { policy: { ...rest, authValue: value }, key: null, renew };
  }
  const policy = { ...rest, authValue };
  if (!isCommand(key)) return { policy, key, renew: null };
  const value = await commandCredentials.value(key);
  return { policy, key: value, renew: () => commandCredentials.renew(key, value) };
}

/** What the provider made for a browser goes where it takes those, not where it takes ours. */
function browserCredential(
  { name, type }: ProviderConfig,
  { key }: ClientSecret,
): OpenedCredential {
  const policy = {
    name,
    type,
    authHeader: null,
    authValue: null,
    credentialKind: "api_key",
  } as const;
  return { policy, key, renew: null };
}

/**
 * What the upstream's request headers are made of, the same for a request and for an upgrade.
 * @throws GatewayError `upstream_auth_failed`: there is no credential to send
 */
export async function upstreamHeaderOptions(
  parts: Pick<GatewayParts, "credentials" | "commandCredentials" | "health">,
  { id, connection, principal, found }: Admitted,
  candidate: Candidate,
): Promise<UpstreamRequestOptions> {
  const { provider, family, apiKey, path } = candidate;
  const { projectId, clientSecret } = principal;
  const own = await parts.credentials.credential(projectId, provider.name);
  const style = found.credentials[0]?.style ?? "authorization";
  const opened =
    clientSecret === undefined
      ? await openCredential(parts, provider, own ?? apiKey).catch((thrown: unknown) => {
          parts.health.lacksCredential(candidate);
          throw thrown;
        })
      : browserCredential(provider, clientSecret);
  return {
    provider,
    credential: credentialHeaders(opened.policy, family, opened.key, { style, path }, projectId),
    renewCredential: opened.renew,
    requestId: id,
    // Asked of the system, and few providers are told.
    get remoteAddress() {
      return connection.remoteAddress;
    },
    secure: connection.secure,
  };
}

/** Writes what an unexpected error says to the log, which is the only place that gets to see it. */
export function reportInternal(
  { log }: Pick<GatewayOptions, "log">,
  exchangeId: string,
  { code, cause }: GatewayError,
): void {
  if (code !== "internal") return;
  const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  log("internal_error", { request_id: exchangeId, reason });
}
