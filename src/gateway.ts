/**
 * The life of an exchange, every phase called once and in order:
 *
 *     route ─▶ authenticate ─▶ choose ─▶ admit ─▶ relay with taps ─▶ settle, ledger
 *
 * Owns: the order, and the answer to whatever a phase refuses.
 * Does not own: any phase. A phase gets values and returns a value or throws a `GatewayError`; none
 * calls the next one. How bodies are relayed is in `gateway/http.ts`, how a session is opened in
 * `gateway/websocket.ts`.
 * Invariant: every request ends in one answer, and every refusal has a code of `errors.ts`.
 */

import { type Access, accessOf } from "./auth/authenticate.ts";
import { isCommand } from "./auth/command_credential.ts";
import { type FoundCredentials, findCredentials } from "./auth/credential.ts";
import type { Config, CredentialConfig, ProviderConfig } from "./config/config.ts";
import { asGatewayError, errorResponse, GatewayError } from "./errors.ts";
import type { Principal, ProviderType } from "./exchange.ts";
import { admitEndpoint, subjectOf } from "./gateway/admission.ts";
import {
  type Admitted,
  type Arrival,
  type Asked,
  type GatewayOptions,
  type GatewayParts,
  reportInternal,
} from "./gateway/arrival.ts";
import { relayExchange } from "./gateway/http.ts";
import { answerPreflight } from "./gateway/preflight.ts";
import { openSession } from "./gateway/websocket.ts";
import type { MeterReport } from "./meter/row.ts";
import { requireSecretTaken } from "./policy/access.ts";
import { Cors } from "./policy/cors.ts";
import { Doors } from "./policy/door.ts";
import { rateHeaders } from "./policy/rate_headers.ts";
import { providerOf } from "./provider/dialect.ts";
import { ClientGone } from "./relay/ending.ts";
import { credentialHeaders, type HeaderPair, injectsCredential } from "./relay/headers.ts";
import { Outbox } from "./relay/outbox.ts";
import { Pools } from "./relay/pools.ts";
import { Reachability } from "./relay/reachability.ts";
import { BodyBudget } from "./relay/request_body.ts";
import { SessionSweep } from "./relay/session_sweep.ts";
import { Affinity, responseOfPath } from "./route/affinity.ts";
import { choose } from "./route/choose.ts";
import { Health } from "./route/health.ts";
import { startHealthChecks } from "./route/health_check.ts";
import { modelOfUrl } from "./route/model_map.ts";
import { dialectOf, requireUpgrade, resolve, type Route } from "./route/resolve.ts";
import { buildTable, type RoutingTable, type Slot, slotsOf } from "./route/table.ts";
import type { Timer } from "./runtime/clock.ts";
import type { Connection, MaybePromise } from "./runtime/runtime.ts";

/** Answers the requests of the data listeners. */
export interface Gateway {
  /** Undefined: the connection became a WebSocket. Never rejects. */
  handle(request: Request, connection: Connection): MaybePromise<Response | undefined>;
  /** Ends what runs beside the exchanges. */
  stop(): void;
}

/** What a configuration means for every request, worked out once. */
interface Prepared {
  readonly table: RoutingTable;
  readonly access: ReadonlyMap<ProviderConfig, Access>;
  /** Where the provider is not known: any of them may know the caller. */
  readonly globalAccess: Access;
  readonly cors: Cors;
}

/** The gateway of a node. */
export function createGateway(options: GatewayOptions): Gateway {
  const affinity = new Affinity(options.config.providers);
  const parts: GatewayParts = {
    ...options,
    meter: {
      nodeId: options.nodeId,
      ledger: options.ledger,
      clock: options.clock,
      report: (report) => {
        if (report.event === "relay_turn_completed") affinity.made(report.row);
        reportTurn(options, report);
      },
    },
    bodyBudget: new BodyBudget(options.config.limits.inspectMemoryBytesMax),
    reachability: new Reachability(options.runtime.connect, options.clock),
    pools: new Pools(options.runtime),
    affinity,
    health: new Health(options.clock, (change, { provider, apiKey }) => {
      const key = provider.apiKeys.findIndex((one) => one.key === apiKey);
      options.log(change, { provider: provider.name, key_index: key === -1 ? null : key });
    }),
    outbox: new Outbox(options.clock),
    sweep: new SessionSweep(options.clock),
  };
  const prepared: Prepared = {
    table: buildTable(options.config.providers, options.config.defaultProvider),
    access: accessesOf(options.config),
    globalAccess: accessOf(options.config, {
      auth: options.config.auth,
      authKeys: options.config.providers.flatMap(({ authKeys }) => authKeys),
    }),
    cors: new Cors(options.config.cors),
  };
  const checks = startChecks(parts, prepared.table);
  return {
    handle: (request, connection) => handle(parts, prepared, request, connection),
    stop() {
      checks?.cancel();
      parts.pools.close();
    },
  };
}

