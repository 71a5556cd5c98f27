/**
 * Durations and sizes as people write them: `250ms`, `1h30m`, `64KiB`.
 *
 * Owns: their spelling, both ways. Does not own: which range makes sense; that is the caller's.
 * Invariant: a result is a whole, safe, non-negative number, and never a rounded one: what is
 * written above zero must not become the zero that turns a limit off.
 */

const MS_PER_UNIT: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
];

const BYTES_PER_UNIT: readonly (readonly [string, number])[] = [
  ["TiB", 1024 ** 4],
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
  ["TB", 1000 ** 4],
  ["GB", 1000 ** 3],
  ["MB", 1000 ** 2],
  ["KB", 1000],
  ["B", 1],
];

const NUMBER = /^\d{1,16}(?:\.\d{1,9})?$/;
const DURATION = /^(?:\d{1,16}(?:\.\d{1,9})?(?:ms|[smhd]))+$/;
const DURATION_PART = /([\d.]+)(ms|[smhd])/g;
const SIZE = /^(\d{1,16}(?:\.\d{1,9})?)([KMGT]iB|[KMGT]?B)$/;

/**
 * Milliseconds of a duration: a bare number is seconds, else units ms, s, m, h, d, as in `1h30m`.
 * Null where the text is no duration.
 */
export function parseDurationMs(text: string): number | null {
  if (NUMBER.test(text)) return whole(Number(text) * 1_000);
  if (!DURATION.test(text)) return null;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    totalMs += Number(amount) * factorOf(unit, MS_PER_UNIT);
  }
  return whole(totalMs);
}

/**
 * Bytes of a size: a bare number is bytes, else units B, KB (1000), KiB (1024) and so on up to T.
 * Null where the text is no size.
 */
export function parseSizeBytes(text: string): number | null {
  if (NUMBER.test(text)) return whole(Number(text));
  const match = SIZE.exec(text);
  if (match === null) return null;
  return whole(Number(match[1]) * factorOf(match[2], BYTES_PER_UNIT));
}

/** The shortest exact spelling that `parseDurationMs` reads back. */
export function formatDuration(durationMs: number): string {
  return format(durationMs, MS_PER_UNIT);
}

/** The shortest exact spelling that `parseSizeBytes` reads back. */
export function formatSize(bytes: number): string {
  return format(bytes, BYTES_PER_UNIT);
}

function factorOf(unit: string | undefined, units: readonly (readonly [string, number])[]): number {
  return units.find(([name]) => name === unit)?.[1] ?? Number.NaN;
}

function whole(value: number): number | null {
  const rounded = Math.round(value);
  // 1.1 s is 1100.0000000000002 ms in binary; half a millisecond is no such thing.
  const isWhole = Math.abs(rounded - value) < 1e-6;
  return isWhole && Number.isSafeInteger(rounded) ? rounded : null;
}

function format(value: number, units: readonly (readonly [string, number])[]): string {
  if (value === 0) return "0";
  const [unit, factor] = units.find(([, one]) => value % one === 0) ?? ["", 1];
  return `${value / factor}${unit}`;
}
