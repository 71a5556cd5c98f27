/** Tokens: what mint writes verifies, and nothing else does. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Tokens, TOKEN_PREFIX } from "../../src/auth/token.ts";
import { GatewayError } from "../../src/errors.ts";
import { FakeCipher } from "../support/fake_cipher.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { base64Url, ed25519, forge, hmac, stolenKey, strangersKey } from "../support/forge.ts";
import { openIdentity, TOKENS_CONFIG } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";

const HOUR_MS = 3_600_000;

const { store, clock, tokens } = await openIdentity();
const stolen = stolenKey(store);
const ours = ed25519(stolen.key);
const theirs = ed25519(strangersKey());
const nowS = Math.floor(clock.nowMs() / 1000);
const header = { alg: "EdDSA", typ: "JWT", kid: stolen.kid };
const claims = {
  iss: "sluice",
  aud: "sluice",
  sub: "default",
  jti: "tok_0123456789abcdef",
  iat: nowS,
  nbf: nowS,
  exp: nowS + 3600,
};
const genuine = forge(header, claims, ours);
const [h = "", p = "", s = ""] = genuine.split(".");
const publicX = JSON.parse(stolen.publicJwk).x;
const spki = stolen.key.export({ format: "jwk" }).x ?? "";

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "accepted";
  } catch (thrown) {
    return thrown instanceof GatewayError ? thrown.code : `threw ${String(thrown)}`;
  }
}

/** A header that says something else, over the genuine claims. */
function withHeader(change: object, signer = ours): string {
  return forge({ ...header, ...change }, claims, signer);
}

/** Claims that say something else, correctly signed by the node's own key. */
function withClaims(change: object): string {
  return forge(header, { ...claims, ...change }, ours);
}

function without(name: string): string {
  return forge(
    header,
    Object.fromEntries(Object.entries(claims).filter(([n]) => n !== name)),
    ours,
  );
}

const unsigned = () => new Uint8Array();
const claimsText = JSON.stringify(claims);
const headerText = JSON.stringify(header);