/** Null: the providers are not to be asked. */
function startChecks(parts: GatewayParts, table: RoutingTable): Timer | null {
  const { config, health, clock, runtime, pools } = parts;
  if (config.healthCheck === null) return null;
  return startHealthChecks({
    slots: slotsOf(table),
    intervalMs: config.healthCheck.intervalMs,
    health,
    clock,
    connect: runtime.connect,
    fetchOf: (provider) => pools.fetchOf(provider),
    credentialOf: (slot) => checkCredential(parts, slot),
  });
}

/** A command that printed nothing yet is not the upstream's fault: a check never waits for it. */
function checkCredential(
  { commandCredentials }: GatewayParts,
  { provider, apiKey }: Slot,
): readonly HeaderPair[] | null {
  const currentOf = (one: CredentialConfig | null) =>
    isCommand(one) ? commandCredentials.current(one) : one;
  const [authValue, key] = [currentOf(provider.authValue), currentOf(apiKey)];
  if (injectsCredential(provider) && authValue === null && key === null) return null;
  const family = providerOf(provider.type);
  const request = { style: "x_api_key", path: provider.probe?.path ?? "" } as const;
  return credentialHeaders({ ...provider, authValue }, family, key, request, "");
}

/** Providers with the same rule share it, so that a caller is not judged once for each of them. */
function accessesOf(config: Config): Map<ProviderConfig, Access> {
  const shared = new Map<string, Access>();
  return new Map(
    config.providers.map((provider) => {
      const key = JSON.stringify([provider.auth, provider.authKeys]);
      const access = shared.get(key) ?? accessOf(config, provider);
      shared.set(key, access);
      return [provider, access];
    }),
  );
}

async function handle(
  parts: GatewayParts,
  prepared: Prepared,
  request: Request,
  connection: Connection,
): Promise<Response | undefined> {
  const arrival = arrive(request, connection, parts.clock.nowMs());
  const { cors } = prepared;
  const origin = request.headers.get("origin");
  let dialect: ProviderType | null = null;
  let caller: Principal | null = null;
  let { origins } = cors;
  let answer: Response | undefined;
  try {
    if (parts.isDraining()) {
      throw new GatewayError("draining", { headers: { connection: "close" } });
    }
    const preflight = answerPreflight(prepared, arrival);
    if (preflight !== null) return preflight;
    const way = await route(parts, prepared, arrival);
    origins = cors.originsOfAny(way.pool.providers);
    const known = await authenticate(parts, prepared.access, arrival, way);
    caller = known.anyone;
    dialect = way.pool.type;
    const admitted = admit(parts, prepared, arrival, way, known);
    caller = admitted.principal;
    requireUpgrade(admitted.candidates[0].endpoint, arrival.isUpgrade);
    admitEndpoint(parts, admitted);
    answer = arrival.isUpgrade
      ? await openSession(parts, admitted)
      : await relayExchange(parts, admitted);
  } catch (thrown) {
    const { table } = prepared;
    const spoken =
      dialect ?? dialectOf({ path: arrival.path, headers: request.headers }, table, providerOf);
    answer = refuse(parts, arrival, spoken, caller, thrown);
  }
  if (answer !== undefined) cors.mark(answer.headers, origins, origin);
  return answer;
}

function arrive(request: Request, connection: Connection, nowMs: number): Arrival {
  const { pathname, search } = new URL(request.url);
  const upgrade = request.headers.get("upgrade");
  return {
    id: exchangeId(nowMs),
    request,
    connection,
    path: pathname,
    query: search,
    isUpgrade: upgrade !== null && upgrade.toLowerCase() === "websocket",
  };
}

/**
 * Begins with the time, as UUIDs of version 7 do (RFC 9562 section 5.7): rows of the same moment
 * then lie together in every index of the ledger, which costs the database a fraction of the pages.
 */
function exchangeId(nowMs: number): string {
  const uuid = crypto.randomUUID();
  // 80 random bits: the first and the last of a UUID's groups.
  return `ex_${nowMs.toString(16).padStart(12, "0")}${uuid.slice(24)}${uuid.slice(0, 8)}`;
}

/**
 * A stranger is told the same of a host that is not served as of one that is: which hosts there are
 * is nobody's business.
 */
async function route(
  { authenticator }: GatewayParts,
  { table, globalAccess }: Prepared,
  { request, path, query, isUpgrade }: Arrival,
): Promise<Route> {
  const { method, headers } = request;
  const host = headers.get("host") ?? "";
  try {
    return resolve({ method, headers, host, path, upgrade: isUpgrade }, table, providerOf);
  } catch (thrown) {
    if (thrown instanceof GatewayError && thrown.code === "no_provider") {
      const placement = placementOf(dialectOf({ path, headers }, table, providerOf));
      const found = findCredentials({ headers, query, placement });
      await authenticator.authenticate(found, globalAccess);
    }
    throw thrown;
  }
}

/** Who is calling, by each rule that takes the credential. */
interface Known {
  readonly found: FoundCredentials;
  readonly verdicts: ReadonlyMap<Access | undefined, Principal>;
  readonly anyone: Principal;
}

