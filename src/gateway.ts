/**
 * The life of an exchange, every phase called once and in order:
 *
 *     route ─▶ authenticate ─▶ admit ─▶ relay with taps ─▶ ledger
 *
 * Owns: the order, and the answer to whatever a phase refuses.
 * Does not own: any phase. A phase gets values and returns a value or throws a `GatewayError`; none
 * calls the next one. How bodies are relayed is in `gateway_http.ts`, how a session is opened in
 * `gateway_websocket.ts`.
 * Invariant: every request ends in one answer, and every refusal has a code of `errors.ts`.
 */

import { type Access, accessOf } from "./auth/authenticate.ts";
import { findCredentials } from "./auth/credential.ts";
import type { ProviderConfig } from "./config/config.ts";
import { asGatewayError, errorResponse, GatewayError } from "./errors.ts";
import type { Principal, ProviderType } from "./exchange.ts";
import {
  type Admitted,
  type Arrival,
  type GatewayOptions,
  type GatewayParts,
  reportInternal,
} from "./gateway_arrival.ts";
import { relayExchange } from "./gateway_http.ts";
import { openSession } from "./gateway_websocket.ts";
import type { MeterReport } from "./meter/row.ts";
import { providerOf } from "./provider/dialect.ts";
import { ClientGone } from "./relay/forward.ts";
import { Outbox } from "./relay/outbox.ts";
import { Reachability } from "./relay/reachability.ts";
import { BodyBudget } from "./relay/request_body.ts";
import { SessionSweep } from "./relay/session_sweep.ts";
import { requireUpgrade, resolve } from "./route/resolve.ts";
import type { Connection, MaybePromise } from "./runtime/runtime.ts";

/** Answers the requests of the data listeners. */
export interface Gateway {
  /** Undefined: the connection became a WebSocket. Never rejects. */
  handle(request: Request, connection: Connection): MaybePromise<Response | undefined>;
}

/** The gateway of a node. */
export function createGateway(options: GatewayOptions): Gateway {
  const parts: GatewayParts = {
    ...options,
    meter: {
      nodeId: options.nodeId,
      ledger: options.ledger,
      clock: options.clock,
      report: (report) => reportTurn(options, report),
    },
    bodyBudget: new BodyBudget(options.config.limits.inspectMemoryBytesMax),
    reachability: new Reachability(options.runtime.connect, options.clock),
    outbox: new Outbox(options.clock),
    sweep: new SessionSweep(options.clock),
  };
  const access = new Map(
    options.config.providers.map((provider) => [provider, accessOf(options.config, provider)]),
  );
  return { handle: (request, connection) => handle(parts, access, request, connection) };
}

async function handle(
  parts: GatewayParts,
  access: ReadonlyMap<ProviderConfig, Access>,
  request: Request,
  connection: Connection,
): Promise<Response | undefined> {
  const arrival = arrive(request, connection, parts.clock.nowMs());
  let dialect: ProviderType = "openai";
  try {
    if (parts.isDraining()) {
      throw new GatewayError("draining", { headers: { connection: "close" } });
    }
    const candidates = route(parts, arrival);
    dialect = candidates[0].provider.type;
    const admitted = await authenticate(parts, access, arrival, candidates);
    requireUpgrade(admitted.candidates[0].endpoint, arrival.isUpgrade);
    return arrival.isUpgrade
      ? await openSession(parts, admitted)
      : await relayExchange(parts, admitted);
  } catch (thrown) {
    return refuse(parts, arrival, dialect, thrown);
  }
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

function route(parts: GatewayParts, arrival: Arrival): Admitted["candidates"] {
  const { method, headers } = arrival.request;
  const [first, ...others] = resolve(
    {
      method,
      headers,
      host: headers.get("host") ?? "",
      path: arrival.path,
      upgrade: arrival.isUpgrade,
    },
    {
      providers: parts.config.providers,
      defaultProvider: parts.config.defaultProvider,
      providerOf,
      random: parts.random,
    },
  );
  if (first === undefined) throw new GatewayError("no_provider");
  return [first, ...others];
}

/** Who is calling, and which candidates take this caller: each provider may have its own keys. */
async function authenticate(
  parts: GatewayParts,
  access: ReadonlyMap<ProviderConfig, Access>,
  arrival: Arrival,
  candidates: Admitted["candidates"],
): Promise<Admitted> {
  const found = findCredentials({
    headers: arrival.request.headers,
    query: arrival.query,
    placement: placementOf(candidates[0].provider.type),
  });
  const verdicts = new Map<ProviderConfig, Principal | null>();
  let refusal: unknown = null;
  for (const { provider } of candidates) {
    const rule = access.get(provider);
    if (rule === undefined || verdicts.has(provider)) continue;
    try {
      verdicts.set(provider, await parts.authenticator.authenticate(found, rule));
    } catch (thrown) {
      verdicts.set(provider, null);
      refusal ??= thrown;
    }
  }
  const [first, ...others] = candidates.filter(({ provider }) => verdicts.get(provider));
  const principal = first === undefined ? null : verdicts.get(first.provider);
  if (first === undefined || !principal) throw refusal;
  return { ...arrival, principal, found, candidates: [first, ...others] };
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
  thrown: unknown,
): Response {
  // Nobody is there to read it, but the runtime wants an answer.
  if (thrown instanceof ClientGone) return new Response(null, { status: 499 });
  const error = asGatewayError(thrown);
  const { log, metrics } = parts;
  metrics.count("sluice_refusals_total", [error.code]);
  const { method } = arrival.request;
  const fields = { request_id: arrival.id, code: error.code, status: error.status, method };
  log("request_refused", { ...fields, path: arrival.path, reason: error.message });
  reportInternal(parts, arrival.id, error);
  return errorResponse(error, dialect, arrival.id);
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
