/**
 * Opening a WebSocket session: the upstream is dialled before the client is accepted.
 *
 * Owns: the order of admission, dial, upgrade and registration, and what is undone when one fails.
 * Does not own: relaying (`relay/session.ts`).
 * Invariant: a client is accepted only when the upstream has agreed; until then every refusal, the
 * upstream's own included, is a plain HTTP answer.
 */

import type { RetryCause } from "./config/config.ts";
import { GatewayError } from "./errors.ts";
import { admitAsked, reserveSession } from "./gateway_admission.ts";
import {
  type Admitted,
  type GatewayParts,
  type UpstreamRequestOptions,
  upstreamHeaderOptions,
} from "./gateway_arrival.ts";
import { type Agreement, type Allowance, LiveSession, modelOfQuery } from "./gateway_session.ts";
import { admitSession } from "./policy/admit.ts";
import { SessionLimits } from "./policy/session_limits.ts";
import { DialFailed, DialRefused, dialFailureAnswer, dialRefusalAnswer } from "./relay/close.ts";
import { dial, type Dialed } from "./relay/dial.ts";
import { ClientGone } from "./relay/forward.ts";
import { headerValues } from "./relay/handshake.ts";
import { downstreamHeaders, injectsCredential, upstreamUpgradeHeaders } from "./relay/headers.ts";
import type { Candidate } from "./route/choose.ts";
import { causeOfStatus } from "./route/retry_cause.ts";
import { upstreamPath, upstreamRoute } from "./route/target.ts";
import { IDLE_TIMEOUT_S } from "./runtime/runtime.ts";

/** Headers of the 101 that belong to one leg's handshake. */
const HANDSHAKE_PREFIX = "sec-websocket-";

/**
 * Opens a session, or answers with the upstream's refusal.
 * @returns undefined: the connection is a WebSocket now
 * @throws GatewayError what refused it
 * @throws ClientGone
 */
export async function openSession(
  parts: GatewayParts,
  admitted: Admitted,
): Promise<Response | undefined> {
  const { principal, request, connection } = admitted;
  checkHandshake(request);
  admitSession(principal, parts.live, {
    sessionsMax: parts.sessionsMax,
    sessionsPerTokenMax: parts.config.limits.sessionsPerTokenMax,
  });
  const model = modelOfQuery(admitted);
  if (model !== null) admitAsked(parts, principal, { model, serviceTier: null });
  const subjects = parts.authenticator.limits(principal);
  const place = await reserveSession(parts, subjects);
  connection.setIdleTimeout(0);
  let isAccepted = false;
  try {
    const allowance = { place, limits: new SessionLimits(subjects) };
    const refusal = await dialAndAccept(parts, admitted, allowance);
    isAccepted = refusal === null;
    return refusal ?? undefined;
  } finally {
    if (!isAccepted) {
      place.release();
      // An ordinary connection again, which must not be kept for ever.
      connection.setIdleTimeout(IDLE_TIMEOUT_S);
    }
  }
}

/** @returns the upstream's refusal; null: the connection is a WebSocket now */
async function dialAndAccept(
  parts: GatewayParts,
  admitted: Admitted,
  allowance: Allowance,
): Promise<Response | null> {
  const { principal, request, connection } = admitted;
  const agreed = await dialFirst(parts, admitted);
  if (agreed instanceof Response) return agreed;
  const { dialed, candidate } = agreed;
  const live = new LiveSession(parts, admitted, allowance, agreed);
  try {
    // Dialling takes time, in which the token may have been revoked.
    parts.authenticator.recheck(principal);
  } catch (thrown) {
    live.abandon();
    throw thrown;
  }
  const headers = downstreamHeaders(toHeaders(dialed), {
    method: request.method,
    status: 101,
    provider: candidate.provider.name,
    requestId: admitted.id,
    keepLength: false,
    timing: null,
  });
  if (connection.upgrade(headers, dialed.subprotocol, live.session)) return null;
  live.abandon();
  throw request.signal.aborted ? new ClientGone() : new GatewayError("bad_request");
}

/** RFC 6455 section 4.2.1, for what the runtime checks too late or not at all. */
function checkHandshake(request: Request): void {
  const { headers, method } = request;
  if (method !== "GET") throw new GatewayError("method_not_allowed", { headers: { allow: "GET" } });
  if (headers.get("sec-websocket-version") !== "13") {
    throw new GatewayError("websocket_required", {
      message: "Only version 13 of the WebSocket protocol is spoken here",
      headers: { "sec-websocket-version": "13", upgrade: "websocket" },
    });
  }
  if (!/^[A-Za-z0-9+/]{22}==$/.test(headers.get("sec-websocket-key") ?? "")) {
    throw new GatewayError("bad_request", {
      message: "Sec-WebSocket-Key must be 16 bytes in base64",
    });
  }
}