/** Who is calling: each provider may have its own keys. */
async function authenticate(
  parts: GatewayParts,
  access: Prepared["access"],
  arrival: Arrival,
  way: Route,
): Promise<Known> {
  const found = findCredentials({
    headers: arrival.request.headers,
    query: arrival.query,
    placement: placementOf(way.pool.type),
  });
  const verdicts = new Map<Access | undefined, Principal>();
  let refusal: unknown = null;
  for (const rule of new Set(way.pool.providers.map((provider) => access.get(provider)))) {
    if (rule === undefined) continue;
    try {
      verdicts.set(rule, await parts.authenticator.authenticate(found, rule));
    } catch (thrown) {
      refusal ??= thrown;
    }
  }
  const [anyone] = verdicts.values();
  if (anyone === undefined) throw refusal;
  return { found, verdicts, anyone };
}

/** Which upstreams take this caller with this request. */
function admit(
  parts: GatewayParts,
  prepared: Prepared,
  arrival: Arrival,
  way: Route,
  { found, verdicts, anyone }: Known,
): Admitted {
  const { access, cors } = prepared;
  const { clientSecret } = anyone;
  requireSecretTaken(way.endpoint, clientSecret !== undefined);
  const urlModel = modelOfUrl(way, found.query);
  const doors = new Doors(cors, arrival.request.headers, urlModel ?? null);
  const isOpenedBy = ({ name }: ProviderConfig) =>
    clientSecret === undefined || clientSecret.provider === name;
  const chooseAmong = (
    { model = urlModel, previousResponseId }: Asked,
    takes: (caller: Principal | undefined) => boolean,
  ) =>
    choose(way, {
      health: parts.health,
      model,
      maker:
        previousResponseId === null
          ? null
          : parts.affinity.find(anyone.projectId, previousResponseId),
      accepts: (provider) =>
        isOpenedBy(provider) && takes(verdicts.get(access.get(provider))) && doors.takes(provider),
      hasOwnKey: ({ name }) =>
        clientSecret !== undefined || parts.credentials.hasCredential(anyone.projectId, name),
      random: parts.random,
    });
  const head = { model: undefined, previousResponseId: responseOfPath(way) };
  const candidates = doors.choose(() => chooseAmong(head, (caller) => caller !== undefined));
  const principal = verdicts.get(access.get(candidates[0].provider)) ?? anyone;
  const isSame = (caller: Principal | undefined) => caller?.tokenId === principal.tokenId;
  return {
    ...arrival,
    principal,
    found,
    candidates,
    decidesByModel: way.pool.decidesByModel,
    upstreamCount: way.pool.slots.length,
    // Whoever was found to be calling stays that, whoever is asked.
    chooseFor: (asked) => doors.choose(() => chooseAmong(asked, isSame)),
  };
}

function placementOf(type: ProviderType): "api" | "gemini" | "proxy" {
  if (type === "forward") return "proxy";
  return type === "gemini" ? "gemini" : "api";
}

/** The answer to whatever ended the exchange before the upstream's answer did. */
function refuse(
  parts: GatewayParts,
  arrival: Arrival,
  dialect: ProviderType,
  caller: Principal | null,
  thrown: unknown,
): Response {
  // Nobody is there to read it, but the runtime wants an answer.
  if (thrown instanceof ClientGone) return new Response(null, { status: 499 });
  const error = asGatewayError(thrown);
  const { log, metrics, refusals } = parts;
  metrics.count("sluice_refusals_total", [error.code]);
  const subject = error.subject ?? (caller === null ? null : subjectOf(caller));
  if (subject !== null) refusals.note(error.code, subject);
  const { method } = arrival.request;
  const fields = { request_id: arrival.id, code: error.code, status: error.status, method };
  log("request_refused", { ...fields, path: arrival.path, reason: error.message });
  reportInternal(parts, arrival.id, error);
  const response = errorResponse(error, dialect, arrival.id);
  if (error.status === 429 && caller !== null) addRates(parts, caller, dialect, response.headers);
  return response;
}

/** A caller that is held back learns from what, as it would from the provider. */
function addRates(
  { limiter, authenticator, clock }: GatewayParts,
  caller: Principal,
  dialect: ProviderType,
  headers: Headers,
): void {
  const rates = limiter.rates(authenticator.limits(caller));
  for (const [name, value] of rateHeaders(dialect, rates, headers, clock.nowMs())) {
    headers.set(name, value);
  }
}

function reportTurn(options: GatewayOptions, report: MeterReport): void {
  const { log, metrics } = options;
  if (report.event === "usage_parse_failed") {
    metrics.count("sluice_usage_parse_failed_total", [report.cause]);
    log("usage_parse_failed", { turn: report.turn, cause: report.cause });
    return;
  }
  const { row } = report;
  metrics.count("sluice_turns_total", [row.provider, row.kind, row.status, row.usage_source]);
  log("relay_turn_completed", {
    session_id: row.session_id,
    turn: row.turn,
    request_id: row.upstream_request_id,
    transport: row.transport,
    provider: row.provider,
    endpoint: row.endpoint,
    model: row.model,
    status: row.status,
    http_status: row.http_status,
    terminal_event: report.terminal,
    input_tokens: row.input_tokens,
    output_tokens: row.output_tokens,
    first_token_ms: row.first_token_ms,
    duration_ms: row.duration_ms,
    bytes_down: row.bytes_down,
  });
}
