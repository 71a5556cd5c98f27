/**
 * A call of the management API: who makes it, and what the audit says of it.
 *
 * Owns: request ids, and the entry that goes with a change or a refusal.
 * Does not own: the audit's rows and their chain (`store/`).
 * Invariant: an entry holds names, ids and codes; no body, and nothing that looks like a secret.
 */

import type { Context } from "hono";
import type { AdminConfig } from "../config/config.ts";
import { scrub } from "../emit/redact.ts";
import type { AuditEntry } from "../store/store.ts";

/**
 * What the audit calls a change. `login`: who calls was not found out; `request`: it was no change
 * that there is.
 */
export type AuditAction =
  | "login"
  | "request"
  | "project.create"
  | "project.update"
  | "project.delete"
  | "credential.put"
  | "credential.delete"
  | "token.mint"
  | "token.update"
  | "token.revoke"
  | "tokens.revoke"
  | "revocation.add"
  | "session.end"
  | "keys.rotate"
  | "signing_key.rotate"
  | "policy.put"
  | "policy.restore"
  | "policy.reset";

/** One call. Filled in as more becomes known of it. */
export interface Call {
  readonly requestId: string;
  readonly clientAddress: string;
  /** Null: nobody was authenticated. */
  admin: AdminConfig | null;
  /** Null: not below `/manage`, and nothing for the audit. */
  action: AuditAction | null;
  subject: string;
}

/** hono's context; `env` is the call. */
export type AdminContext = Context<{ Bindings: Call }>;

const SUBJECT_LENGTH_MAX = 250;
const PATH_LENGTH_MAX = 200;
const DETAIL_LENGTH_MAX = 500;

/** A call that nothing is known of but its request. */
export function newCall(request: Request, clientAddress: string): Call {
  return {
    requestId: requestIdOf(request),
    clientAddress,
    admin: null,
    action: null,
    subject: "",
  };
}

/** The client's own id where it can be written anywhere, else a new one. */
function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id") ?? "";
  const isSane = /^[\w.:-]{1,128}$/.test(given) && scrub(given) === given;
  return isSane ? given : crypto.randomUUID();
}

/** The entry of a change that is about to be made. */
export function entryOf(
  call: Call,
  details: AuditEntry["details"] = {},
  outcome: AuditEntry["outcome"] = "done",
): AuditEntry {
  return {
    actor: call.admin?.name ?? "unknown",
    action: call.action ?? "request",
    subject: scrub(call.subject).slice(0, SUBJECT_LENGTH_MAX),
    outcome,
    request_id: call.requestId,
    client_address: call.clientAddress,
    details,
  };
}

/** The same for another subject or action, as one call may change several things. */
export function entryFor(
  by: AuditEntry,
  subject: string,
  details: AuditEntry["details"] = {},
  action: AuditAction | null = null,
): AuditEntry {
  const shown = scrub(subject).slice(0, SUBJECT_LENGTH_MAX);
  return { ...by, action: action ?? by.action, subject: shown, details };
}

/**
 * New values for the details of a change: flags, numbers, names, lists of names, limits.
 * @param values nothing secret; those that are undefined are left out
 */
export function detailsOf(values: Readonly<Record<string, unknown>>): AuditEntry["details"] {
  const details: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [key, one] of Object.entries(value)) details[`${name}.${key}`] = detailOf(one);
    } else details[name] = detailOf(value);
  }
  return details;
}

function detailOf(value: unknown): string | number | boolean | null {
  if (value === null || typeof value === "number" || typeof value === "boolean") return value;
  const text = Array.isArray(value) ? value.join(", ") : String(value);
  return scrub(text).slice(0, DETAIL_LENGTH_MAX);
}

/** The entry of a call that was refused or failed. */
export function refusalEntry(
  call: Call,
  request: Request,
  { status, code }: { readonly status: number; readonly code: string },
): AuditEntry {
  const isNamed = call.action !== "login" && call.action !== "request";
  const path = scrub(new URL(request.url).pathname).slice(0, PATH_LENGTH_MAX);
  const what = isNamed ? {} : { method: request.method.slice(0, 20), path };
  return entryOf(call, { status, code, ...what }, status < 500 ? "refused" : "failed");
}
