/** Tokens: what mint writes verifies, for as long as it should. Attacks: token_attacks.test. */

import { describe, expect, test } from "bun:test";
import { CREDENTIAL_LENGTH_MAX, type Tokens } from "../../src/auth/token.ts";
import { GatewayError } from "../../src/errors.ts";
import type { Restrictions } from "../../src/exchange.ts";
import { base64Url, ed25519, forge, stolenKey, strangersKey } from "../support/forge.ts";
import { BY_ADMIN, DAY_MS, openIdentity } from "../support/identity.ts";

const HOUR_MS = 3_600_000;
const RESTRICTIONS: Restrictions = {
  models: ["gpt-5", "gpt-5-*"],
  endpoints: ["/v1/responses", "/v1/audio/*"],
  tiers: ["flex"],
  limits: { max_requests: 3, budget_micros_total: 1_000_000, requests_per_minute: 60 },
};

const { store, clock, tokens } = await openIdentity();
const stolen = stolenKey(store);
const ours = ed25519(stolen.key);
const header = { alg: "EdDSA", typ: "JWT", kid: stolen.kid };
const nowS = Math.floor(clock.nowMs() / 1000);

/** Claims that `mint` would not write now, correctly signed by the node's own key. */
function signed(change: object): string {
  const times = { iat: nowS, nbf: nowS, exp: nowS + 3600 };
  const claims = { iss: "sluice", aud: "sluice", sub: "default", jti: "tok_1", ...times };
  return forge(header, { ...claims, ...change }, ours);
}

async function codeOf(verifier: Tokens, token: string): Promise<string> {
  try {
    await verifier.verify(token);
    return "accepted";
  } catch (thrown) {
    return thrown instanceof GatewayError ? thrown.code : `threw ${String(thrown)}`;
  }
}

describe("Tokens.verify()", () => {
  test("forgives the leeway after exp and before nbf, and not a second more", async () => {
    expect(await codeOf(tokens, signed({ exp: nowS - 4 }))).toBe("accepted");
    expect(await codeOf(tokens, signed({ exp: nowS - 5 }))).toBe("token_expired");
    expect(await codeOf(tokens, signed({ nbf: nowS + 5 }))).toBe("accepted");
    expect(await codeOf(tokens, signed({ nbf: nowS + 6 }))).toBe("token_invalid");
  });

  test("says token_expired only of a genuine token", async () => {
    expect(await codeOf(tokens, signed({ exp: 0 }))).toBe("token_expired");
    const forged = signed({ exp: 0 }).slice(0, -86) + signed({}).slice(-86);
    expect(await codeOf(tokens, forged)).toBe("token_invalid");
  });

  test("lets nothing live longer than tokens.max_lifetime is now", async () => {
    const { token, issuedAtMs } = await tokens.mint("default", 3 * DAY_MS, null);
    const shorter = await openIdentity(store, clock, { maxLifetimeMs: 2 * DAY_MS });
    const { expiresAtMs } = await shorter.tokens.verify(token);
    expect(expiresAtMs).toBe(issuedAtMs + 2 * DAY_MS);
  });
});

describe("Tokens.mint()", () => {
  test.each([
    ["EdDSA", "nothing", null],
    ["EdDSA", "much", RESTRICTIONS],
    ["HS256", "nothing", null],
    ["HS256", "much", RESTRICTIONS],
  ] as const)(
    "writes with %s what verify() reads, restricted in %s",
    async (algorithm, _what, restrictions) => {
      const node = await openIdentity(undefined, undefined, { algorithm });
      const first = await node.tokens.mint("default", HOUR_MS, restrictions);
      const second = await node.tokens.mint("default", HOUR_MS, restrictions);
      expect(first.token).toStartWith("sk-sluice-eyJ");
      expect(first.jti).toMatch(/^tok_[0-9a-f]{32}$/);
      expect(second.jti).not.toBe(first.jti);
      expect(await node.tokens.verify(first.token)).toEqual({
        kind: "token",
        projectId: "default",
        tokenId: first.jti,
        issuedAtMs: first.issuedAtMs,
        expiresAtMs: first.issuedAtMs + HOUR_MS,
        restrictions,
      });
    },
  );

  test("writes no claim for what does not restrict", async () => {
    const nothing = { models: null, endpoints: null, tiers: null, limits: {} };
    const { token } = await tokens.mint("default", HOUR_MS, nothing);
    expect((await tokens.verify(token)).restrictions).toBeNull();
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 366 * DAY_MS])(
    "refuses a lifetime of %p ms",
    async (lifetimeMs) => {
      await expect(tokens.mint("default", lifetimeMs, null)).rejects.toThrow("tokens.max_lifetime");
    },
  );

  test("refuses restrictions that it could not read back", async () => {
    const wrong = { ...RESTRICTIONS, models: ["*-mini"] };
    await expect(tokens.mint("default", HOUR_MS, wrong)).rejects.toThrow("models must hold names");
  });

  test("refuses to make a token that is too long to be accepted", async () => {
    const names = Array.from({ length: 100 }, (_, n) => `${n}`.padEnd(200, "m"));
    const mint = tokens.mint("default", HOUR_MS, { ...RESTRICTIONS, models: names });
    await expect(mint).rejects.toThrow(`${CREDENTIAL_LENGTH_MAX} are accepted`);
  });
});

