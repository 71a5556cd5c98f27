/**
 * What the configuration can say and this version cannot do yet: a table that shrinks.
 *
 * Owns: which keys warn and which are refused. Does not own: their shape, which is checked in full.
 * Invariant: a key that restricts is refused, never ignored: whoever wrote it relies on it.
 */

import type { Reader } from "./reader.ts";

interface Gap {
  /** `[]` stands for any index, `apis.*` for any entry. */
  readonly path: string;
  readonly effect: "warns" | "refuses";
  /** Whether this value needs the missing function; without it, every value does. */
  readonly when?: (value: unknown) => boolean;
}

const isTrue = (value: unknown): boolean => value === true;
const isNotEmpty = (value: unknown): boolean => Array.isArray(value) && value.length > 0;
const isEnabled = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "enabled" in value && value.enabled === true;

function refused(container: string, ...keys: string[]): Gap[] {
  return keys.map((name) => ({ path: `${container}.${name}`, effect: "refuses" }));
}

const GAPS: readonly Gap[] = [
  { path: "workers", effect: "warns", when: (value) => value !== 1 },
  { path: "telemetry", effect: "warns" },
  { path: "http_cache", effect: "warns", when: isEnabled },
  { path: "connect_tunnel_enabled", effect: "warns", when: isTrue },
  { path: "usage.sinks", effect: "warns", when: isNotEmpty },
  { path: "usage.retention", effect: "warns" },
  ...refused("providers[]", "models", "allowed_models"),
];

/** Keys that restrict: one without a value may have lost it to a slip of the pen. */
const NEED_VALUES: readonly string[] = [
  "cors.allowed_origins",
  "providers[].allowed_endpoints",
  "providers[].allowed_methods",
  ...["providers[]", "apis.*"].flatMap((one) =>
    ["param_whitelist", "allowed_origins", "required_headers"].map((name) => `${one}.${name}`),
  ),
];

/** Paths with a gap, for the documentation. */
export const UNAVAILABLE_PATHS: readonly string[] = GAPS.map(({ path }) => path);

/** Reports which of the keys given are not available, as problems or as warnings. */
export function reportUnavailable(reader: Reader): void {
  for (const { at, value } of reader.seen) {
    const pattern = patternOf(at.path);
    if (value === null && NEED_VALUES.includes(pattern)) reader.problem(at, NO_VALUE);
    const gap = GAPS.find(({ path }) => path === pattern);
    if (gap === undefined || !applies(gap, value)) continue;
    if (gap.effect === "refuses") reader.problem(at, LATER);
    else reader.warn(at, `${LATER}, and does nothing`);
  }
}

const NO_VALUE = "has no value: leave it out for no restriction, or say what is allowed";
const LATER = "is not available in this version yet";

/** A restriction is refused also without a value. */
function applies({ effect, when }: Gap, value: unknown): boolean {
  if (when !== undefined) return when(value);
  return value !== null || effect === "refuses";
}

function patternOf(path: string): string {
  return path.replace(/\[\d+\]/g, "[]").replace(/^apis(?:\.[\w-]+|\["[^"]*"\])/, "apis.*");
}
