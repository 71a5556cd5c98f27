/**
 * Who may use the management API besides the holder of `admin_token`.
 *
 * Owns: `admin_tokens`. Does not own: what a role may do (`admin/`).
 * Invariant: a token tells its holder's name, and a name in the audit is one person's.
 */

import type { AdminConfig } from "./config.ts";
import type { RootValues } from "./schema.ts";

/** What the audit calls those who have no entry here. */
const RESERVED_NAMES = ["admin", "gateway", "unknown"];

/** The entries of `admin_tokens`; those that are wrong in themselves are left out. */
export function adminsOf(
  values: Pick<RootValues, "admin_token" | "admin_tokens">,
  problem: (path: string, message: string) => void,
): readonly AdminConfig[] {
  const names = new Set(RESERVED_NAMES);
  const tokens = new Set(values.admin_token === null ? [] : [values.admin_token]);
  return values.admin_tokens.flatMap(({ name, token, role }, index) => {
    const path = `admin_tokens[${index}]`;
    if (name === null || token === null) return [];
    if (names.has(name)) {
      problem(`${path}.name`, `${JSON.stringify(name)} is taken; each token has a name of its own`);
    }
    if (tokens.has(token)) problem(`${path}.token`, "is the token of another entry or admin_token");
    names.add(name);
    tokens.add(token);
    return [{ name, token, role }];
  });
}
