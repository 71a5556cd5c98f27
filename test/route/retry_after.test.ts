import { expect, test } from "bun:test";

import { retryAfterMs } from "../../src/route/retry_after.ts";

const NOW_MS = Date.UTC(2026, 0, 1);

test.each([
  ["20", 20_000],
  [" 0.5 ", 500],
  ["0", 0],
  ["86400", 3_600_000],
  ["Thu, 01 Jan 2026 00:00:30 GMT", 30_000],
  ["Thu, 01 Jan 2026 09:00:30 GMT", 3_600_000],
  ["Wed, 31 Dec 2025 23:59:59 GMT", 0],
  ["soon", null],
  ["-1", null],
  ["1e9", null],
  ["", null],
  [null, null],
])("retryAfterMs() of %p is %p", (header, expected) => {
  expect(retryAfterMs(header, NOW_MS)).toBe(expected);
});
