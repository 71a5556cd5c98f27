import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { secretsEqual, StaticKeys } from "../../src/auth/static_key.ts";

describe("StaticKeys.match()", () => {
  const keys = new StaticKeys(["first-key", "second-key", ""]);

  test.each(["first-key", "second-key"])("names %p by the start of its digest", (key) => {
    const digest = createHash("sha256").update(key).digest("hex");
    expect(keys.match(key)).toEqual({
      kind: "static_key",
      projectId: "default",
      tokenId: `static_${digest.slice(0, 8)}`,
      expiresAtMs: null,
      issuedAtMs: null,
      restrictions: null,
    });
  });

  test.each(["first-ke", "first-key ", "FIRST-KEY", "third", "first-key\0"])(
    "does not know %p",
    (key) => {
      expect(keys.match(key)).toBeNull();
    },
  );

  test("knows nothing without keys", () => {
    expect(new StaticKeys([]).match("")).toBeNull();
  });
});

test("StaticKeys.has() knows a key by the id that its exchanges are recorded under", () => {
  const keys = new StaticKeys(["key-one"]);
  expect(keys.has(keys.match("key-one")?.tokenId ?? "")).toBe(true);
  expect([keys.has("static_00000000"), keys.has(null)]).toEqual([false, false]);
});

describe("secretsEqual()", () => {
  test.each([
    ["a", "a", true],
    ["", "", true],
    ["a", "b", false],
    ["a", "aa", false],
    ["a", "", false],
  ])("%p and %p: %p", (left, right, equal) => {
    expect(secretsEqual(left, right)).toBe(equal);
  });
});
