/**
 * What a token or a project may be used for, as management requests say it.
 *
 * Owns: the names of these fields, their value, and what the audit says of them. Does not own:
 * their check (`fields.ts`), nor holding anyone to them (`policy/`).
 * Invariant: what is not sent restricts nothing.
 */

import { parseLimits } from "../config/limits.ts";
import type { AllowLists, LimitChanges, Restrictions } from "../exchange.ts";
import type { Kinds } from "./fields.ts";

/** In the shape of a body. */
export const RESTRICTION_FIELDS = {
  models: "names",
  endpoints: "names",
  tiers: "names",
  limits: "limits",
} as const satisfies Kinds;

/** The restrictions of something new. */
export function restrictionsOf({
  models = null,
  endpoints = null,
  tiers = null,
  limits = {},
}: Partial<AllowLists> & { readonly limits?: LimitChanges }): Restrictions {
  return { models, endpoints, tiers, limits: parseLimits(limits) };
}

/** Those that restrict, for `detailsOf`. */
export function restrictionDetails({ models, endpoints, tiers, limits }: Restrictions): object {
  const lists = Object.entries({ models, endpoints, tiers });
  return { ...Object.fromEntries(lists.filter(([, list]) => list !== null)), limits };
}
