/**
 * A Realtime call (WebRTC, SIP): its media go past us, so that its session is judged when it is
 * asked for.
 *
 *   POST /v1/realtime/calls              a form with `sdp` and `session`, or an SDP alone
 *   POST /v1/realtime/calls/{id}/accept  the session as JSON
 *
 * Owns: where the session stands, and what is refused of one that cannot be judged.
 * Does not own: the judgement (`request_tiers.ts`).
 * Invariant: the body goes on as it came, or not at all.
 */

import { GatewayError } from "../errors.ts";
import type { Principal } from "../exchange.ts";
import { encodeUtf8 } from "../lib/encoding.ts";
import { MultipartFields, multipartBoundary } from "../provider/multipart.ts";
import { readRequestedTurn } from "../provider/request.ts";
import type { Candidate } from "../route/choose.ts";
import { refuseDuplicate } from "./form.ts";
import { policeRequest } from "./request_tiers.ts";
import type { TierParts } from "./tier_judge.ts";

const DIALECT = "openai_realtime";
const SESSION = "session";

/** Of the session in a form, with its instructions and tools. */
const SESSION_BYTES_MAX = 1024 * 1024;

/**
 * Refuses a call whose session asks for a service tier that may not go on as it is. Its model may
 * be one of several, so that the stricter of two actions holds.
 * @throws GatewayError `tier_blocked`, `ambiguous_json`, `invalid_json`, `bad_request`
 */
export function policeCall(
  parts: TierParts,
  principal: Principal,
  candidate: Candidate,
  headers: Headers,
  body: Uint8Array<ArrayBuffer>,
): void {
  const session = sessionIn(headers, body);
  if (session === null) return;
  const asked = readRequestedTurn(DIALECT, session, candidate.path);
  refuseDuplicate(asked.duplicate);
  const to = { ...candidate, endpoint: { ...candidate.endpoint, dialect: DIALECT } as const };
  const requested = { ...asked, model: null };
  const policed = policeRequest(parts, principal, to, headers, session, requested);
  if (policed.body === session) return;
  throw new GatewayError("tier_blocked", {
    message: "The service tier of a call cannot be changed on its way. Leave it out",
    param: "service_tier",
  });
}

/** Null: there is none, as in an SDP alone (RFC 8866: it begins with its version). */
function sessionIn(
  headers: Headers,
  body: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | null {
  const type = headers.get("content-type");
  const boundary = multipartBoundary(type);
  if (boundary !== null) return sessionInForm(boundary, body);
  if (/^\s*multipart\//i.test(type ?? "")) throw unclear();
  const isSdp = body[0] === "v".charCodeAt(0) && body[1] === "=".charCodeAt(0);
  return isSdp || body.byteLength === 0 ? null : body;
}

function sessionInForm(
  boundary: string,
  body: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | null {
  const fields = new MultipartFields(boundary, [SESSION], SESSION_BYTES_MAX);
  fields.push(body);
  refuseDuplicate(fields.duplicate);
  if (!fields.isComplete || fields.oversized.size > 0) throw unclear();
  const text = fields.values.get(SESSION);
  return text === undefined ? null : encodeUtf8(text);
}

function unclear(): GatewayError {
  return new GatewayError("bad_request", {
    message:
      'The session of the call cannot be read. Send a whole form with one plain part "session", ' +
      `of at most ${SESSION_BYTES_MAX} bytes`,
  });
}
