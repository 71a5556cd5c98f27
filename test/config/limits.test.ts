import { describe, expect, test } from "bun:test";

import { changeLimits, narrowLimits, parseLimits } from "../../src/config/limits.ts";

describe("parseLimits()", () => {
  test("takes known limits, and null for none", () => {
    const limits = { max_requests: 5, budget_micros_per_day: 2_000_000, session_turns: null };
    expect(parseLimits(limits)).toEqual({ max_requests: 5, budget_micros_per_day: 2_000_000 });
  });

  test.each([
    [null, "must be a JSON object"],
    [[], "must be a JSON object"],
    [{ requests_per_hour: 1 }, 'has no "requests_per_hour"'],
    [{ max_requests: 0 }, "limits.max_requests must be a whole number from 1"],
    [{ max_requests: 1.5 }, "limits.max_requests must be"],
    [{ max_requests: "5" }, "limits.max_requests must be"],
    [{ max_requests: 2 ** 53 }, "limits.max_requests must be"],
  ])("refuses %p", (value, reason) => {
    expect(() => parseLimits(value)).toThrow(reason);
  });
});

test("changeLimits() sets what is named, takes away what is null, and keeps the rest", () => {
  const limits = { max_requests: 5, session_turns: 9, tokens_per_minute: 100 };
  const changes = { max_requests: 7, session_turns: null, session_seconds: null };
  expect(changeLimits(limits, changes)).toEqual({ max_requests: 7, tokens_per_minute: 100 });
  expect(() => changeLimits(limits, { max_requests: 0 })).toThrow("whole number from 1");
});

describe("narrowLimits()", () => {
  test("takes the lower of two, and either where the other says nothing", () => {
    const left = { max_requests: 5, session_turns: 9 };
    const right = { max_requests: 7, session_turns: 2, tokens_per_minute: 100 };
    const both = { max_requests: 5, session_turns: 2, tokens_per_minute: 100 };
    expect(narrowLimits(left, right)).toEqual(both);
    expect(narrowLimits(right, left)).toEqual(both);
  });
});
