/**
 * How a session ends, in codes and words.
 *
 * Owns: which close codes may be sent, reasons cut to size, and what a failed dial means to the
 * client.
 * Does not own: sending. Invariant: a code that may not stand on the wire never leaves.
 */

import { type ErrorCode, errorEvent, GatewayError } from "../errors.ts";
import { isWireCloseCode } from "./frame_codec.ts";

/** RFC 6455 section 5.5: 125 bytes of payload, two of which are the code. */
const REASON_BYTES_MAX = 123;

/** The reason that every failure of the upstream's leg has (the service's own words for it). */
export const UPSTREAM_FAILED = "upstream websocket proxy failed";

/**
 * The code to send for one that was received, as RFC 6455 section 7.4 allows it: null for none
 * (1005), 1011 for what is not allowed on the wire (1006 and 1015 among them).
 */
export function wireCloseCode(code: number | null): number | null {
  if (code === null || code === 1005) return null;
  return isWireCloseCode(code) ? code : 1011;
}

/**
 * A close code as a label of a metric. Peers choose freely among those from 3000 on, and a label
 * must not have as many values as they like.
 */
export function closeCodeLabel(code: number): string {
  if (code >= 1000 && code <= 1015) return String(code);
  if (code >= 3000 && code <= 4999) return code < 4000 ? "3xxx" : "4xxx";
  return "other";
}

/** What ended a session whose client broke the protocol, so that the runtime closed with `code`. */
export function breachError(code: number, reason: string): GatewayError {
  const broken = code === 1009 ? "frame_too_large" : "bad_request";
  return new GatewayError(broken, { message: reason });
}

/** `reason`, cut at the end of a character so that it fits into a close frame. */
export function cutReason(reason: string): string {
  // Three bytes a UTF-16 unit at most.
  if (reason.length * 3 <= REASON_BYTES_MAX) return reason;
  const into = new Uint8Array(REASON_BYTES_MAX);
  const { read } = new TextEncoder().encodeInto(reason, into);
  return reason.slice(0, read);
}

/** Codes that say of a frame that its sender cannot be understood or trusted, now or later. */
const ENDS_SESSION: readonly ErrorCode[] = [
  "invalid_json",
  "ambiguous_json",
  "tier_blocked",
  "session_limit",
  "internal",
];

/** Codes that say nothing of the turn itself: the same one may be taken later. */
const MAY_PASS_LATER: readonly ErrorCode[] = [
  "rate_limited",
  "quota_exhausted",
  "budget_exhausted",
  "limits_unavailable",
];

/**
 * Whether a refused frame leaves its session open: a first turn in vain ends it, unless the same
 * one may pass later; after that a turn only loses itself.
 * @param turns that the session has had
 */
export function leavesSession({ code, goesOn }: GatewayError, turns: number): boolean {
  if (goesOn) return true;
  return (turns > 0 || MAY_PASS_LATER.includes(code)) && !ENDS_SESSION.includes(code);
}

/** The event that tells a client of `error`. */
export function newErrorEvent(error: GatewayError): string {
  return errorEvent(error, `evt_${crypto.randomUUID().replaceAll("-", "")}`);
}

/**
 * What kept a dial from an answer. `closed`: the connection ended before the answer was complete.
 */
type DialFailure = "timeout" | "connect" | "tls" | "closed" | "protocol" | "aborted";

/** There is no upstream answer that could be passed on. The message names no address. */
export class DialFailed extends Error {
  override readonly name = "DialFailed";
  readonly kind: DialFailure;

  constructor(kind: DialFailure, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** The upstream answered, and not with an upgrade. */
export class DialRefused extends Error {
  override readonly name = "DialRefused";
  readonly status: number;
  /** As received, in order, framing headers included. */
  readonly headers: readonly (readonly [string, string])[];
  /** The body without its transfer coding, cut at 64 KiB. */
  readonly body: Uint8Array;

  constructor(status: number, headers: readonly (readonly [string, string])[], body: Uint8Array) {
    super(`The upstream answered ${status} to the upgrade`);
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

/** What a client that was accepted already is told about a failed dial. */
export function mapDialFailure(error: DialFailed | DialRefused): GatewayError {
  if (error instanceof DialFailed) {
    if (error.kind !== "timeout") return upstreamFailed(error);
    const closeReason = "upstream websocket connect timeout";
    return new GatewayError("upstream_timeout", { closeReason, cause: error });
  }
  const { status } = error;
  if (status === 429) {
    const message = "upstream websocket is busy, please retry later";
    return new GatewayError("rate_limited", { message, cause: error });
  }
  if (status === 401 || status === 403) {
    const closeReason = "upstream websocket authentication failed";
    return new GatewayError("upstream_auth_failed", { closeReason, cause: error });
  }
  if (status >= 400 && status < 500) {
    const message = "upstream websocket handshake rejected";
    return new GatewayError("bad_request", { message, status, cause: error });
  }
  return upstreamFailed(error);
}

/** What a client is told whose request still can be answered, where the upstream gave no answer. */
export function dialFailureAnswer(error: DialFailed): GatewayError {
  const options = { cause: error };
  if (error.kind === "timeout") return new GatewayError("upstream_timeout", options);
  if (error.kind === "closed") return new GatewayError("upstream_closed", options);
  return new GatewayError("upstream_unreachable", options);
}

/**
 * The answer to a client whose upgrade the upstream refused.
 * @param refusesCredential the provider's judgement whether it was our credential that was refused
 * @returns the upstream's answer, as it came
 * @throws GatewayError `upstream_auth_failed` where our credential was refused
 */
export function dialRefusalAnswer(
  error: DialRefused,
  refusesCredential: (status: number, body: string) => boolean,
): Response {
  const { status, body } = error;
  if (refusesCredential(status, new TextDecoder().decode(body))) {
    const message = `The upstream refused the gateway's credential with ${status}`;
    throw new GatewayError("upstream_auth_failed", { message, cause: error });
  }
  const headers = new Headers();
  for (const [name, value] of error.headers) {
    if (!HOP_BY_HOP.has(name.toLowerCase())) headers.append(name, value);
  }
  // RFC 9110 section 15: these have no body.
  const bodiless = status === 204 || status === 205 || status === 304;
  return new Response(bodiless ? null : new Uint8Array(body), { status, headers });
}

/** RFC 9110 section 7.6.1, and the length, which is that of the body we hold. */
const HOP_BY_HOP = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function upstreamFailed(cause: unknown): GatewayError {
  return new GatewayError("upstream_unreachable", { closeReason: UPSTREAM_FAILED, cause });
}
