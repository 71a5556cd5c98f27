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

/** The configuration table of the README: every key that does something in this version. */
export function configurationTable(): string {
  const all = describeKeys();
  const missing = all.filter(({ available }) => !available).map(({ path }) => `${path}.`);
  const rows = all
    .filter(({ path, available }) => available && !missing.some((one) => path.startsWith(one)))
    .filter(({ path }) => !/^(apis|default_api)\b/.test(path))
    // They have a section of their own.
    .filter(({ path }) => !path.startsWith("service_tier_policy."))
    // A provider's own timeouts, retry and circuit breaker are those of the top level again.
    .filter(({ path }) => !/^providers\[\]\.(timeouts|retry|circuit_breaker)\./.test(path))
    .map(({ path, defaultText, meaning }) => [`\`${path}\``, defaultText, meaning]);
  const lines = rows.map(
    (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`,
  );
  return ["| key | default | meaning |", "| --- | --- | --- |", ...lines].join("\n");
}

/** Keys that a file may hold and that do nothing yet, or are refused: for the README's list. */
export function unavailableKeys(): string[] {
  return describeKeys()
    .filter(({ path, available }) => !available && !/^(apis|health_check_interval)/.test(path))
    .map(({ path }) => path);
}
