/**
 * Dialling the upstreams that may serve a session, one after the other, until one agrees.
 *
 * Owns: who is dialled next, with what headers, what their health learns from it, and what a
 * client is told of a dial in vain.
 * Does not own: one dial (`relay/dial.ts`), the order (`route/choose.ts`), accepting the client.
 * Invariant: of those that were dialled at most one is left open.
 */

import type { ProviderConfig, RetryCause } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import {
  DialFailed,
  DialRefused,
  dialFailureAnswer,
  dialRefusalAnswer,
  mapDialFailure,
} from "../relay/close.ts";
import { dial, type Dialed } from "../relay/dial.ts";
import { ClientGone } from "../relay/ending.ts";
import { headerValues } from "../relay/handshake.ts";
import { injectsCredential, upstreamUpgradeHeaders } from "../relay/headers.ts";
import type { Candidate } from "../route/choose.ts";
import { ModelNames, queryWithModel } from "../route/model_map.ts";
import { causeOfError, causeOfStatus, isOfKey } from "../route/retry_cause.ts";
import { upstreamPath, upstreamRoute } from "../route/target.ts";
import {
  type Admitted,
  type Candidates,
  type GatewayParts,
  type UpstreamRequestOptions,
  upstreamHeaderOptions,
} from "./arrival.ts";
import type { Agreement } from "./session.ts";

/** None of them agreed. */
export class DialedInVain extends Error {
  override readonly name = "DialedInVain";
  readonly #failure: DialFailed | DialRefused;
  readonly #candidate: Candidate;

  /** @param failure of the last one that was dialled */
  constructor(failure: DialFailed | DialRefused, candidate: Candidate) {
    super(failure.message, { cause: failure });
    this.#failure = failure;
    this.#candidate = candidate;
  }

  /**
   * The answer to a client that still waits for one: the upstream's own, where it gave one.
   * @throws GatewayError where it gave none, or refused our credential
   */
  answer(): Response {
    if (this.#failure instanceof DialFailed) throw dialFailureAnswer(this.#failure);
    const { family, provider } = this.#candidate;
    const isOurs = injectsCredential(provider);
    return dialRefusalAnswer(this.#failure, (status, body) =>
      isOurs ? family.refusesCredential(status, body) : false,
    );
  }

  /** What a client is told that was accepted already. */
  get closing(): GatewayError {
    return mapDialFailure(this.#failure);
  }
}

/**
 * Dials the candidates in turn. A failed dial goes on to the next; the last one's counts.
 * @param signal ends what is being dialled: the client is gone
 * @throws DialedInVain
 * @throws GatewayError none of them may be dialled, or there is no credential for the last one
 * @throws ClientGone
 */
export async function dialFirst(
  parts: GatewayParts,
  admitted: Admitted,
  candidates: Candidates,
  signal: AbortSignal,
): Promise<Agreement> {
  // Each candidate has its own, inherited where it says nothing; the first one's is the plan.
  const { retry } = candidates[0].provider;
  /** Those of which no key would do better. */
  const failed = new Set<ProviderConfig>();
  let attemptsLeft = Math.max(1, retry.attempts);
  let last: DialedInVain | GatewayError | null = null;
  for (const candidate of candidates) {
    if (attemptsLeft === 0) break;
    if (failed.has(candidate.provider) || !parts.health.enter(candidate)) continue;
    attemptsLeft -= 1;
    try {
      const dialed = await dialCandidate(parts, admitted, candidate, signal);
      parts.health.answered(candidate, 101, null);
      parts.affinity.sent(admitted.id, candidate);
      return { candidate, dialed };
    } catch (thrown) {
      last = failureOf(parts, admitted, candidate, thrown);
      const cause = causeOf(thrown);
      if (cause === null || !retry.on.includes(cause)) break;
      if (!isOfKey(cause, thrown)) failed.add(candidate.provider);
    }
  }
  throw last ?? parts.health.refusal(candidates);
}

/**
 * What came of asking one of them, with its health and the log told.
 * @throws whatever `thrown` is that is about none of them
 */
function failureOf(
  parts: GatewayParts,
  admitted: Admitted,
  candidate: Candidate,
  thrown: unknown,
): DialedInVain | GatewayError {
  // There is no credential to send; another one may have its own.
  if (thrown instanceof GatewayError && causeOfError(thrown) !== null) return thrown;
  if (!(thrown instanceof DialFailed) && !(thrown instanceof DialRefused)) throw thrown;
  reportDialFailure(parts, admitted, candidate, thrown);
  if (thrown instanceof DialFailed && thrown.kind === "aborted") throw new ClientGone();
  noteFailure(parts, candidate, thrown);
  return new DialedInVain(thrown, candidate);
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

/** Null: none that `retry.on` can name; a refusal of the request itself stays one. */
function causeOf(failure: unknown): RetryCause | null {
  if (failure instanceof DialFailed) return failure.kind === "timeout" ? "timeout" : "connect";
  return failure instanceof DialRefused ? causeOfStatus(failure.status) : causeOfError(failure);
}

/** Dials once more where a credential that was refused has been replaced. */
async function dialCandidate(
  parts: GatewayParts,
  admitted: Admitted,
  candidate: Candidate,
  signal: AbortSignal,
): Promise<Dialed> {
  const options = await upstreamHeaderOptions(parts, admitted, candidate);
  try {
    return await dialWith(parts, admitted, candidate, options, signal);
  } catch (thrown) {
    if (!(thrown instanceof DialRefused) || thrown.status !== 401) throw thrown;
    if (options.renewCredential === null || !(await options.renewCredential())) throw thrown;
    reportDialFailure(parts, admitted, candidate, thrown);
  }
  const renewed = await upstreamHeaderOptions(parts, admitted, candidate);
  return await dialWith(parts, admitted, candidate, renewed, signal);
}

async function dialWith(
  parts: GatewayParts,
  admitted: Admitted,
  candidate: Candidate,
  options: UpstreamRequestOptions,
  signal: AbortSignal,
): Promise<Dialed> {
  const { request, found } = admitted;
  const { provider, family } = candidate;
  const { hostname, port, tls } = provider.upstream;
  const named = queryWithModel(found.query, ModelNames.of(provider).toUpstream);
  const query = named === "" ? "" : `?${named}`;
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
    signal,
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

/** Tells the log of an upstream that did not agree, or not for long. */
export function reportDialFailure(
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
