import { describe, expect, test } from "bun:test";
import { BETA_HEADER, fastModeAsk, writeFastMode } from "../../src/provider/fast_mode.ts";

const FAST = "fast-mode-2026-02-01";

describe("fastModeAsk()", () => {
  test.each([
    FAST,
    `"${FAST}"`,
    `a-1;${FAST}`,
    `a-1 ${FAST}`,
    `a-1,${FAST}`,
    ` a-1 , ${FAST.toUpperCase()} `,
    "fast-mode-2030-01-01,b",
  ])("sees fast mode in %p", (betas) => {
    expect(fastModeAsk(betas)).toEqual({ field: BETA_HEADER, tier: "fast" });
  });

  test.each([null, "", "a-1,b-2", "not-fast-mode-2026", "fast-mode"])(
    "sees none in %p",
    (betas) => {
      expect(fastModeAsk(betas)).toBeNull();
    },
  );
});

describe("writeFastMode()", () => {
  test.each([
    [FAST, null],
    [`a-1,${FAST}`, "a-1"],
    [`${FAST}, a-1`, "a-1"],
    [`a-1, ${FAST} ,  b-2`, "a-1,  b-2"],
    [`${FAST},FAST-MODE-x`, null],
    [`"${FAST}",a-1;${FAST},b`, "b"],
    ["a-1 , b-2", "a-1 , b-2"],
  ])("takes only fast mode out of %p", (betas, left) => {
    expect(writeFastMode(betas, null)).toBe(left);
    expect(writeFastMode(betas, "flex")).toBe(left);
    if (left !== null) expect(writeFastMode(left, null)).toBe(left);
  });

  test("leaves the header as it is where priority may be sent", () => {
    expect(writeFastMode(` a-1,${FAST}`, "priority")).toBe(` a-1,${FAST}`);
  });
});
