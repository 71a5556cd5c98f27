/**
 * Changing a token after it was signed: its label, and an override that narrows what it says.
 *
 * Owns: what may be changed. Does not own: how an override reaches the nodes (`auth/`, `store/`).
 * Invariant: an override never widens what was signed; what it takes away is in force before it is
 * stored, what it gives back after.
 */

import { narrowLimits, parseLimits } from "../config/limits.ts";
import { LIMIT_NAMES, type Limits } from "../exchange.ts";
import type { AuditEntry, TokenOverrideRow, TokenRow } from "../store/store.ts";
import type { AdminOptions } from "./context.ts";
import type { SentLimits } from "./fields.ts";
import { notFound, Problem } from "./problem.ts";
import { joinLimits } from "./token_limits.ts";

interface TokenChange {
  readonly label?: string | null;
  readonly is_active?: boolean;
  /** Null takes the override's entry away, as an entry of `limits` that is null does. */
  readonly max_requests?: number | null;
  readonly limits?: SentLimits;
}

/**
 * Changes a token.
 * @returns its row as it is afterwards
 * @throws Problem where nothing is asked for, a limit is wider than what was signed, or a token is
 *   to be active that is revoked or expired
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
  const details = { project_id: row.project_id, fields: names.join(", ") };
  const entry = { ...by, details };
  const { label, ...narrowing } = change;
  if (narrowing.is_active === true) requireUsable(row, options.clock.nowMs());
  // First what takes rights away: a label can wait.
  if (Object.keys(narrowing).length > 0) await putOverride(options, row, narrowing, entry);
  if (label === undefined) return row;
  const changed = await options.store.updateToken(row.id, { label }, entry);
  if (changed === null) throw notFound("Token", row.id, "/manage/tokens");
  return changed;
}

function requireUsable(row: TokenRow, nowMs: number): void {
  const why = row.revoked_at !== null ? "revoked" : row.expires_at <= nowMs ? "expired" : null;
  if (why === null) return;
  throw new Problem("conflict", `The token is ${why} and stays so`, "Mint a new one");
}

async function putOverride(
  options: AdminOptions,
  row: TokenRow,
  change: Omit<TokenChange, "label">,
  by: AuditEntry,
): Promise<void> {
  const { store, revocations, clock } = options;
  const former = await store.getTokenOverride(row.id);
  const wasActive = former?.is_active ?? true;
  const limits = changedLimits(former?.limits ?? {}, joinLimits(change));
  requireNarrower(row.limits, limits);
  const override: TokenOverrideRow = {
    jti: row.id,
    is_active: change.is_active ?? wasActive,
    limits,
    changed_at: clock.nowMs(),
    expires_at: row.expires_at,
  };
  revocations.override({
    ...override,
    is_active: wasActive && override.is_active,
    limits: narrowLimits(former?.limits ?? {}, limits),
  });
  await store.putTokenOverride(override, by);
  revocations.override(override);
}

/** The former entries with the sent ones in their place; those sent as null are gone. */
function changedLimits(former: Limits, sent: SentLimits): Limits {
  return parseLimits({ ...former, ...sent });
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
