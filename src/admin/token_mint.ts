/**
 * Minting a token: its lifetime, its restrictions, and the moment that it is issued.
 *
 * Owns: which tokens are made. Does not own: their text and signature (`auth/token.ts`).
 * Invariant: a token is stored before it is shown, and is never revoked by a time that has passed
 * already when it is asked for.
 */

import type { AllowLists, LimitChanges, Restrictions } from "../exchange.ts";
import type { AuditEntry, TokenRow } from "../store/store.ts";
import { detailsOf, entryFor } from "./call.ts";
import { type AdminOptions, projectOf } from "./context.ts";
import { Problem } from "./problem.ts";
import { restrictionDetails, restrictionsOf } from "./restrictions.ts";
import { requireWritten } from "./take_away.ts";
import { rfc3339 } from "./time.ts";
import { joinLimits } from "./token_limits.ts";

const MINUTE_MS = 60_000;
/** Longer than the rest of a second, less than anybody waits for an answer. */
const ISSUE_WAIT_MAX_MS = 2_000;

interface MintFields extends Partial<AllowLists> {
  readonly project_id: string;
  readonly duration_minutes: number;
  readonly label?: string | null;
  readonly max_requests?: number | null;
  readonly limits?: LimitChanges;
}

/**
 * Makes and stores a token.
 * @returns `{id, token, expires_at}`
 * @throws Problem for a lifetime out of range, a project that is not there or not active, or
 *   restrictions that are too long
 */
export async function mintToken(
  options: AdminOptions,
  fields: MintFields,
  by: AuditEntry,
): Promise<object> {
  const { project_id: projectId, label = null } = fields;
  const lifetimeMs = lifetime(options, fields.duration_minutes);
  const restrictions = restrictionsOf({ ...fields, limits: joinLimits(fields) });
  await requireActive(options, projectId);
  await requireWritten(options, `project:${projectId}`);
  await waitOutRevocation(options, projectId);
  const minted = await mint(options, projectId, lifetimeMs, restrictions);
  // Stored before it is shown: a token that nobody recorded could not be listed and revoked.
  const row = {
    ...restrictions,
    id: minted.jti,
    project_id: projectId,
    label,
    created_at: minted.issuedAtMs,
    expires_at: minted.expiresAtMs,
    revoked_at: null,
    last_used_at: null,
    request_count: 0,
    cache_hit_count: 0,
  };
  await options.store.insertToken(row, entryFor(by, `token:${row.id}`, detailsOfToken(row)));
  return { id: row.id, token: minted.token, expires_at: rfc3339(row.expires_at) };
}

/** What the audit says of a new token. */
function detailsOfToken(row: TokenRow): AuditEntry["details"] {
  const { project_id, label } = row;
  const expires_at = rfc3339(row.expires_at);
  return detailsOf({
    project_id,
    expires_at,
    label: label ?? undefined,
    ...restrictionDetails(row),
  });
}

async function requireActive(options: AdminOptions, projectId: string): Promise<void> {
  const project = await projectOf(options, projectId);
  if (project.is_active) return;
  const advice = `PATCH /manage/projects/${projectId} with {"is_active": true} first`;
  throw new Problem("project_inactive", "Cannot create tokens for inactive projects", advice);
}

function lifetime(options: AdminOptions, minutes: number): number {
  const minutesMax = Math.floor(options.tokenLifetimeMaxMs / MINUTE_MS);
  if (minutes <= minutesMax) return minutes * MINUTE_MS;
  const advice = `Send a whole number from 1 to ${minutesMax} (tokens.max_lifetime)`;
  throw new Problem("bad_request", '"duration_minutes" is out of range', advice);
}

/**
 * Claims have whole seconds, so a token of a second in which the project's tokens were revoked
 * would be revoked too.
 */
async function waitOutRevocation(options: AdminOptions, projectId: string): Promise<void> {
  const { clock, revocations, store } = options;
  // Another node may have revoked them this moment.
  await revocations.load(store);
  for (;;) {
    const nowMs = clock.nowMs();
    const beforeMs = revocations.issuedBefore(projectId) ?? -1;
    const issuedAtMs = nowMs - (nowMs % 1000);
    if (issuedAtMs > beforeMs) return;
    const waitMs = beforeMs - (beforeMs % 1000) + 1000 - nowMs;
    if (waitMs > ISSUE_WAIT_MAX_MS) throw revokedAhead(beforeMs);
    const waited = Promise.withResolvers<void>();
    clock.after(waitMs, waited.resolve);
    await waited.promise;
  }
}

function revokedAhead(beforeMs: number): Problem {
  const message = `The project's tokens are revoked up to ${rfc3339(beforeMs)}`;
  return new Problem("conflict", message, "This node's clock is behind: set it right, or wait");
}

async function mint(
  options: AdminOptions,
  projectId: string,
  lifetimeMs: number,
  restrictions: Restrictions,
) {
  try {
    return await options.tokens.mint(projectId, lifetimeMs, restrictions);
  } catch (error) {
    // The lifetime was checked, so it is the length.
    if (!(error instanceof RangeError)) throw error;
    throw new Problem("bad_request", error.message, "Shorten the lists of names");
  }
}
