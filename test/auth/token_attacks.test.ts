/**
 * Attacks on tokens, over a node that has keys of both algorithms: nothing but what it minted gets
 * in, every forgery is refused with the same words and after the same work.
 */

import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { TOKEN_PREFIX } from "../../src/auth/token.ts";
import { GatewayError } from "../../src/errors.ts";
import {
  base64Url,
  ed25519,
  forge,
  hmac,
  stolenKey,
  stolenSecret,
  strangersKey,
} from "../support/forge.ts";
import { openIdentity } from "../support/identity.ts";
import { Prng } from "../support/prng.ts";

const { store, clock, tokens } = await openIdentity();
await openIdentity(store, clock, { algorithm: "HS256" });
await tokens.reload();
const stolen = stolenKey(store);
const secret = stolenSecret(store);
const publicKey = createPublicKey(stolen.key);
const pem = publicKey.export({ format: "pem", type: "spki" }).toString();
const der = publicKey.export({ format: "der", type: "spki" });
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
const hs256 = { alg: "HS256", typ: "JWT", kid: secret.kid };
const genuineHs256 = forge(hs256, claims, hmac(secret.secret));

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

const attackersJwk = { kty: "OKP", crv: "Ed25519", x: publicX };
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
  [
    "alg HS256 over the public JWK of the JWK set",
    withHeader({ alg: "HS256" }, hmac(JSON.stringify(tokens.jwks().keys[0]))),
  ],
  ["alg HS256 over the public key as PEM", withHeader({ alg: "HS256" }, hmac(pem))],
  ["alg HS256 over that without its line end", withHeader({ alg: "HS256" }, hmac(pem.trim()))],
  ["alg HS256 over the public key as DER", withHeader({ alg: "HS256" }, hmac(der))],
  ["kid of the HS256 key, over the public key", forge(hs256, claims, hmac(publicX))],
  ["kid of the HS256 key, over its own kid", forge(hs256, claims, hmac(secret.kid))],
  ["kid of the HS256 key, over nothing", forge(hs256, claims, hmac(""))],
  ["kid of the HS256 key with EdDSA", withHeader({ kid: secret.kid })],
  ["alg HS256, signed by the EdDSA key", forge(hs256, claims, ours)],
  ["alg HS256 of the EdDSA key, secret ours", withHeader({ alg: "HS256" }, hmac(secret.secret))],
  ["alg EdDSA, signed by the HS256 secret", withHeader({}, hmac(secret.secret))],
  ["HS256, signature's spare bits set", genuineHs256.slice(0, -1) + nextSpelling(genuineHs256)],
  ["HS256, signature cut by a byte", genuineHs256.slice(0, -2)],
  ["HS512 over the secret", forge({ ...hs256, alg: "HS512" }, claims, hmac(secret.secret))],
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
  ["kid an absolute path", withHeader({ kid: "/proc/self/environ" })],
  ["kid a path behind ours", withHeader({ kid: `${stolen.kid}/../../dev/null` })],
  ["kid ours and a zero byte", withHeader({ kid: `${stolen.kid}\0` })],
  ["kid a command", withHeader({ kid: "x|cat /etc/passwd" })],
  ["kid a URL", withHeader({ kid: "http://127.0.0.1:9/key" })],
  ["kid SQL", withHeader({ kid: "' OR 1=1 --" })],
  ["kid SQL that makes a key", withHeader({ kid: "x' UNION SELECT 'key' --" }, hmac("key"))],
  ["kid of an object's own machinery", withHeader({ kid: "__proto__" })],
  ["kid constructor", withHeader({ kid: "constructor" })],
  ["no typ", forge({ alg: "EdDSA", kid: stolen.kid }, claims, ours)],
  ["typ of another kind", withHeader({ typ: "at+jwt" })],
  ["jku header", withHeader({ jku: "http://127.0.0.1:9/jwks.json" }, theirs)],
  ["jku header, our signature", withHeader({ jku: "http://127.0.0.1:9/jwks.json" })],
  ["jwk header with the attacker's key", withHeader({ jwk: attackersJwk }, theirs)],
  ["jwk header before the others", forge({ jwk: attackersJwk, ...header }, claims, theirs)],
  ["x5t header", withHeader({ x5t: "AAAA" }, theirs)],
  ["x5u header, our signature", withHeader({ x5u: "http://127.0.0.1:9/cert.pem" })],
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
  ["signature's spare bits set", genuine.slice(0, -1) + nextSpelling(genuine)],
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
  ["a restriction that is not known here", withClaims({ regions: ["eu"] })],
  [
    "claims in another order",
    forge(header, Object.fromEntries(Object.entries(claims).reverse()), ours),
  ],
  ["claims a list", forge(header, [claims], ours)],
  ["claims null", forge(header, "null", ours)],
  ["claims no JSON", forge(header, "{", ours)],
  ["claims no UTF-8", `${h}.${base64Url(Uint8Array.of(0xff, 0xfe))}.${s}`],
  ["expired and of a wrong key", forge(header, { ...claims, exp: nowS - 60 }, theirs)],
  ["expired and of another issuer", withClaims({ exp: nowS - 60, iss: "other" })],
  ...Object.keys(claims).map((name) => [`no ${name}`, without(name)] as const),
];

/** Another last character, which decodes to the same signature bytes in a lenient decoder. */
function nextSpelling(token: string): string {
  return String.fromCharCode(token.charCodeAt(token.length - 1) + 1);
}

