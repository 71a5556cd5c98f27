import { describe, expect, test } from "bun:test";

import { decodeBase64Url, encodeBase64Url } from "../../src/lib/encoding.ts";
import { Cipher, CipherError, type CipherFailure, keyIdOf } from "../../src/store/cipher.ts";
import { Prng } from "../support/prng.ts";

const prng = new Prng(1);
const KEY_A = { id: "a", key: prng.bytes(32) };
const KEY_B = { id: "b", key: prng.bytes(32) };
const SECRET = "sk-proj-\u{1f511}-0123456789";
const ROW = JSON.stringify(["credential", "c1", "p1", "openai"]);

async function failure(run: Promise<unknown>): Promise<CipherFailure | "none"> {
  try {
    await run;
    return "none";
  } catch (error) {
    expect(error).toBeInstanceOf(CipherError);
    if (!(error instanceof CipherError)) throw error;
    expect(error.message).not.toContain(SECRET);
    expect(error.message).not.toContain(encodeBase64Url(KEY_A.key));
    return error.failure;
  }
}

describe("Cipher", () => {
  test("decrypt() gives back what encrypt() was given; no ciphertext is like another", async () => {
    const cipher = new Cipher([KEY_A]);
    const texts = await Promise.all(Array.from({ length: 200 }, () => cipher.encrypt(SECRET, ROW)));
    expect(new Set(texts).size).toBe(200);
    for (const text of texts) {
      expect(text).toMatch(/^v1\.a\.[\w-]+\.[\w-]+$/);
      expect(text).not.toContain(SECRET);
      expect(await cipher.decrypt(text, ROW)).toBe(SECRET);
    }
  });

  test("decrypt() takes what any key of the ring encrypted; the first one encrypts", async () => {
    const old = await new Cipher([KEY_A]).encrypt(SECRET, ROW);
    const cipher = new Cipher([KEY_B, KEY_A]);
    expect(await cipher.decrypt(old, ROW)).toBe(SECRET);
    expect(keyIdOf(old)).toBe("a");
    expect(keyIdOf(await cipher.encrypt(SECRET, ROW))).toBe(cipher.newestId);
    expect([cipher.newestId, cipher.keyIds.toSorted()]).toEqual(["b", ["a", "b"]]);
    expect(() => keyIdOf(SECRET)).toThrow(CipherError);
  });

  test("decrypt() reads the ring again, once, for a key that it does not know", async () => {
    let ring = [KEY_A];
    let reads = 0;
    const cipher = new Cipher(ring, () => {
      reads += 1;
      return ring;
    });
    const made = await new Cipher([KEY_B]).encrypt(SECRET, ROW);
    expect([await failure(cipher.decrypt(made, ROW)), reads]).toEqual(["unknown_key", 1]);
    ring = [KEY_B, KEY_A];
    expect([await cipher.decrypt(made, ROW), reads]).toEqual([SECRET, 2]);
    expect([await cipher.decrypt(made, ROW), reads]).toEqual([SECRET, 2]);
  });

  test("encrypt() takes the newest key as it is now; older ones go on decrypting", async () => {
    let ring = [KEY_A];
    const cipher = new Cipher(ring, () => ring);
    const old = await cipher.encrypt(SECRET, ROW);
    ring = [KEY_B];
    expect(keyIdOf(await cipher.encrypt(SECRET, ROW))).toBe("b");
    expect(await cipher.decrypt(old, ROW)).toBe(SECRET);
  });

  test("reload() takes another key that came in under the same id", async () => {
    let ring = [KEY_A];
    const cipher = new Cipher(ring, () => ring);
    ring = [{ id: "a", key: KEY_B.key }];
    cipher.reload();
    const made = await cipher.encrypt(SECRET, ROW);
    expect(await new Cipher(ring).decrypt(made, ROW)).toBe(SECRET);
  });

  test("decrypt() refuses a changed character anywhere", async () => {
    const cipher = new Cipher([KEY_A]);
    const text = await cipher.encrypt(SECRET, ROW);
    const seen = new Set<string>();
    for (let index = 0; index < text.length; index++) {
      const changed = text[index] === "A" ? "B" : "A";
      const altered = text.slice(0, index) + changed + text.slice(index + 1);
      seen.add(await failure(cipher.decrypt(altered, ROW)));
    }
    const expected = ["malformed", "unknown_key", "wrong_key", "moved", "altered"];
    expect([...seen].toSorted()).toEqual(expected.toSorted());
  });

  test("decrypt() refuses a flipped bit in nonce, ciphertext and tag as altered", async () => {
    const cipher = new Cipher([KEY_A]);
    const parts = (await cipher.encrypt(SECRET, ROW)).split(".");
    const body = decodeBase64Url(parts.pop() ?? "");
    for (let bit = 0; bit < body.length * 8; bit++) {
      const flipped = body.slice();
      const index = bit >> 3;
      flipped[index] = (flipped[index] ?? 0) ^ (1 << (bit & 7));
      const altered = [...parts, encodeBase64Url(flipped)].join(".");
      expect(await failure(cipher.decrypt(altered, ROW))).toBe("altered");
    }
  });

  test("decrypt() tells a wrong key, an unknown one and a moved row apart", async () => {
    const text = await new Cipher([KEY_A]).encrypt(SECRET, ROW);
    const impostor = new Cipher([{ id: "a", key: KEY_B.key }]);
    expect(await failure(impostor.decrypt(text, ROW))).toBe("wrong_key");
    const other = new Cipher([KEY_B]);
    expect(await failure(other.decrypt(text, ROW))).toBe("unknown_key");
    const cipher = new Cipher([KEY_A]);
    for (const row of ["", `${ROW} `, ROW.replace("p1", "p2"), ROW.replace("openai", "gemini")]) {
      expect(await failure(cipher.decrypt(text, row))).toBe("moved");
    }
  });

  test.each<[string, CipherFailure]>([
    ["", "malformed"],
    [SECRET, "malformed"],
    ["v1", "malformed"],
    ["v1.a", "malformed"],
    ["v1.a.AAAA.AAAA", "malformed"],
    ["v1.a.AAAAAAAAAAAAAAAA.", "malformed"],
    ["v1.a.AAAAAAAAAAAAAAAA.AAAA=", "malformed"],
    ["v1.a.AAAAAAAAAAAAAAAA.AAAA.AAAA", "malformed"],
    ["v1..AAAAAAAAAAAAAAAA.AAAA", "malformed"],
    ["v2.a.AAAA.AAAA", "unknown_version"],
    ["v10.whatever", "unknown_version"],
  ])("decrypt(%j) is refused as %s", async (text, expected) => {
    const cipher = new Cipher([KEY_A]);
    expect(await failure(cipher.decrypt(text, ROW))).toBe(expected);
  });

  test("encrypt() refuses an empty secret", async () => {
    const cipher = new Cipher([KEY_A]);
    expect(await failure(cipher.encrypt("", ROW))).toBe("empty");
  });
});

describe("Cipher constructor", () => {
  test.each([
    [[], "keys generate"],
    [[KEY_A, { ...KEY_B, id: "a" }], "Two encryption keys"],
    [[{ id: "a", key: new Uint8Array(31) }], "31 bytes"],
    [[{ id: "a.b", key: KEY_A.key }], "letters, digits"],
    [[{ id: "", key: KEY_A.key }], "letters, digits"],
  ])("refuses the ring %#", (keys, message) => {
    expect(() => new Cipher(keys)).toThrow(message);
  });
});
