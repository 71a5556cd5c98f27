import { describe, expect, test } from "bun:test";
import { joinLimits } from "../../src/admin/token_limits.ts";

describe("joinLimits()", () => {
  test.each([
    [{}, {}],
    [{ max_requests: 5 }, { max_requests: 5 }],
    [{ max_requests: null }, { max_requests: null }],
    [
      { limits: { session_turns: 1 }, max_requests: 5 },
      { session_turns: 1, max_requests: 5 },
    ],
    [{ limits: { session_turns: null } }, { session_turns: null }],
  ])("makes of %j one set", (fields, joined) => {
    expect(joinLimits(fields)).toEqual(joined);
  });

  test.each([1, null])("refuses max_requests %p among limits", (max_requests) => {
    expect(() => joinLimits({ limits: { max_requests } })).toThrow("not one of");
  });
});
