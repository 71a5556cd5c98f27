/**
 * Times as the management API writes and reads them.
 *
 * Owns: the accepted spellings. Does not own: what time it is.
 * Invariant: what is written is RFC 3339 in UTC with milliseconds.
 */

import { parseDurationMs } from "../lib/duration.ts";
import { Problem } from "./problem.ts";

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
/** An epoch this large would be the year 5138 in seconds: it is in milliseconds. */
const EPOCH_MS_MIN = 100_000_000_000;

export function rfc3339(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

export function rfc3339OrNull(timeMs: number | null): string | null {
  return timeMs === null ? null : rfc3339(timeMs);
}

/**
 * Milliseconds since the epoch of RFC 3339, an epoch in seconds or milliseconds, or `1h` for an
 * hour before now.
 * @throws Problem 400 naming the parameter
 */
export function parseTime(name: string, text: string, nowMs: number): number {
  if (/^\d{1,15}$/.test(text)) {
    const epoch = Number(text);
    return epoch < EPOCH_MS_MIN ? epoch * 1000 : epoch;
  }
  // Only with a unit: a bare number is an epoch.
  const ageMs = /[a-z]$/.test(text) ? parseDurationMs(text) : null;
  if (ageMs !== null) return nowMs - ageMs;
  const timeMs = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(timeMs)) return timeMs;
  throw new Problem(
    "bad_request",
    `"${name}" is no time`,
    "Send RFC 3339 such as 2026-01-31T12:00:00Z, seconds since the epoch, or an age such as 1h",
  );
}
