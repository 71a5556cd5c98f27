/**
 * What every management request has to pass before a route sees it.
 *
 * Owns: the admin tokens, the checks that keep a browser from being turned against the node, and
 * reading a body. Does not own: what a body means (`fields.ts`).
 * Invariant: nothing is answered across origins (no CORS header is ever sent), and a 401 says
 * nothing of what was wrong.
 */

import { secretsEqual } from "../auth/static_key.ts";
import type { AdminConfig } from "../config/config.ts";
import { decodeUtf8 } from "../lib/encoding.ts";
import { DuplicateKeyError, parseStrictly } from "../lib/json_strict.ts";
import { Problem } from "./problem.ts";

const BODY_BYTES_MAX = 1024 * 1024;

/**
 * Refuses a name that someone else's DNS may point at us: a page of theirs would count as
 * same-origin then (DNS rebinding). Addresses cannot be rebound.
 * @param hostnames names besides `localhost` that the listener is reached by, lower case
 */
export function requireKnownHost(request: Request, hostnames: readonly string[]): void {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  const name = hostname(host);
  if (name === "localhost" || isAddress(name) || hostnames.includes(name)) return;
  throw new Problem(
    "host_not_allowed",
    "The Host header names a host that this listener is not known by",
    "Use the node's address or localhost, or set admin_bind_address to this name",
  );
}

/** What a request's Bearer header shows of who sends it. */
interface Login {
  /** Whether there was a token at all: where there is none, none was guessed. */
  readonly isAttempt: boolean;
  /** Whose token it is; null: nobody's. */
  readonly admin: AdminConfig | null;
}

/** Whose admin token a request carries. Each is compared every time, in constant time. */
export function readLogin(request: Request, admins: readonly AdminConfig[]): Login {
  const token = bearerOf(request);
  let found: AdminConfig | null = null;
  for (const admin of admins) {
    if (secretsEqual(token ?? "", admin.token)) found = admin;
  }
  return { isAttempt: token !== null, admin: token === null ? null : found };
}

/** @throws Problem 401 for a login that is nobody's */
export function requireAdmin({ admin }: Login): AdminConfig {
  if (admin !== null) return admin;
  throw new Problem(
    "unauthorized",
    "Unauthorized",
    "Send the admin token as Authorization: Bearer",
    { "www-authenticate": "Bearer" },
  );
}

/** The credential of a well-formed Bearer header, or null. */
function bearerOf(request: Request): string | null {
  const [scheme, token, ...rest] = (request.headers.get("authorization") ?? "").split(" ");
  const isWellFormed = scheme?.toLowerCase() === "bearer" && rest.length === 0;
  return isWellFormed && token !== undefined && token !== "" ? token : null;
}

/**
 * The JSON value of a body; undefined for an empty one.
 * @throws Problem 415 unless it is declared JSON, which a page cannot send elsewhere without asking
 *   first (CORS preflight); 413 beyond 1 MiB; 400 for what is no JSON, or has a key twice
 */
export async function readJson(request: Request): Promise<unknown> {
  const type = request.headers.get("content-type");
  if (type !== null && !/^application\/json\s*(;|$)/i.test(type.trim())) throw notJson();
  const bytes = await readBody(request);
  if (bytes.byteLength === 0) return undefined;
  if (type === null) throw notJson();
  try {
    return parseStrictly(decodeUtf8(bytes));
  } catch (cause) {
    if (cause instanceof DuplicateKeyError) {
      throw new Problem("bad_request", "The body names a field twice", `Send ${cause.key} once`);
    }
    throw new Problem("bad_request", "The body is not valid JSON", "Send one JSON object in UTF-8");
  }
}

async function readBody(request: Request): Promise<Uint8Array> {
  if (Number(request.headers.get("content-length") ?? 0) > BODY_BYTES_MAX) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > BODY_BYTES_MAX) throw tooLarge();
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks.map((chunk) => chunk.slice())).arrayBuffer());
}

function tooLarge(): Problem {
  return new Problem("body_too_large", "The body is too large", "Send at most 1 MiB");
}

function notJson(): Problem {
  return new Problem(
    "unsupported_media_type",
    "The body is not declared as JSON",
    "Send Content-Type: application/json",
  );
}

/** The host without its port, without the root's dot, in lower case. */
function hostname(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
}

function isAddress(name: string): boolean {
  if (name.startsWith("[") && name.endsWith("]")) return /^\[[0-9a-f:.]+\]$/.test(name);
  const parts = name.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
}