const FORGERIES: readonly (readonly [string, string])[] = [
  ["alg none, no signature", withHeader({ alg: "none" }, unsigned)],
  ["alg None", withHeader({ alg: "None" }, unsigned)],
  ["alg NONE", withHeader({ alg: "NONE" }, unsigned)],
  ["alg nOnE with a signature", withHeader({ alg: "nOnE" })],
  ["alg empty", withHeader({ alg: "" })],
  ["alg null", withHeader({ alg: null })],
  ["alg a list", withHeader({ alg: ["EdDSA"] })],
  ["alg in lower case", withHeader({ alg: "eddsa" })],
  ["alg with a space", withHeader({ alg: "EdDSA " })],
  ["alg Ed25519 with our key", withHeader({ alg: "Ed25519" })],
  ["alg HS256 over the public key's x", withHeader({ alg: "HS256" }, hmac(publicX))],
  [
    "alg HS256 over the public key's bytes",
    withHeader({ alg: "HS256" }, hmac(Buffer.from(spki, "base64url"))),
  ],
  ["alg HS256 over the public JWK", withHeader({ alg: "HS256" }, hmac(stolen.publicJwk))],
  ["alg HS256 over an empty secret", withHeader({ alg: "HS256" }, hmac(""))],
  ["alg EdDSA with an HMAC inside", withHeader({}, hmac(publicX))],
  ["alg RS256 with our signature", withHeader({ alg: "RS256" })],
  ["alg ES256 with a zero signature", withHeader({ alg: "ES256" }, () => new Uint8Array(64))],
  ["no alg", forge({ typ: "JWT", kid: stolen.kid }, claims, ours)],
  ["no kid", forge({ alg: "EdDSA", typ: "JWT" }, claims, ours)],
  ["kid unknown", withHeader({ kid: "another" })],
  ["kid empty", withHeader({ kid: "" })],
  ["kid a number", withHeader({ kid: 1 })],
  ["kid a path", withHeader({ kid: "../../dev/null" })],
  ["kid SQL", withHeader({ kid: "' OR 1=1 --" })],
  ["kid of an object's own machinery", withHeader({ kid: "__proto__" })],
  ["kid constructor", withHeader({ kid: "constructor" })],
  ["no typ", forge({ alg: "EdDSA", kid: stolen.kid }, claims, ours)],
  ["typ of another kind", withHeader({ typ: "at+jwt" })],
  ["jku header", withHeader({ jku: "http://127.0.0.1:9/jwks.json" }, theirs)],
  ["jku header, our signature", withHeader({ jku: "http://127.0.0.1:9/jwks.json" })],
  ["x5u header", withHeader({ x5u: "http://127.0.0.1:9/cert.pem" }, theirs)],
  ["x5c header", withHeader({ x5c: ["MIIB"] }, theirs)],
  ["jwk header with the signer's key", withHeader({ jwk: { kty: "OKP", crv: "Ed25519" } }, theirs)],
  ["crit header", withHeader({ crit: ["exp"], exp: 1 })],
  ["crit header, empty", withHeader({ crit: [] })],
  ["b64 false", withHeader({ b64: false, crit: ["b64"] })],
  ["zip header", withHeader({ zip: "DEF" })],
  ["cty JWT", withHeader({ cty: "JWT" })],
  ["header key twice", forge(headerText.replace("{", '{"alg":"none",'), claims, ours)],
  ["header key escaped", forge(headerText.replace('"alg"', '"\\u0061lg"'), claims, ours)],
  ["header with white space", forge(headerText.replace(",", ", "), claims, ours)],
  ["header a list", forge([header], claims, ours)],
  ["header null", forge("null", claims, ours)],
  ["header no JSON", forge("{", claims, ours)],
  ["header with a byte order mark", forge(`\ufeff${headerText}`, claims, ours)],
  ["wrong key", forge(header, claims, theirs)],
  ["zero signature", forge(header, claims, () => new Uint8Array(64))],
  ["signature of another token", `${h}.${base64Url(claimsText.replace("default", "victim"))}.${s}`],
  ["signature cut by a character", genuine.slice(0, -1)],
  ["signature a character longer", `${genuine}A`],
  ["signature's spare bits set", genuine.slice(0, -1) + nextSpelling(genuine.at(-1) ?? "A")],
  ["signature missing", `${h}.${p}.`],
  ["signature padded", `${genuine}==`],
  ["payload padded", `${h}.${p}=.${s}`],
  ["payload in the other alphabet", `${h}.${p.slice(0, -1)}+.${s}`],
  ["payload empty", `${h}..${s}`],
  ["header empty", `.${p}.${s}`],
  ["one dot", `${h}.${p}`],
  ["no dot", h + p + s],
  ["three dots", `${genuine}.`],
  ["four dots, as a JWE has", `${h}.${p}.${s}.${p}.${s}`],
  ["only dots", ".."],
  ["a line break inside", `${h}.\n${p}.${s}`],
  ["a space behind", `${genuine} `],
  ["a zero byte behind", `${genuine}\0`],
  ["letters that look like ours", genuine.replace("e", "е")],
  ["full-width dots", genuine.replaceAll(".", "．")],
  ["prefix twice", TOKEN_PREFIX + TOKEN_PREFIX + genuine],
  ["prefix in capitals", `SK-SLUICE-${genuine}`],
  ["prefix alone", TOKEN_PREFIX],
  ["longer than a credential may be", `${h}.${"A".repeat(9000)}.${s}`],
  ["huge", "A".repeat(1_000_000)],
  ["empty", ""],
  [
    "a JSON serialization",
    JSON.stringify({ payload: p, signatures: [{ protected: h, signature: s }] }),
  ],
  ["issuer another", withClaims({ iss: "slvice" })],
  ["issuer in capitals", withClaims({ iss: "SLUICE" })],
  ["issuer a list", withClaims({ iss: ["sluice"] })],
  ["audience another", withClaims({ aud: "other" })],
  ["audience a list with ours", withClaims({ aud: ["other", "sluice"] })],
  ["audience null", withClaims({ aud: null })],
  ["subject empty", withClaims({ sub: "" })],
  ["subject a number", withClaims({ sub: 7 })],
  ["jti empty", withClaims({ jti: "" })],
  ["jti an object", withClaims({ jti: {} })],
  ["not yet valid", withClaims({ nbf: nowS + 60 })],
  ["issued in the future", withClaims({ iat: nowS + 60 })],
  ["nbf a string", withClaims({ nbf: String(nowS) })],
  ["exp a string", withClaims({ exp: String(nowS + 60) })],
  ["exp a fraction", withClaims({ exp: nowS + 60.5 })],
  ["exp beyond every date", withClaims({ exp: 8_640_000_000_001 })],
  ["exp negative", withClaims({ exp: -1 })],
  ["exp null", withClaims({ exp: null })],
  ["exp in exponent form", forge(header, claimsText.replace(/"exp":\d+/, '"exp":1e11'), ours)],
  ["a claim twice", forge(header, claimsText.replace("{", '{"sub":"victim",'), ours)],
  ["a claim twice, escaped", forge(header, claimsText.replace("}", ',"\\u0073ub":"v"}'), ours)],
  ["__proto__ as a claim", forge(header, claimsText.replace("}", ',"__proto__":{}}'), ours)],
  ["a restriction that is not known here", withClaims({ models: ["gpt-5"] })],
  ["claims a list", forge(header, [claims], ours)],
  ["claims null", forge(header, "null", ours)],
  ["claims no JSON", forge(header, "{", ours)],
  ["claims no UTF-8", `${h}.${base64Url(Uint8Array.of(0xff, 0xfe))}.${s}`],
  ["expired and of a wrong key", forge(header, { ...claims, exp: nowS - 60 }, theirs)],
  ["expired and of another issuer", withClaims({ exp: nowS - 60, iss: "other" })],
  ...Object.keys(claims).map((name) => [`no ${name}`, without(name)] as const),
];

