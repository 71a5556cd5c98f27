import { describe, expect, test } from "bun:test";
import { looksMasked, maskKey, openCredential, sealCredential } from "../../src/auth/vault.ts";
import { FakeCipher } from "../support/fake_cipher.ts";

const ROW = { id: "c1", project_id: "p1", provider: "openai" };

describe("openCredential()", () => {
  test("reads what sealCredential() wrote for the same row", async () => {
    const cipher = new FakeCipher();
    const ciphertext = await sealCredential(cipher, ROW, "sk-secret");
    expect(await openCredential(cipher, { ...ROW, ciphertext })).toBe("sk-secret");
  });

  test.each([{ id: "c2" }, { project_id: "p2" }, { provider: "gemini" }, { id: '1","p' }])(
    "refuses a ciphertext moved to %p",
    async (change) => {
      const cipher = new FakeCipher();
      const ciphertext = await sealCredential(cipher, ROW, "sk-secret");
      await expect(openCredential(cipher, { ...ROW, ...change, ciphertext })).rejects.toThrow();
    },
  );
});

describe("maskKey()", () => {
  test.each([
    ["", "****"],
    ["abc", "****"],
    ["sk-12345678", "****"],
    ["sk-123456789", "****6789"],
    ["sk-proj-abcdefghijklmno", "****lmno"],
    ["sk-proj-abcdefghijklmnop", "sk-p****mnop"],
    ["A".repeat(4096), "AAAA****AAAA"],
  ])("%p is shown as %p", (key, masked) => {
    expect(maskKey(key)).toBe(masked);
    expect(looksMasked(masked)).toBe(true);
  });
});

describe("looksMasked()", () => {
  test.each(["sk-p****mnop", "sk-proj-...mnop", "sk-…", "••••"])("%p does", (key) => {
    expect(looksMasked(key)).toBe(true);
  });

  test.each(["sk-proj-abcdefghijklmnop", "AIzaSyA-1_2", "a.b.c", "a*b"])("%p does not", (key) => {
    expect(looksMasked(key)).toBe(false);
  });
});
