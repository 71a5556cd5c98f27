/**
 * Reads `retry-after` (RFC 9110 section 10.2.3). Owns: both of its forms.
 * Invariant: what cannot be read is none; nothing is waited for longer than `WAIT_MS_MAX`.
 */

/** An upstream that says more is asked again all the same. */
const WAIT_MS_MAX = 3_600_000;

/**
 * Milliseconds to wait; null: the header is absent or says nothing.
 * @param nowMs since the epoch
 */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  const text = header?.trim() ?? "";
  const waitMs = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 1_000 : dateMs(text) - nowMs;
  return Number.isNaN(waitMs) ? null : Math.min(Math.max(waitMs, 0), WAIT_MS_MAX);
}

/** Of an HTTP date, as `Sun, 06 Nov 1994 08:49:37 GMT`. NaN: it is none. */
function dateMs(text: string): number {
  return /^[A-Za-z]{3},? .* GMT$/.test(text) ? Date.parse(text) : Number.NaN;
}
