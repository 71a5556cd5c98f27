/**
 * What the configuration can say and this version cannot do yet: a table that shrinks.
 *
 * Owns: which keys warn, and which must not stand there without a value. Does not own: their shape,
 * which is checked in full.
 * Invariant: a key that restricts is never ignored: whoever wrote it relies on it.
 */

import type { Reader } from "./reader.ts";

interface Gap {
  /** `[]` stands for any index, `apis.*` for any entry. */
  readonly path: string;
  /** Whether this value needs the missing function; without it, every value does. */
  readonly when?: (value: unknown) => boolean;
}

const isTrue = (value: unknown): boolean => value === true;
const isNotEmpty = (value: unknown): boolean => Array.isArray(value) && value.length > 0;
const isEnabled = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "enabled" in value && value.enabled === true;

const GAPS: readonly Gap[] = [
  { path: "workers", when: (value) => value !== 1 },
  { path: "telemetry" },
  { path: "http_cache", when: isEnabled },
  { path: "connect_tunnel_enabled", when: isTrue },
  { path: "usage.sinks", when: isNotEmpty },
  { path: "usage.retention" },
];

/** Keys that restrict: one without a value may have lost it to a slip of the pen. */
const NEED_VALUES: readonly string[] = [
  "cors.allowed_origins",
  "providers[].allowed_endpoints",
  "providers[].allowed_methods",
  "providers[].allowed_models",
  ...["providers[]", "apis.*"].flatMap((one) =>
    ["param_whitelist", "allowed_origins", "required_headers"].map((name) => `${one}.${name}`),
  ),
];

/** Paths with a gap, for the documentation. */
export const UNAVAILABLE_PATHS: readonly string[] = GAPS.map(({ path }) => path);

/** Warns of keys that are not available, and reports restrictions that have no value. */
export function reportUnavailable(reader: Reader): void {
  for (const { at, value } of reader.seen) {
    const pattern = patternOf(at.path);
    if (value === null && NEED_VALUES.includes(pattern)) reader.problem(at, NO_VALUE);
    const gap = GAPS.find(({ path }) => path === pattern);
    if (gap === undefined || value === null || gap.when?.(value) === false) continue;
    reader.warn(at, "is not available in this version yet, and does nothing");
  }
}

const NO_VALUE = "has no value: leave it out for no restriction, or say what is allowed";

function patternOf(path: string): string {
  return path.replace(/\[\d+\]/g, "[]").replace(/^apis(?:\.[\w-]+|\["[^"]*"\])/, "apis.*");
}