/** Claims that restrict, each spelt or shaped as `mint` never would. */
const MALFORMED: readonly (readonly [string, object])[] = [
  ["models no list", { models: "gpt-5" }],
  ["models null", { models: null }],
  ["models empty", { models: [] }],
  ["models with an empty name", { models: ["gpt-5", ""] }],
  ["models with a number", { models: [5] }],
  ["models with * in the middle", { models: ["gpt-*-mini"] }],
  ["models with * twice", { models: ["gpt-5**"] }],
  ["models of 101 names", { models: Array.from({ length: 101 }, (_, n) => `m${n}`) }],
  ["a model of 201 characters", { models: ["m".repeat(201)] }],
  ["endpoints no list", { endpoints: { 0: "/v1/responses" } }],
  ["endpoints with a null", { endpoints: [null] }],
  ["tiers true", { tiers: true }],
  ["models behind endpoints", { endpoints: ["/v1/*"], models: ["gpt-5"] }],
  ["limits null", { limits: null }],
  ["limits empty", { limits: {} }],
  ["limits a list", { limits: [60] }],
  ["limits with an unknown name", { limits: { requests_per_hour: 60 } }],
  ["limits with a null", { limits: { requests_per_minute: null } }],
  ["limits with zero", { limits: { requests_per_minute: 0 } }],
  ["limits with a negative number", { limits: { requests_per_minute: -1 } }],
  ["limits with a fraction", { limits: { requests_per_minute: 1.5 } }],
  ["limits with a text", { limits: { requests_per_minute: "60" } }],
  ["limits beyond exact numbers", { limits: { requests_per_minute: 2 ** 53 } }],
  ["limits with max_requests inside", { limits: { max_requests: 5 } }],
  ["limits in another order", { limits: { tokens_per_minute: 5, requests_per_minute: 5 } }],
  ["max_requests zero", { max_requests: 0 }],
  ["max_requests null", { max_requests: null }],
  ["max_requests a text", { max_requests: "5" }],
  ["max_requests before limits", { max_requests: 5, limits: { requests_per_minute: 5 } }],
];

/** The same forgeries, and what cannot be told from them. */
const ALL: readonly (readonly [string, string])[] = [
  ...FORGERIES,
  ...MALFORMED.map(([what, change]) => [what, withClaims(change)] as const),
];

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

  test.each(ALL)("%s", async (_what, token) => {
    expect(await codeOf(tokens.verify(token))).toBe("token_invalid");
    expect(tokens.cached(token)).toBeUndefined();
    expect(fetches).toBe(0);
  });

  test("all forgeries of the table are different", () => {
    expect(new Set(ALL.map(([, token]) => token)).size).toBe(ALL.length);
  });

  test("says the same of every forgery", async () => {
    const messages = new Set<string>();
    for (const [, token] of ALL) {
      await tokens.verify(token).catch((error: Error) => messages.add(error.message));
    }
    expect([...messages]).toEqual(["The token is not valid"]);
  });

  test("checks one signature for each that is not too long, whatever is wrong", async () => {
    const checks = spyOn(crypto.subtle, "verify");
    for (const [what, token] of ALL.filter((one) => one[1].length < 8000)) {
      checks.mockClear();
      await codeOf(tokens.verify(token));
      expect([what, checks.mock.calls.length]).toEqual([what, 1]);
    }
    checks.mockRestore();
  });

  test.each([
    ["EdDSA", genuine, 64],
    ["HS256", genuineHs256, 32],
  ])("an %s signature with any one bit flipped", async (_algorithm, token, length) => {
    const dot = token.lastIndexOf(".") + 1;
    const bytes = Buffer.from(token.slice(dot), "base64url");
    expect(bytes).toHaveLength(length);
    for (let bit = 0; bit < length * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const forged = token.slice(0, dot) + base64Url(flipped);
      expect([bit, await codeOf(tokens.verify(forged))]).toEqual([bit, "token_invalid"]);
    }
  });

  test("a token with any one character changed, in header, claims or signature", async () => {
    const prng = new Prng(20_260_711);
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";
    for (let at = 0; at < genuine.length; at += 1) {
      const other = prng.pick([...alphabet].filter((character) => character !== genuine[at]));
      const forged = genuine.slice(0, at) + other + genuine.slice(at + 1);
      expect([forged, await codeOf(tokens.verify(forged))]).toEqual([forged, "token_invalid"]);
    }
  });

  test("a token of another deployment, by its keys, its issuer or its audience", async () => {
    const stranger = await openIdentity();
    const other = { issuer: "other" };
    for (const node of [
      stranger,
      await openIdentity(store, clock, other),
      await openIdentity(store, clock, { audience: "other" }),
      await openIdentity(store, clock, { ...other, algorithm: "HS256" }),
    ]) {
      const { token } = await node.tokens.mint("default", 60_000, null);
      expect(await codeOf(node.tokens.verify(token))).toBe("accepted");
      expect(await codeOf(tokens.verify(token))).toBe("token_invalid");
    }
  });
});

describe("Tokens.verify() accepts", () => {
  test("what the forgeries were made from", async () => {
    for (const token of [genuine, TOKEN_PREFIX + genuine, genuineHs256]) {
      expect(await tokens.verify(token)).toEqual({
        kind: "token",
        projectId: "default",
        tokenId: claims.jti,
        expiresAtMs: claims.exp * 1000,
        issuedAtMs: claims.iat * 1000,
        restrictions: null,
      });
    }
  });

  test("restrictions, which stand behind the other claims in their order", async () => {
    const restricting = {
      models: ["gpt-5*"],
      tiers: ["*"],
      limits: { requests_per_minute: 5, tokens_per_minute: 5 },
      max_requests: 7,
    };
    expect((await tokens.verify(withClaims(restricting))).restrictions).toEqual({
      models: ["gpt-5*"],
      endpoints: null,
      tiers: ["*"],
      limits: { requests_per_minute: 5, tokens_per_minute: 5, max_requests: 7 },
    });
  });
});
