/** One signing key of either algorithm. What a forgery meets: token_attacks.test. */

import { describe, expect, spyOn, test } from "bun:test";
import {
  hasShapeOf,
  isSignedBy,
  makeDecoy,
  makeSigningKey,
  openSigningKey,
  sign,
} from "../../src/auth/token_key.ts";
import { FakeCipher } from "../support/fake_cipher.ts";
import { strangersKey } from "../support/forge.ts";

const NOW_MS = 1_795_190_000_000;
const ALGORITHMS = ["EdDSA", "HS256"] as const;
const cipher = new FakeCipher();

async function madeAndOpened(algorithm: (typeof ALGORITHMS)[number]) {
  return await openSigningKey(await makeSigningKey(algorithm, NOW_MS, cipher), cipher);
}

describe.each(ALGORITHMS)("an %s key", (algorithm) => {
  test("sign() begins with the key's header, isSignedBy() tells it from another's", async () => {
    const key = await madeAndOpened(algorithm);
    const other = await madeAndOpened(algorithm);
    const jwt = await sign(key, '{"a":1}');
    expect(jwt.split(".")[0]).toBe(key.header);
    expect(JSON.parse(atob(key.header))).toEqual({ alg: algorithm, typ: "JWT", kid: key.kid });
    expect(hasShapeOf(key, jwt)).toBe(true);
    expect(await isSignedBy(key, jwt)).toBe(true);
    expect(await isSignedBy(other, jwt)).toBe(false);
    expect(other.kid).not.toBe(key.kid);
  });

  test("makeDecoy() checks a signature of it, and finds it wrong", async () => {
    const decoy = await makeDecoy(algorithm);
    const checks = spyOn(crypto.subtle, "verify");
    await decoy("anything at all, ö");
    const results = await Promise.all(checks.mock.results.map(({ value }) => value));
    checks.mockRestore();
    expect(results).toEqual([false]);
  });

  test("openSigningKey() refuses it under another kid", async () => {
    const row = await makeSigningKey(algorithm, NOW_MS, cipher);
    await expect(openSigningKey({ ...row, kid: "swapped" }, cipher)).rejects.toThrow(
      'Cannot decrypt signing key "swapped"',
    );
  });
});

describe("makeSigningKey()", () => {
  test("tells of an HS256 key nothing but its ciphertext", async () => {
    const row = await makeSigningKey("HS256", NOW_MS, cipher);
    expect(row).toMatchObject({ algorithm: "HS256", public_jwk: "{}", created_at: NOW_MS });
    const key = await openSigningKey(row, cipher);
    expect(key.publicJwk).toBeNull();
    const jwk = JSON.parse(JSON.parse(row.ciphertext)[2]);
    expect(Buffer.from(jwk.k, "base64url")).toHaveLength(32);
    expect(row.kid).not.toContain(jwk.k);
  });
});

describe("openSigningKey()", () => {
  test("trusts no public key that is only written beside the ciphertext", async () => {
    const row = await makeSigningKey("EdDSA", NOW_MS, cipher);
    const theirs = JSON.stringify(strangersKey().export({ format: "jwk" }));
    const key = await openSigningKey({ ...row, public_jwk: theirs }, cipher);
    expect(key.publicJwk).toEqual({
      kty: "OKP",
      crv: "Ed25519",
      x: JSON.parse(row.public_jwk).x,
      kid: row.kid,
      alg: "EdDSA",
      use: "sig",
    });
  });

  test.each([
    ["RS256", {}, 'its algorithm "RS256" is neither'],
    ["EdDSA", { kty: "oct", k: "AAAA" }, "it is no Ed25519 key"],
    ["HS256", { kty: "oct", k: "AAAA" }, "it is no HS256 key of 32 bytes"],
    ["HS256", { kty: "OKP", k: "A".repeat(43) }, "it is no HS256 key of 32 bytes"],
  ])("refuses an %s key that is %j", async (algorithm, jwk, message) => {
    const row = {
      kid: "k",
      algorithm,
      public_jwk: "{}",
      ciphertext: await cipher.encrypt(JSON.stringify(jwk), '["signing_key","k"]'),
      created_at: NOW_MS,
    };
    await expect(openSigningKey(row, cipher)).rejects.toThrow(message);
  });
});
