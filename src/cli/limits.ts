/**
 * Limits on a command line: `--limit requests_per_minute=60 --no-limit tokens_per_minute`.
 *
 * Owns: the spelling. Does not own: which limits there are (`exchange.ts`), or their check.
 * Invariant: what is no limit is refused before anything is sent.
 */

import { parseLimits } from "../config/limits.ts";
import { LIMIT_NAMES, type LimitChanges } from "../exchange.ts";
import { UsageError } from "./command.ts";

/** Options of whatever sets limits. */
export const LIMIT_OPTIONS = { limit: { type: "string", multiple: true } } as const;

/** Options of whatever changes limits. */
export const LIMIT_CHANGE_OPTIONS = {
  ...LIMIT_OPTIONS,
  "no-limit": { type: "string", multiple: true },
} as const;

export const LIMITS_HELP = `Limits are whole numbers, money in millionths of a dollar, days in UTC:
${LIMIT_NAMES.map((name) => `  ${name}\n`).join("")}`;

interface LimitValues {
  readonly limit?: readonly string[] | undefined;
  readonly "no-limit"?: readonly string[] | undefined;
}

/**
 * The limits that the options set and take away; null where they name none.
 * @throws UsageError for an unknown one, one that is named twice, or a value that is none
 */
export function limitChanges(values: LimitValues): LimitChanges | null {
  const changes = new Map<string, number | null>();
  const change = (name: string, amount: number | null) => {
    if (changes.has(name)) throw new UsageError(`The limit ${name} is named twice`);
    changes.set(name, amount);
  };
  for (const text of values.limit ?? []) {
    const [, name, amount] = /^([^=]+)=(\d{1,16})$/.exec(text) ?? [];
    if (name === undefined) {
      throw new UsageError("--limit takes NAME=NUMBER, such as requests_per_minute=60");
    }
    change(name, Number(amount));
  }
  for (const name of values["no-limit"] ?? []) change(name, null);
  return changes.size === 0 ? null : checked(Object.fromEntries(changes));
}

function checked(changes: Record<string, number | null>): LimitChanges {
  try {
    const set = parseLimits(changes);
    const removed = LIMIT_NAMES.filter((name) => changes[name] === null);
    return { ...set, ...Object.fromEntries(removed.map((name) => [name, null])) };
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
