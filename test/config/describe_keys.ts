/**
 * The keys of the configuration as a table, for the tests that compare them with the documentation.
 */

import { UNAVAILABLE_PATHS } from "../../src/config/availability.ts";
import type { Key, Shape } from "../../src/config/rule.ts";
import { ROOT_KEYS } from "../../src/config/schema.ts";

export interface KeyDescription {
  /** Such as `timeouts.dial` or `providers[].weight`. */
  readonly path: string;
  /** As it would be written; "" for none. */
  readonly defaultText: string;
  readonly meaning: string;
  /** False: accepted with a warning, or refused, in this version. */
  readonly available: boolean;
}

/** All keys, in the order of the schema, each before what lies below it. */
export function describeKeys(keys: Shape = ROOT_KEYS, prefix = ""): KeyDescription[] {
  return Object.entries(keys).flatMap(([name, one]) => {
    const path = `${prefix}${name}`;
    const { defaultText, meaning } = one;
    const available = !UNAVAILABLE_PATHS.includes(path);
    return [{ path, defaultText, meaning, available }, ...below(one, path)];
  });
}

function below({ rule: { parts } }: Key<unknown>, path: string): KeyDescription[] {
  if (parts.kind === "record") return describeKeys(parts.keys, `${path}.`);
  if (parts.kind === "scalar" || parts.item.parts.kind !== "record") return [];
  const each = parts.kind === "list" ? `${path}[].` : `${path}.*.`;
  return describeKeys(parts.item.parts.keys, each);
}
