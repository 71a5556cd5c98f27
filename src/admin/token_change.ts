/**
 * Changing a token after it was signed: its label, and an override that narrows what it says.
 *
 * Owns: what may be changed. Does not own: how an override reaches the nodes (`auth/`, `store/`).
 * Invariant: an override never widens what was signed; what it takes away is in force before it is
 * stored, what it gives back after.
 */

import { changeLimits, narrowLimits, parseLimits } from "../config/limits.ts";
import { LIMIT_NAMES, type LimitChanges, type Limits } from "../exchange.ts";
import type { AuditEntry, TokenRow } from "../store/store.ts";
import { detailsOf } from "./call.ts";
import type { AdminOptions } from "./context.ts";
import { notFound, Problem } from "./problem.ts";
import { requireWritten, takeAway } from "./take_away.ts";
import { joinLimits } from "./token_limits.ts";

interface TokenChange {
  readonly label?: string | null;
  readonly is_active?: boolean;
  /** Null takes the override's entry away, as an entry of `limits` that is null does. */
  readonly max_requests?: number | null;
  readonly limits?: LimitChanges;
}

/**
 * Changes a token.
 * @returns its row as it is afterwards
 * @throws Problem where nothing is asked for, a limit is wider than what was signed, or a token is
 *   to be active that is revoked or expired; 503 where it is deactivated, and that is stored later
 */
export async function changeToken(
  options: AdminOptions,
  row: TokenRow,
  change: TokenChange,
  by: AuditEntry,
): Promise<TokenRow> {
  const names = Object.keys(change);
  if (names.length === 0) {
    const advice = "Known fields: label, is_active, max_requests, limits";
    throw new Problem("bad_request", "No fields to update", advice);
  }
  const { label, is_active, ...limited } = change;
  const limits = joinLimits(limited);
  requireNarrower(row.limits, parseLimits(limits));
  const { project_id } = row;
  if (is_active === true) requireUsable(row, options.clock.nowMs());
  // First what takes rights away: the rest can wait.
  if (is_active === false) await deactivateToken(options, row, by);
  if (is_active === true || Object.keys(limited).length > 0) {
    await requireWritten(options, by.subject);
    const override = { limits, ...(is_active === true ? { is_active } : {}) };
    const details = detailsOf({ project_id, ...override });
    await changeOverride(options, row, override, { ...by, details });
  }
  if (label === undefined) return row;
  const entry = { ...by, details: detailsOf({ project_id, label }) };
  const changed = await options.store.updateToken(row.id, { label }, entry);
  if (changed === null) throw notFound("Token", row.id, "/manage/tokens");
  return changed;
}

/**
 * Deactivates a token, also one of which nothing but its id is known.
 * @throws Problem 503 where that is in force, and stored later
 */
export function deactivateToken(
  { pending, revocations, store, clock, tokenLifetimeMaxMs }: AdminOptions,
  { id, project_id, expires_at }: Pick<TokenRow, "id"> & Partial<TokenRow>,
  by: AuditEntry,
): Promise<void> {
  const nowMs = clock.nowMs();
  // The last token that could have this id.
  const token = { id, expires_at: expires_at ?? nowMs + tokenLifetimeMaxMs };
  return takeAway(
    { pending },
    {
      entry: { ...by, details: detailsOf({ project_id, is_active: false }) },
      enforce: () => revocations.suspend(id, token.expires_at),
      async write(entry) {
        const change = { is_active: false };
        revocations.override(await store.changeTokenOverride(token, change, nowMs, entry));
      },
    },
  );
}

function requireUsable(row: TokenRow, nowMs: number): void {
  const why = row.revoked_at !== null ? "revoked" : row.expires_at <= nowMs ? "expired" : null;
  if (why === null) return;
  throw new Problem("conflict", `The token is ${why} and stays so`, "Mint a new one");
}

async function changeOverride(
  { store, revocations, clock }: AdminOptions,
  row: TokenRow,
  change: { readonly limits: LimitChanges; readonly is_active?: true },
  by: AuditEntry,
): Promise<void> {
  const former = revocations.overrideOf(row.id);
  const formerLimits = former?.limits ?? {};
  revocations.override({
    jti: row.id,
    is_active: former?.is_active ?? true,
    limits: narrowLimits(formerLimits, changeLimits(formerLimits, change.limits)),
    // Whatever is stored from now on is later.
    changed_at: former?.changed_at ?? 0,
    expires_at: row.expires_at,
  });
  // Merged there: what another node changed this moment stays.
  revocations.override(await store.changeTokenOverride(row, change, clock.nowMs(), by));
}

function requireNarrower(signed: Limits, limits: Limits): void {
  for (const name of LIMIT_NAMES) {
    const amountMax = signed[name];
    const amount = limits[name];
    if (amount === undefined || amountMax === undefined || amount <= amountMax) continue;
    const field = name === "max_requests" ? name : `limits.${name}`;
    const advice = `Send ${amountMax} or less, or mint a new token`;
    throw new Problem("bad_request", `"${field}" is wider than the token says`, advice);
  }
}
