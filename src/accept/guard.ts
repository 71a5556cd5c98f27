/**
 * Refuses what the runtime's HTTP parser lets through and must not reach the relay.
 *
 * Owns: the request-smuggling cases that remain behind the listener, and limits on headers.
 * Does not own: what the parser refuses by itself (two lengths that differ, a length beside a
 * transfer encoding, unknown transfer codings, control characters in headers, too many header
 * lines).
 * Invariant: after this check `new URL(request.url)` works, there is one host, one way to tell the
 * body's length, and no path that an upstream could read as another one. A refusal closes the
 * connection, because what follows on it cannot be trusted to be a request.
 */

import { GatewayError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";

/**
 * Name or address with an optional port (RFC 9110 section 7.2). No escapes and no user information,
 * because upstreams, logs and our own routing would not read them the same way.
 */
const HOST = /^(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/i;

/** Methods that are not relayed: a tunnel, and an echo of the headers we add. */
const REFUSED_METHODS = ["CONNECT", "TRACE"];

const ONE_HOST = "The Host header must name one host";

const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/**
 * Checks a request as it came from the listener, before anything else looks at it.
 * @param headerCountMax 0: no limit
 * @returns the refusal, or null for a request that may pass
 */
export function guardRequest(request: Request, headerCountMax: number): GatewayError | null {
  const { method, headers } = request;
  if (REFUSED_METHODS.includes(method)) {
    return refuse("method_not_allowed", `${method} is not served here`, { allow: ALLOW });
  }
  return (
    checkHost(headers.get("host")) ??
    checkHeaders(headers, headerCountMax) ??
    checkFraming(method, headers) ??
    checkPath(request.url)
  );
}

function refuse(
  code: ErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): GatewayError {
  return new GatewayError(code, { message, headers: { ...headers, connection: "close" } });
}

/** Two `Host` lines arrive joined by a comma, which the grammar does not have. */
function checkHost(host: string | null): GatewayError | null {
  const match = HOST.exec(host ?? "");
  if (match !== null && Number(match[1] ?? 0) <= 65_535) return null;
  return refuse("bad_request", ONE_HOST);
}

function checkHeaders(headers: Headers, countMax: number): GatewayError | null {
  let count = 0;
  for (const [name, value] of headers) {
    count += 1;
    // The parser refuses the other control characters (RFC 9110 section 5.5).
    if (value.includes("\x7f")) {
      return refuse("bad_request", `The header ${name} holds a control character`);
    }
  }
  if (countMax === 0 || count <= countMax) return null;
  return refuse("headers_too_large", `The request has more than ${countMax} headers`);
}

function checkFraming(method: string, headers: Headers): GatewayError | null {
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (coding !== null && coding.toLowerCase() !== "chunked") {
    return refuse("bad_request", "Transfer-Encoding must be absent or chunked");
  }
  if (coding !== null && length !== null) {
    return refuse("bad_request", "Content-Length and Transfer-Encoding exclude each other");
  }
  // The same length twice arrives as a list.
  if (length !== null && !/^\d+$/.test(length)) {
    return refuse("bad_request", "Content-Length must be one number");
  }
  const bodiless = method === "GET" || method === "HEAD";
  if (!bodiless || (coding === null && Number(length ?? 0) === 0)) return null;
  // Neither the listener nor `fetch` carries one, and dropping it silently would change the
  // request.
  return refuse("bad_request", `A ${method} request cannot have a body here`);
}

/** `..` behind an escaped slash survives our normalisation and not that of every upstream. */
function checkPath(url: string): GatewayError | null {
  const pathname = URL.parse(url)?.pathname;
  // Of a host that ends in a number every part must be one of an address (WHATWG URL section 3.5).
  if (pathname === undefined) return refuse("bad_request", ONE_HOST);
  if (!pathname.includes("%")) return null;
  const plain = unescapePath(pathname);
  if (!/(?:^|[/\\])\.{1,2}(?:[/\\;]|$)/.test(plain)) return null;
  return refuse("bad_request", "The path holds an escaped dot segment");
}

/**
 * Dots, slashes and percent signs unescaped until nothing changes; twice is as far as servers go.
 */
function unescapePath(path: string): string {
  const once = unescapeOnce(path);
  return unescapeOnce(once);
}

function unescapeOnce(path: string): string {
  return path.replace(/%(2e|2f|5c|25|3b)/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
