/** What is read is what was written. What is refused: token_attacks.test, over whole tokens. */

import { describe, expect, test } from "bun:test";
import { type Claims, readClaims, writeClaims } from "../../src/auth/token_claims.ts";
import { LIMIT_NAMES, type LimitName, type Restrictions } from "../../src/exchange.ts";
import { Prng } from "../support/prng.ts";

const CLAIMS: Claims = {
  iss: "sluice",
  aud: "sluice",
  sub: "default",
  jti: "tok_1",
  iat: 1_795_190_000,
  nbf: 1_795_190_000,
  exp: 1_795_193_600,
  restrictions: null,
};

const NAMES = ["gpt-5", "gpt-5-*", "*", "/v1/responses", "flex", "m".repeat(200), 'ü\u2028"\\'];

function anyRestrictions(prng: Prng): Restrictions {
  const names = () => {
    if (prng.next() < 0.5) return null;
    return Array.from({ length: prng.int(1, 100) }, () => prng.pick(NAMES));
  };
  const limits: { [N in LimitName]?: number } = {};
  for (let count = prng.int(0, LIMIT_NAMES.length); count > 0; count -= 1) {
    limits[prng.pick(LIMIT_NAMES)] = prng.int(1, Number.MAX_SAFE_INTEGER);
  }
  return { models: names(), endpoints: names(), tiers: names(), limits };
}

describe("writeClaims()", () => {
  test("writes every claim in its place, and limits in the order of their names", () => {
    const limits = { max_requests: 9, tokens_per_minute: 2, requests_per_minute: 1 };
    const lists = { tiers: ["flex"], endpoints: ["/v1/*"], models: ["gpt-5*"] };
    const times = '"iat":1795190000,"nbf":1795190000,"exp":1795193600';
    expect(writeClaims({ ...CLAIMS, restrictions: { ...lists, limits } })).toBe(
      `{"iss":"sluice","aud":"sluice","sub":"default","jti":"tok_1",${times},` +
        '"models":["gpt-5*"],"endpoints":["/v1/*"],"tiers":["flex"],' +
        '"limits":{"requests_per_minute":1,"tokens_per_minute":2},"max_requests":9}',
    );
  });
});

describe("readClaims()", () => {
  test("reads back whatever restrictions were written", () => {
    const prng = new Prng(20_260_712);
    for (let round = 0; round < 500; round += 1) {
      const restrictions = anyRestrictions(prng);
      const { models, endpoints, tiers, limits } = restrictions;
      const isNone = !models && !endpoints && !tiers && Object.keys(limits).length === 0;
      const text = writeClaims({ ...CLAIMS, restrictions });
      expect(readClaims(text)).toEqual({ ...CLAIMS, restrictions: isNone ? null : restrictions });
    }
  });

  test.each([
    ["null", "JSON object"],
    ["[]", "JSON object"],
    ["{}", "iss must be a text"],
    [writeClaims({ ...CLAIMS, exp: 1.5 }), "exp must be a time"],
    [writeClaims({ ...CLAIMS, nbf: -1 }), "nbf must be a time"],
    [` ${writeClaims(CLAIMS)}`, "not written as ours"],
    [writeClaims(CLAIMS).replace("}", ',"models":[]}'), "models must be a list of 1 to 100"],
    [writeClaims(CLAIMS).replace("}", ',"tiers":["a*b"]}'), "tiers must hold names"],
    [writeClaims(CLAIMS).replace("}", ',"limits":{"x":1}}'), 'limits has no "x"'],
    [writeClaims(CLAIMS).replace("}", ',"max_requests":0}'), "max_requests must be"],
    [writeClaims(CLAIMS).replace("}", ',"extra":1}'), "not written as ours"],
  ])("says of %s what is wrong", (text, message) => {
    expect(() => readClaims(text)).toThrow(message);
  });
});
