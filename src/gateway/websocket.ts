/**
 * Opening a WebSocket session: by rule the upstream is dialled before the client is accepted.
 *
 * Owns: the order of admission, dial, upgrade and registration, and what is undone when one fails.
 * Does not own: dialling (`dial.ts`), waiting for a first message (`opening.ts`),
 * relaying (`relay/session.ts`).
 * Invariant: a client is accepted only when the upstream has agreed, and until then every refusal,
 * the upstream's own included, is a plain HTTP answer. Only where its first message decides which
 * upstream that is, it is accepted before.
 */

import { GatewayError } from "../errors.ts";
import type { Reservation } from "../exchange.ts";
import { admitSession } from "../policy/admit.ts";
import { SessionLimits } from "../policy/session_limits.ts";
import type { Dialed } from "../relay/dial.ts";
import { ClientGone } from "../relay/ending.ts";
import { downstreamHeaders } from "../relay/headers.ts";
import { ModelNames } from "../route/model_map.ts";
import { IDLE_TIMEOUT_S, type SocketHandler } from "../runtime/runtime.ts";
import { admitAsked, reserveSession } from "./admission.ts";
import type { Admitted, GatewayParts } from "./arrival.ts";
import { ComingSession } from "./coming.ts";
import { DialedInVain, dialFirst } from "./dial.ts";
import { Opening } from "./opening.ts";
import { type Agreement, type Allowance, LiveSession, modelOfQuery } from "./session.ts";

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
  const coming = new ComingSession(parts, admitted);
  let place: Reservation | null = null;
  let isAccepted = false;
  try {
    coming.requireWanted();
    admitModelOfQuery(parts, admitted);
    const subjects = parts.authenticator.limits(principal);
    place = await reserveSession(parts, subjects);
    coming.requireWanted();
    connection.setIdleTimeout(0);
    const sinceMs = parts.clock.monotonicMs();
    const allowance = { place, limits: new SessionLimits(subjects), sinceMs };
    const refusal = firstMessageDecides(admitted)
      ? acceptBeforeDial(parts, admitted, allowance)
      : await dialAndAccept(parts, admitted, allowance, coming);
    isAccepted = refusal === null;
    return refusal ?? undefined;
  } catch (thrown) {
    throw coming.error ?? thrown;
  } finally {
    coming.leave(isAccepted);
    if (!isAccepted) {
      place?.release();
      // An ordinary connection again, which must not be kept for ever.
      connection.setIdleTimeout(IDLE_TIMEOUT_S);
    }
  }
}

function admitModelOfQuery(parts: GatewayParts, admitted: Admitted): void {
  const model = modelOfQuery(admitted);
  if (model === null) return;
  const names = ModelNames.of(admitted.candidates[0].provider);
  admitAsked(parts, admitted.principal, names.namesOf(model, names.toUpstream(model)), null);
}

/** Whether which upstream it is shows only in the client's first message. */
function firstMessageDecides({ candidates, decidesByModel }: Admitted): boolean {
  const { dialect } = candidates[0].endpoint;
  return dialect === "gemini_live" || (dialect === "openai_responses" && decidesByModel);
}

/** @returns null: the connection is a WebSocket now */
function acceptBeforeDial(parts: GatewayParts, admitted: Admitted, allowance: Allowance): null {
  const { found } = admitted;
  const opening = new Opening(parts, admitted, allowance, null);
  // No upstream has chosen yet, and some clients take it amiss when none of theirs is.
  const [subprotocol = null] = found.subprotocols;
  const headers = new Headers({ "x-sluice-request-id": admitted.id });
  parts.live.replace(opening);
  upgrade(admitted, headers, subprotocol, opening, () => opening.abandon());
  return null;
}

/** @returns the upstream's refusal; null: the connection is a WebSocket now */
async function dialAndAccept(
  parts: GatewayParts,
  admitted: Admitted,
  allowance: Allowance,
  coming: ComingSession,
): Promise<Response | null> {
  const { request, candidates } = admitted;
  let agreed: Agreement;
  try {
    agreed = await dialFirst(parts, admitted, candidates, coming.signal);
  } catch (thrown) {
    if (thrown instanceof DialedInVain) return thrown.answer();
    throw thrown;
  }
  const { dialed, candidate } = agreed;
  const held = mayBeAnothersTurn(admitted)
    ? new Opening(parts, admitted, allowance, agreed)
    : new LiveSession(parts, admitted, allowance, agreed, modelOfQuery(admitted));
  parts.live.replace(held);
  try {
    // Dialling takes time, in which the token may have expired.
    coming.requireWanted();
  } catch (thrown) {
    held.abandon();
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
  const handler = held instanceof Opening ? held : held.session;
  upgrade(admitted, headers, dialed.subprotocol, handler, () => held.abandon());
  return null;
}

/** Whether the first message may go on from a response that another upstream made. */
function mayBeAnothersTurn({ candidates: [{ endpoint }], upstreamCount }: Admitted): boolean {
  return endpoint.dialect === "openai_responses" && upstreamCount > 1;
}

/** @param abandon undoes what was begun, where the client is not there any more */
function upgrade(
  { connection, request }: Admitted,
  headers: Headers,
  subprotocol: string | null,
  handler: SocketHandler,
  abandon: () => void,
): void {
  if (connection.upgrade(headers, subprotocol, handler)) return;
  abandon();
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

/** The upstream's response headers, without those of its leg's handshake. */
function toHeaders(dialed: Dialed): Headers {
  const headers = new Headers();
  for (const [name, value] of dialed.headers) {
    if (!name.toLowerCase().startsWith(HANDSHAKE_PREFIX)) headers.append(name, value);
  }
  return headers;
}