/** Asks the candidates in turn. A failed dial goes on to the next; the last one's answer counts. */
async function dialFirst(parts: GatewayParts, admitted: Admitted): Promise<Agreement | Response> {
  // Each candidate has its own, inherited where it says nothing; the first one's is the plan.
  const { retry } = admitted.candidates[0].provider;
  const attempts = admitted.candidates.slice(0, Math.max(1, retry.attempts));
  let last: DialFailed | DialRefused | null = null;
  let lastCandidate = admitted.candidates[0];
  for (const candidate of attempts) {
    if (!parts.health.enter(candidate)) continue;
    try {
      const dialed = await dialCandidate(parts, admitted, candidate);
      parts.health.answered(candidate, 101, null);
      parts.affinity.sent(admitted.id, candidate);
      return { candidate, dialed };
    } catch (thrown) {
      if (!(thrown instanceof DialFailed) && !(thrown instanceof DialRefused)) throw thrown;
      reportDialFailure(parts, admitted, candidate, thrown);
      if (thrown instanceof DialFailed && thrown.kind === "aborted") throw new ClientGone();
      noteFailure(parts, candidate, thrown);
      last = thrown;
      lastCandidate = candidate;
      if (!mayHelp(thrown, retry.on)) break;
    }
  }
  if (last instanceof DialRefused) {
    const { family, provider } = lastCandidate;
    const isOurs = injectsCredential(provider);
    return dialRefusalAnswer(last, (status, body) =>
      isOurs ? family.refusesCredential(status, body) : false,
    );
  }
  throw last === null ? parts.health.refusal(attempts) : dialFailureAnswer(last);
}

/** What a failed dial says about the upstream. */
function noteFailure(
  { health }: GatewayParts,
  candidate: Candidate,
  failure: DialFailed | DialRefused,
): void {
  if (failure instanceof DialFailed) {
    health.failed(candidate);
    return;
  }
  const [retryAfter = null] = headerValues(failure.headers, "retry-after");
  health.answered(candidate, failure.status, retryAfter);
}

/** Whether another candidate may do better; a refusal of the request itself stays one. */
function mayHelp(failure: DialFailed | DialRefused, causes: readonly RetryCause[]): boolean {
  const cause = causeOf(failure);
  return cause !== null && causes.includes(cause);
}

/** Null: none that `retry.on` can name. */
function causeOf(failure: DialFailed | DialRefused): RetryCause | null {
  if (failure instanceof DialFailed) return failure.kind === "timeout" ? "timeout" : "connect";
  return causeOfStatus(failure.status);
}

/** Dials once more where a credential that was refused has been replaced. */
async function dialCandidate(
  parts: GatewayParts,
  admitted: Admitted,
  candidate: Candidate,
): Promise<Dialed> {
  const options = await upstreamHeaderOptions(parts, admitted, candidate);
  try {
    return await dialWith(parts, admitted, candidate, options);
  } catch (thrown) {
    if (!(thrown instanceof DialRefused) || thrown.status !== 401) throw thrown;
    if (options.renewCredential === null || !(await options.renewCredential())) throw thrown;
    reportDialFailure(parts, admitted, candidate, thrown);
  }
  const renewed = await upstreamHeaderOptions(parts, admitted, candidate);
  return await dialWith(parts, admitted, candidate, renewed);
}

async function dialWith(
  parts: GatewayParts,
  admitted: Admitted,
  candidate: Candidate,
  options: UpstreamRequestOptions,
): Promise<Dialed> {
  const { request, found } = admitted;
  const { provider, family } = candidate;
  const { hostname, port, tls } = provider.upstream;
  const query = found.query === "" ? "" : `?${found.query}`;
  const path = upstreamPath(provider, candidate.path);
  const proxy_enabled = provider.egressProxy !== null;
  parts.log("relay_dial_start", { session_id: admitted.id, host: hostname, path, proxy_enabled });
  const dialed = await dial({
    runtime: parts.runtime,
    clock: parts.clock,
    outbox: parts.outbox,
    route: upstreamRoute(provider),
    hostname,
    port,
    tls,
    path: `${path}${query}`,
    headers: upstreamUpgradeHeaders(request.headers, options),
    subprotocols: found.subprotocols,
    timeoutMs: provider.timeouts.dialMs,
    signal: request.signal,
    messageBytesMax: parts.config.limits.frameBytesMax,
  });
  const { requestIdHeader } = family;
  parts.log("relay_dial_ok", {
    session_id: admitted.id,
    host: hostname,
    path,
    proxy_enabled,
    status_code: 101,
    upstream_request_id:
      requestIdHeader === null ? null : headerValues(dialed.headers, requestIdHeader)[0],
  });
  return dialed;
}

function reportDialFailure(
  parts: GatewayParts,
  admitted: Admitted,
  candidate: Candidate,
  failure: DialFailed | DialRefused,
): void {
  parts.log("relay_dial_failed", {
    session_id: admitted.id,
    provider: candidate.provider.name,
    host: candidate.provider.upstream.hostname,
    path: candidate.path,
    proxy_enabled: candidate.provider.egressProxy !== null,
    status_code: failure instanceof DialRefused ? failure.status : null,
    reason: failure.message,
  });
}

/** The upstream's response headers, without those of its leg's handshake. */
function toHeaders(dialed: Dialed): Headers {
  const headers = new Headers();
  for (const [name, value] of dialed.headers) {
    if (!name.toLowerCase().startsWith(HANDSHAKE_PREFIX)) headers.append(name, value);
  }
  return headers;
}
