import { describe, expect, test } from "bun:test";

import {
  formatDuration,
  formatSize,
  parseDurationMs,
  parseSizeBytes,
} from "../../src/lib/duration.ts";
import { Prng } from "../support/prng.ts";

describe("parseDurationMs()", () => {
  test.each([
    ["0", 0],
    ["10", 10_000],
    ["1.5", 1_500],
    ["250ms", 250],
    ["10s", 10_000],
    ["0.5s", 500],
    ["15m", 900_000],
    ["2h", 7_200_000],
    ["365d", 31_536_000_000],
    ["1h30m", 5_400_000],
    ["1m30s", 90_000],
  ])("reads %p as %p ms", (text, durationMs) => {
    expect(parseDurationMs(text)).toBe(durationMs);
  });

  test.each([
    "",
    "-1",
    "+1",
    "1e3",
    "10 s",
    "s",
    "10S",
    "10 ",
    "1w",
    "ms",
    "1..5s",
    "NaN",
    "Infinity",
    "0x10",
    "1,5s",
    "10s-",
    "99999999999999999d",
  ])("refuses %p", (text) => {
    expect(parseDurationMs(text)).toBeNull();
  });

  test("refuses to round, least of all to the zero that turns a timeout off", () => {
    expect(["0.0001", "0.4ms", "1.5ms"].map(parseDurationMs)).toEqual([null, null, null]);
    expect(["0.0", "1.1", "0.001s"].map(parseDurationMs)).toEqual([0, 1_100, 1]);
  });

  test("refuses what no integer can hold exactly", () => {
    expect(parseDurationMs("9999999999999999d")).toBeNull();
  });
});

describe("parseSizeBytes()", () => {
  test.each([
    ["0", 0],
    ["4096", 4_096],
    ["64KiB", 65_536],
    ["16MiB", 16_777_216],
    ["1GiB", 1_073_741_824],
    ["1TiB", 1_099_511_627_776],
    ["1.5KiB", 1_536],
    ["10KB", 10_000],
    ["5MB", 5_000_000],
    ["12B", 12],
  ])("reads %p as %p bytes", (text, bytes) => {
    expect(parseSizeBytes(text)).toBe(bytes);
  });

  test.each([
    "",
    "-1",
    "1.5B",
    "1 KiB",
    "1kib",
    "1K",
    "1Mib",
    "KiB",
    "1e3",
    "1PiB",
    "9999999999999999TiB",
  ])("refuses %p", (text) => {
    expect(parseSizeBytes(text)).toBeNull();
  });
});

test("formatDuration() and formatSize() write what reads back as the same number", () => {
  const prng = new Prng(7);
  const factors = [1, 10, 1_000, 60_000, 86_400_000];
  for (let round = 0; round < 500; round++) {
    const value = prng.int(0, 5_000) * prng.pick(factors);
    expect(parseDurationMs(formatDuration(value))).toBe(value);
    expect(parseSizeBytes(formatSize(value))).toBe(value);
  }
});

test("formatDuration() and formatSize() take the largest unit that is exact", () => {
  expect([0, 1_200, 10_000, 900_000].map(formatDuration)).toEqual(["0", "1200ms", "10s", "15m"]);
  expect([0, 1_024, 1_000, 1_025].map(formatSize)).toEqual(["0", "1KiB", "1KB", "1025B"]);
});
