/** /manage/keys: rotation of what encrypts, and of what signs. */

import { describe, expect, test } from "bun:test";
import { setUpAdmin } from "../support/admin.ts";
import { type Case, testAnswers } from "../support/admin_cases.ts";

const CASES: readonly Case[] = [
  {
    what: "a rotation of what encrypts",
    method: "POST",
    path: "/manage/keys/rotate",
    status: 200,
    has: ['{"key_id":"k2","failures":[]}'],
    audit: ["keys.rotate  done"],
  },
  {
    what: "a rotation with a field",
    method: "POST",
    path: "/manage/keys/rotate",
    body: { key: "abc" },
    status: 400,
    audit: ["keys.rotate  refused"],
  },
  {
    what: "the signing keys",
    method: "GET",
    path: "/manage/keys/signing",
    status: 200,
    has: ['"algorithm":"EdDSA"', '"signs":true', '"kty":"OKP"'],
    lacks: ['"d":', "ciphertext"],
  },
  {
    what: "a new signing key",
    method: "POST",
    path: "/manage/keys/signing/rotate",
    status: 201,
    has: ['"kid":"', '"algorithm":"EdDSA"', '"signs_from":"2026-11-20T15:53:30'],
    audit: ["signing_key.rotate  done"],
  },
];

describe("keyRoutes() answers", () => {
  testAnswers(CASES);
});

describe("/manage/keys/signing", () => {
  test("tells which key signs, newest first, and hides symmetric ones", async () => {
    const { request, store, clock } = await setUpAdmin();
    store.signingKeys.push({
      kid: "symmetric",
      algorithm: "HS256",
      public_jwk: "{}",
      ciphertext: "",
      created_at: clock.nowMs() - 1000,
    });
    clock.advance(1);
    const made = await (await request("POST", "/manage/keys/signing/rotate")).json();
    const signing = async () => (await (await request("GET", "/manage/keys/signing")).json()).keys;
    const keys = await signing();
    expect(keys.map((key: { signs: boolean }) => key.signs)).toEqual([false, true, false]);
    expect(keys[0].kid).toBe(made.kid);
    expect(keys[2]).toMatchObject({ kid: "symmetric", public_jwk: null });
    clock.advance(10_000);
    const later = await signing();
    expect(later.map((key: { signs: boolean }) => key.signs)).toEqual([true, false, false]);
  });
});
