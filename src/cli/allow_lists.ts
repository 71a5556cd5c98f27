/**
 * What a token or project may be used for, on a command line: `--model 'gpt-5*' --any-tier`.
 *
 * Owns: the spelling. Does not own: the check of the names, which is the management API's.
 * Invariant: what is said in two ways is refused before anything is sent.
 */

import type { AllowLists } from "../exchange.ts";
import { UsageError } from "./command.ts";

/** Options of whatever is made with lists. */
export const ALLOW_OPTIONS = {
  model: { type: "string", multiple: true },
  endpoint: { type: "string", multiple: true },
  tier: { type: "string", multiple: true },
} as const;

/** Options of whatever changes lists. */
export const ALLOW_CHANGE_OPTIONS = {
  ...ALLOW_OPTIONS,
  "any-model": { type: "boolean" },
  "any-endpoint": { type: "boolean" },
  "any-tier": { type: "boolean" },
} as const;

export const ALLOW_HELP = "Names of models, endpoints and tiers may end in *.";

type AllowKind = "model" | "endpoint" | "tier";

type AllowValues = { readonly [K in AllowKind]?: readonly string[] | undefined } & {
  readonly [K in `any-${AllowKind}`]?: boolean | undefined;
};

/**
 * The lists that the options name, whole, and as null those that are taken away.
 * @throws UsageError for a list that is both
 */
export function allowFields(values: AllowValues): Partial<AllowLists> {
  const lists = {
    models: listOf("model", values),
    endpoints: listOf("endpoint", values),
    tiers: listOf("tier", values),
  };
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list !== undefined));
}

function listOf(kind: AllowKind, values: AllowValues): readonly string[] | null | undefined {
  const names = values[kind];
  if (values[`any-${kind}`] !== true) return names;
  if (names === undefined) return null;
  throw new UsageError(`--${kind} and --any-${kind} exclude each other`);
}
