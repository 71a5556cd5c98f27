/**
 * The client's side of the opening handshake (RFC 6455 section 4.1) over HTTP/1.1.
 *
 * Owns: the request text, parsing of a response head, and whether an answer is the upgrade asked
 * for.
 * Does not own: the connection (`dial.ts`).
 * Invariant: no value can break out of its header line, neither in what we send nor in what we
 * accept.
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

import { bracketed, unbracketed } from "../lib/host_name.ts";
import { DialFailed } from "./close.ts";

export type HeaderPairs = readonly (readonly [string, string])[];

/** What the upgrade request is made of. */
export interface UpgradeRequest {
  readonly hostname: string;
  readonly port: number;
  readonly tls: boolean;
  /** Path and query, as they go into the request line. */
  readonly path: string;
  readonly headers: HeaderPairs;
  readonly subprotocols: readonly string[];
}

/** The head of an HTTP/1.1 response. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: HeaderPairs;
  /** Bytes that the head takes, its empty line included. */
  readonly size: number;
}

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 9110 section 5.5, as bytes read as Latin-1. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REQUEST_TARGET = /^\/[\x21-\x7e]*$/;

/** Headers of the handshake itself, which are ours to set. */
const OWN_HEADERS = new Set([
  "host",
  "connection",
  "upgrade",
  "content-length",
  "transfer-encoding",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-extensions",
  "sec-websocket-protocol",
]);

/** A fresh `Sec-WebSocket-Key`. */
export function newKey(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");
}

/** What the answer's `Sec-WebSocket-Accept` must be (RFC 6455 section 4.2.2). */
export function acceptValue(key: string): string {
  const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  return createHash("sha1")
    .update(key + guid)
    .digest("base64");
}

/**
 * The bytes of the upgrade request. No extension is offered.
 * @throws DialFailed `protocol` where a part cannot be sent in HTTP
 */
export function upgradeRequest(request: UpgradeRequest, key: string): Uint8Array {
  if (!REQUEST_TARGET.test(request.path)) throw unsendable("the path");
  const lines = [
    `GET ${request.path} HTTP/1.1`,
    `Host: ${hostHeader(request)}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${key}`,
  ];
  if (request.subprotocols.length > 0) {
    if (!request.subprotocols.every((name) => TOKEN.test(name))) throw unsendable("a subprotocol");
    lines.push(`Sec-WebSocket-Protocol: ${request.subprotocols.join(", ")}`);
  }
  for (const [name, value] of request.headers) {
    if (!TOKEN.test(name) || !FIELD_VALUE.test(value)) throw unsendable("a header");
    if (!OWN_HEADERS.has(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function hostHeader({ hostname, port, tls }: UpgradeRequest): string {
  const name = unbracketed(hostname);
  if (!/^[A-Za-z0-9._:%-]+$/.test(name)) throw unsendable("the host name");
  const host = bracketed(name);
  return port === (tls ? 443 : 80) ? host : `${host}:${port}`;
}

function unsendable(what: string): DialFailed {
  return new DialFailed("protocol", `Cannot send the upgrade request: ${what} is malformed`);
}

/**
 * Parses a response head (RFC 9112 section 4) from the beginning of `bytes`; null while it is not
 * whole. Stricter than the RFC asks: no folded lines, no bare CR or LF.
 * @throws DialFailed `protocol`
 */
export function parseResponseHead(bytes: Buffer): ResponseHead | null {
  const end = bytes.indexOf("\r\n\r\n");
  if (end === -1) return null;
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
  const status = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(statusLine);
  if (status === null) throw malformed("its status line is not HTTP/1.1");
  const headers = lines.map((line): readonly [string, string] => {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    const value = line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, "");
    if (!TOKEN.test(name) || !FIELD_VALUE.test(value)) throw malformed("a header line is broken");
    return [name, value];
  });
  return { status: Number(status[1]), headers, size: end + 4 };
}

/** All values of a header, in order. */
export function headerValues(headers: HeaderPairs, name: string): string[] {
  return headers.filter((pair) => pair[0].toLowerCase() === name).map((pair) => pair[1]);
}

/**
 * Whether a 101 is the upgrade that was asked for (RFC 6455 section 4.1), and its subprotocol, null
 * for none.
 * @throws DialFailed `protocol`
 */
export function verifyUpgrade(
  headers: HeaderPairs,
  key: string,
  offered: readonly string[],
): string | null {
  if (headerValues(headers, "upgrade").join().toLowerCase() !== "websocket") {
    throw malformed("it does not upgrade to WebSocket");
  }
  const connection = headerValues(headers, "connection").join().toLowerCase().split(",");
  if (!connection.some((option) => option.trim() === "upgrade")) {
    throw malformed("its Connection header does not say upgrade");
  }
  if (headerValues(headers, "sec-websocket-accept").join() !== acceptValue(key)) {
    throw malformed("its Sec-WebSocket-Accept is wrong");
  }
  if (headerValues(headers, "sec-websocket-extensions").some((value) => value !== "")) {
    throw malformed("it selects an extension that was not offered");
  }
  const chosen = headerValues(headers, "sec-websocket-protocol");
  const [subprotocol] = chosen;
  if (subprotocol === undefined) return null;
  if (chosen.length > 1 || !offered.includes(subprotocol)) {
    throw malformed("it selects a subprotocol that was not offered");
  }
  return subprotocol;
}

function malformed(why: string): DialFailed {
  return new DialFailed("protocol", `The upstream's answer to the upgrade is not valid: ${why}`);
}