/** Another character that decodes to the same signature bytes in a lenient decoder. */
function nextSpelling(last: string): string {
  return String.fromCharCode(last.charCodeAt(0) + 1);
}

describe("Tokens.verify() refuses as token_invalid, with one message:", () => {
  const realFetch = globalThis.fetch;
  let fetches = 0;
  beforeAll(() => {
    const counting = () => {
      fetches += 1;
      return Promise.reject(new Error("No token may cause a network call"));
    };
    globalThis.fetch = Object.assign(counting, { preconnect: realFetch.preconnect });
  });
  afterAll(() => {
    globalThis.fetch = realFetch;
  });

  test.each(FORGERIES)("%s", async (_what, token) => {
    expect(await codeOf(tokens.verify(token))).toBe("token_invalid");
    expect(tokens.cached(token)).toBeUndefined();
    expect(fetches).toBe(0);
  });

  test("the table has sixty forgeries or more, all different", () => {
    expect(new Set(FORGERIES.map(([, token]) => token)).size).toBe(FORGERIES.length);
    expect(FORGERIES.length).toBeGreaterThanOrEqual(60);
  });
});

describe("Tokens.verify()", () => {
  test("accepts the token the forgeries were made from, bare and prefixed", async () => {
    const principal = {
      kind: "token" as const,
      projectId: "default",
      tokenId: claims.jti,
      expiresAtMs: claims.exp * 1000,
      issuedAtMs: claims.iat * 1000,
    };
    expect(await tokens.verify(genuine)).toEqual(principal);
    expect(await tokens.verify(TOKEN_PREFIX + genuine)).toEqual(principal);
  });

  test("forgives the leeway after exp and before nbf, and not a second more", async () => {
    expect(await codeOf(tokens.verify(withClaims({ exp: nowS - 4 })))).toBe("accepted");
    expect(await codeOf(tokens.verify(withClaims({ exp: nowS - 5 })))).toBe("token_expired");
    expect(await codeOf(tokens.verify(withClaims({ nbf: nowS + 5 })))).toBe("accepted");
    expect(await codeOf(tokens.verify(withClaims({ nbf: nowS + 6 })))).toBe("token_invalid");
  });

  test("says token_expired only of a genuine token", async () => {
    expect(await codeOf(tokens.verify(withClaims({ exp: 0 })))).toBe("token_expired");
  });

  test("says the same of every forgery", async () => {
    const messages = new Set<string>();
    for (const [, token] of FORGERIES) {
      await tokens.verify(token).catch((error: Error) => messages.add(error.message));
    }
    expect([...messages]).toEqual(["The token is not valid"]);
  });
});

