import { describe, expect, test } from "bun:test";
import { parseTime, rfc3339, rfc3339OrNull } from "../../src/admin/time.ts";

const NOW_MS = 1_795_190_000_000;

describe("parseTime()", () => {
  test.each([
    ["2026-01-31T12:00:00Z", Date.UTC(2026, 0, 31, 12)],
    ["2026-01-31T12:00:00.250Z", Date.UTC(2026, 0, 31, 12) + 250],
    ["2026-01-31 12:00:00+02:00", Date.UTC(2026, 0, 31, 10)],
    ["1795190000", NOW_MS],
    ["1795190000123", NOW_MS + 123],
    ["0", 0],
    ["1h", NOW_MS - 3_600_000],
    ["1h30m", NOW_MS - 5_400_000],
    ["7d", NOW_MS - 7 * 86_400_000],
    ["250ms", NOW_MS - 250],
  ])("reads %p", (text, timeMs) => {
    expect(parseTime("since", text, NOW_MS)).toBe(timeMs);
  });

  test.each([
    "",
    "h",
    "1.5",
    "1w",
    "now",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "2026-02-30T99:00:00Z",
    "-5",
  ])("refuses %p by the parameter's name", (text) => {
    expect(() => parseTime("since", text, NOW_MS)).toThrow('"since" is no time');
  });
});

describe("rfc3339()", () => {
  test("is UTC with milliseconds", () => {
    expect(rfc3339(NOW_MS)).toBe("2026-11-20T15:53:20.000Z");
    expect(rfc3339OrNull(null)).toBeNull();
  });
});