describe("Tokens.cached()", () => {
  test("answers at once after one verification, and never beyond exp and leeway", async () => {
    const node = await openIdentity();
    const { token, expiresAtMs } = await node.tokens.mint("default", 60_000, null);
    expect(node.tokens.cached(token)).toBeUndefined();
    const principal = await node.tokens.verify(token);
    expect(node.tokens.cached(token)).toBe(principal);
    node.clock.advance(expiresAtMs + 4999 - node.clock.nowMs());
    expect(node.tokens.cached(token)).toBe(principal);
    node.clock.advance(1);
    expect(() => node.tokens.cached(token)).toThrow("expired");
    expect(node.tokens.cached(token)).toBeUndefined();
  });

  test("is keyed by the whole token: another signature is verified anew", async () => {
    const genuine = signed({});
    await tokens.verify(genuine);
    const input = genuine.slice(0, genuine.lastIndexOf("."));
    const tampered = `${input}.${base64Url(ed25519(strangersKey())(input))}`;
    expect(tokens.cached(tampered)).toBeUndefined();
    expect(await codeOf(tokens, tampered)).toBe("token_invalid");
  });

  test("stays as it is when keys are read again, but for those of a key that is gone", async () => {
    const node = await openIdentity();
    const { token } = await node.tokens.mint("default", HOUR_MS, null);
    const principal = await node.tokens.verify(token);
    await node.tokens.reload();
    expect(node.tokens.cached(token)).toBe(principal);
    node.store.signingKeys.length = 0;
    await node.tokens.reload();
    expect(node.tokens.cached(token)).toBeUndefined();
    expect(await codeOf(node.tokens, token)).toBe("token_invalid");
  });
});

describe("Tokens.recognizes()", () => {
  test("is true of our prefix and of our keys' tokens, whole or forged", async () => {
    const { token } = await tokens.mint("default", HOUR_MS, null);
    const bare = token.slice("sk-sluice-".length);
    const foreign = forge({ ...header, kid: "theirs" }, {}, ours);
    const ask = (credential: string) => tokens.recognizes(credential);
    expect([token, bare, "sk-sluice-", signed({ exp: 0 })].map(ask)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(["sk-proj-1", foreign, "", `${bare}.`].map(ask)).toEqual([false, false, false, false]);
  });
});

describe("Tokens.open()", () => {
  test("takes what a node with the other algorithm minted, and shows no secret", async () => {
    const node = await openIdentity();
    const other = await openIdentity(node.store, node.clock, { algorithm: "HS256" });
    await node.tokens.reload();
    for (const one of [node, other]) {
      const { token } = await one.tokens.mint("default", HOUR_MS, null);
      expect(await codeOf(node.tokens, token)).toBe("accepted");
      expect(await codeOf(other.tokens, token)).toBe("accepted");
      expect(one.tokens.jwks().keys.map(({ alg }) => alg)).toEqual(["EdDSA"]);
    }
  });

  test("verifies what was signed before a rotation, and signs with the new key after", async () => {
    const node = await openIdentity();
    const old = await node.tokens.mint("default", HOUR_MS, null);
    const { kid, signsFromMs } = await node.tokens.rotate(BY_ADMIN);
    node.clock.advance(signsFromMs - node.clock.nowMs());
    const { token } = await node.tokens.mint("default", HOUR_MS, null);
    expect(atob(token.split(".")[0]?.slice("sk-sluice-".length) ?? "")).toContain(kid);
    expect(await codeOf(node.tokens, old.token)).toBe("accepted");
    expect(await codeOf(node.tokens, token)).toBe("accepted");
    expect(node.tokens.jwks().keys).toHaveLength(2);
    node.clock.advance(366 * DAY_MS);
    expect(await node.tokens.forgetRetired()).toHaveLength(1);
    expect(node.tokens.jwks().keys.map((key) => key.kid)).toEqual([kid]);
  });
});
