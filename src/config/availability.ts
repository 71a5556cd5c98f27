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
  /** Replaces the standard message. */
  readonly note?: string;
}

const isTrue = (value: unknown): boolean => value === true;
const isNotEmpty = (value: unknown): boolean => Array.isArray(value) && value.length > 0;
const isEnabled = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "enabled" in value && value.enabled === true;
const needsAnswers = (value: unknown): boolean =>
  Array.isArray(value) && value.some((cause) => cause === "429" || cause === "5xx");
const RETRY_NOTE = "429 and 5xx are retried on WebSocket dials only in this version";

function refused(container: string, ...keys: string[]): Gap[] {
  return keys.map((name) => ({ path: `${container}.${name}`, effect: "refuses" }));
}

const RESTRICTIONS = [
  "allowed_endpoints",
  "allowed_methods",
  "param_whitelist",
  "allowed_origins",
  "required_headers",
];

const GAPS: readonly Gap[] = [
  { path: "workers", effect: "warns", when: (value) => value !== 1 },
  { path: "health_check", effect: "warns", when: isEnabled },
  { path: "health_check_interval", effect: "warns" },
  { path: "circuit_breaker", effect: "warns" },
  { path: "telemetry", effect: "warns" },
  { path: "http_cache", effect: "warns", when: isEnabled },
  { path: "connect_tunnel_enabled", effect: "warns", when: isTrue },
  { path: "usage.sinks", effect: "warns", when: isNotEmpty },
  { path: "usage.retention", effect: "warns" },
  { path: "limits.on_store_down", effect: "warns" },
  { path: "retry.on", effect: "warns", when: needsAnswers, note: RETRY_NOTE },
  { path: "providers[].retry.on", effect: "warns", when: needsAnswers, note: RETRY_NOTE },
  { path: "providers[].connection", effect: "warns" },
  { path: "apis.*.connection", effect: "warns" },
  { path: "apis.*.timeouts.idle_connection", effect: "warns" },
  { path: "providers[].health_check", effect: "warns" },
  { path: "providers[].circuit_breaker", effect: "warns" },
  { path: "providers[].credential_ttl", effect: "warns" },
  { path: "providers[].credential_kind", effect: "warns" },
  { path: "tokens.algorithm", effect: "refuses", when: (value) => value !== "EdDSA" },
  { path: "cors.allowed_origins", effect: "refuses", when: isNotEmpty },
  { path: "service_tier_policy.rules", effect: "refuses", when: isNotEmpty },
  {
    path: "service_tier_policy.unknown_tier",
    effect: "refuses",
    when: (value) => value !== "pass",
  },
  ...refused("providers[]", "models", "allowed_models", "egress_proxy", ...RESTRICTIONS),
  ...refused("apis.*", ...RESTRICTIONS),
];

/** Paths with a gap, for the documentation. */
export const UNAVAILABLE_PATHS: readonly string[] = GAPS.map(({ path }) => path);

/** Reports which of the keys given are not available, as problems or as warnings. */
export function reportUnavailable(reader: Reader): void {
  for (const { at, value } of reader.seen) {
    if (at.path.endsWith(COMMAND)) {
      const path = at.path.slice(0, -COMMAND.length);
      reader.problem({ ...at, path }, `$(command) ${LATER}`);
      continue;
    }
    const gap = GAPS.find(({ path }) => path === patternOf(at.path));
    if (gap === undefined || !applies(gap, value)) continue;
    if (gap.effect === "refuses") reader.problem(at, LATER);
    else reader.warn(at, gap.note ?? `${LATER}, and does nothing`);
  }
}

const COMMAND = ".$(command)";
const LATER = "is not available in this version yet";

/** A restriction without a value may have lost it to a slip of the pen: refused like any other. */
function applies({ effect, when }: Gap, value: unknown): boolean {
  if (when !== undefined) return when(value);
  return value !== null || effect === "refuses";
}

function patternOf(path: string): string {
  return path.replace(/\[\d+\]/g, "[]").replace(/^apis(?:\.[\w-]+|\["[^"]*"\])/, "apis.*");
}