describe("Tokens.mint()", () => {
  test("writes what verify() reads, with a jti of its own each time", async () => {
    const first = await tokens.mint("default", HOUR_MS);
    const second = await tokens.mint("default", HOUR_MS);
    expect(first.token).toStartWith("sk-sluice-eyJ");
    expect(first.jti).toMatch(/^tok_[0-9a-f]{32}$/);
    expect(second.jti).not.toBe(first.jti);
    expect(await tokens.verify(first.token)).toEqual({
      kind: "token",
      projectId: "default",
      tokenId: first.jti,
      issuedAtMs: first.issuedAtMs,
      expiresAtMs: first.issuedAtMs + HOUR_MS,
    });
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 366 * 24 * HOUR_MS])(
    "refuses a lifetime of %p ms",
    async (lifetimeMs) => {
      await expect(tokens.mint("default", lifetimeMs)).rejects.toThrow("tokens.max_lifetime");
    },
  );
});

describe("Tokens.cached()", () => {
  test("answers at once after one verification, and never beyond exp and leeway", async () => {
    const node = await openIdentity();
    const { token, expiresAtMs } = await node.tokens.mint("default", 60_000);
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
    await tokens.verify(genuine);
    const tampered = `${h}.${p}.${base64Url(theirs(`${h}.${p}`))}`;
    expect(tokens.cached(tampered)).toBeUndefined();
    expect(await codeOf(tokens.verify(tampered))).toBe("token_invalid");
  });
});

describe("Tokens.open()", () => {
  test("makes one key for all nodes, and each verifies the other's tokens", async () => {
    const shared = new MemoryStore();
    const [one, two] = await Promise.all([openIdentity(shared), openIdentity(shared)]);
    expect(shared.signingKeys).toHaveLength(1);
    const { token } = await one.tokens.mint("default", HOUR_MS);
    expect(await codeOf(two.tokens.verify(token))).toBe("accepted");
  });

  test("signs with the newest key and still verifies what an older one signed", async () => {
    const store = new MemoryStore();
    const before = await openIdentity(store);
    const old = await before.tokens.mint("default", HOUR_MS);
    const other = await openIdentity(new MemoryStore(), new FakeClock(before.clock.nowMs() + 1));
    store.signingKeys.push(...other.store.signingKeys);
    const after = await openIdentity(store);
    const fresh = await after.tokens.mint("default", HOUR_MS);
    expect(await codeOf(after.tokens.verify(old.token))).toBe("accepted");
    expect(await codeOf(other.tokens.verify(fresh.token))).toBe("accepted");
    expect(after.tokens.jwks().keys).toHaveLength(2);
  });

  test("keeps the private key encrypted and bound to its kid", async () => {
    const row = { ...store.signingKeys[0]!, kid: "swapped" };
    const moved = new MemoryStore();
    moved.signingKeys.push(row);
    const options = { store: moved, cipher: new FakeCipher(), clock, config: TOKENS_CONFIG };
    await expect(Tokens.open(options)).rejects.toThrow('Cannot decrypt signing key "swapped"');
  });

  test("trusts no public key that is only written beside the ciphertext", async () => {
    const tampered = new MemoryStore();
    tampered.signingKeys.push({
      ...store.signingKeys[0]!,
      public_jwk: JSON.stringify(strangersKey().export({ format: "jwk" })),
    });
    const node = await openIdentity(tampered);
    expect(node.tokens.jwks()).toEqual(tokens.jwks());
  });
});

describe("Tokens.jwks()", () => {
  test("shows public keys only", () => {
    expect(tokens.jwks()).toEqual({
      keys: [{ kty: "OKP", crv: "Ed25519", x: publicX, kid: stolen.kid, alg: "EdDSA", use: "sig" }],
    });
  });
});
