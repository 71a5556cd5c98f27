/**
 * Limits as they come from outside: a token's claims, the management API, a row of the store.
 *
 * Owns: their check, their change, and what two sets of them amount to together. Does not own:
 * holding anyone to them (`policy/`).
 * Invariant: what is not a known limit with a sensible value is refused, never ignored.
 */

import { LIMIT_NAMES, type LimitChanges, type LimitName, type Limits } from "../exchange.ts";

/**
 * The limits in a JSON object; a null value is no limit, like an absent one.
 * @throws TypeError that names the entry and says what it must be
 */
export function parseLimits(value: unknown): Limits {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError("limits must be a JSON object");
  }
  const limits: { [N in LimitName]?: number } = {};
  for (const [name, amount] of Object.entries(value)) {
    if (!isLimitName(name)) {
      throw new TypeError(`limits has no "${name.slice(0, 40)}". Known: ${LIMIT_NAMES.join(", ")}`);
    }
    if (amount === null) continue;
    if (!Number.isSafeInteger(amount) || amount < 1) {
      throw new TypeError(`limits.${name} must be a whole number from 1, or null for no limit`);
    }
    limits[name] = amount;
  }
  return limits;
}

/** What becomes of limits that are changed. */
export function changeLimits(limits: Limits, changes: LimitChanges): Limits {
  return parseLimits({ ...limits, ...changes });
}

/** Both sets at once: of each limit the lower one. */
export function narrowLimits(left: Limits, right: Limits): Limits {
  const limits: { [N in LimitName]?: number } = { ...left };
  for (const name of LIMIT_NAMES) {
    const amount = right[name];
    if (amount !== undefined) limits[name] = Math.min(limits[name] ?? amount, amount);
  }
  return limits;
}

function isLimitName(name: string): name is LimitName {
  return LIMIT_NAMES.some((known) => known === name);
}
