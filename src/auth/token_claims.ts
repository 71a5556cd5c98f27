/**
 * What a token of ours says, and the one way to write it.
 *
 *   {"iss":"sluice","aud":"sluice","sub":"<project>","jti":"tok_…","iat":0,"nbf":0,"exp":0,
 *    "models":["gpt-5*"],"endpoints":["/v1/responses"],"tiers":["flex"],
 *    "limits":{"requests_per_minute":60},"max_requests":100}
 *
 * Owns: the claims, their order and their shapes. The last five are there where they restrict.
 * Does not own: signatures and times (`token.ts`), or holding anyone to the restrictions.
 * Invariant: a text that is read is, byte for byte, what would be written of its claims. So none
 * can be there twice, be spelt in a second way, or be one that this version would not hold to.
 */

import { parseLimits } from "../config/limits.ts";
import { LIMIT_NAMES, type Limits, type Restrictions } from "../exchange.ts";

/** The largest time that a JavaScript Date can hold, in seconds (ECMA-262, time values). */
const EPOCH_SECONDS_MAX = 8_640_000_000_000;
const NAMES_MAX = 100;
const NAME_LENGTH_MAX = 200;

/** Times are whole seconds since the epoch. */
export interface Claims {
  readonly iss: string;
  readonly aud: string;
  /** The project. */
  readonly sub: string;
  readonly jti: string;
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  /** Null: none of its claims is there. */
  readonly restrictions: Restrictions | null;
}

/** The claims as JSON text. What cannot be read back is written as well: see `readClaims`. */
export function writeClaims(claims: Claims): string {
  const { iss, aud, sub, jti, iat, nbf, exp, restrictions } = claims;
  // What is undefined is left out of the text.
  return JSON.stringify({
    iss,
    aud,
    sub,
    jti,
    iat,
    nbf,
    exp,
    models: restrictions?.models ?? undefined,
    endpoints: restrictions?.endpoints ?? undefined,
    tiers: restrictions?.tiers ?? undefined,
    limits: limitsClaim(restrictions?.limits ?? {}),
    max_requests: restrictions?.limits.max_requests,
  });
}

/**
 * The claims in a text.
 * @throws SyntaxError or TypeError that says what is wrong, unless `writeClaims` would write this
 */
export function readClaims(text: string): Claims {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw new TypeError("The claims must be a JSON object");
  const claims = {
    iss: readText(value, "iss"),
    aud: readText(value, "aud"),
    sub: readText(value, "sub"),
    jti: readText(value, "jti"),
    iat: readSeconds(value, "iat"),
    nbf: readSeconds(value, "nbf"),
    exp: readSeconds(value, "exp"),
    restrictions: readRestrictions(value),
  };
  if (writeClaims(claims) !== text) throw new TypeError("The claims are not written as ours are");
  return claims;
}

/** Every limit but `max_requests`, which is a claim of its own, in the order of their names. */
function limitsClaim(limits: Limits): Limits | undefined {
  const there = LIMIT_NAMES.filter((name) => name !== "max_requests" && limits[name] !== undefined);
  if (there.length === 0) return undefined;
  return Object.fromEntries(there.map((name) => [name, limits[name]]));
}

function readRestrictions(claims: Record<string, unknown>): Restrictions | null {
  const models = readNames(claims, "models");
  const endpoints = readNames(claims, "endpoints");
  const tiers = readNames(claims, "tiers");
  const { max_requests: maxRequests } = claims;
  const limits = {
    ...(claims.limits === undefined ? {} : parseLimits(claims.limits)),
    ...(maxRequests === undefined ? {} : parseLimits({ max_requests: maxRequests })),
  };
  const lists = models !== null || endpoints !== null || tiers !== null;
  return lists || Object.keys(limits).length > 0 ? { models, endpoints, tiers, limits } : null;
}

/** Exact names or beginnings followed by `*`; null where the claim is not there. */
function readNames(claims: Record<string, unknown>, claim: string): readonly string[] | null {
  const names = claims[claim];
  if (names === undefined) return null;
  if (!Array.isArray(names) || names.length < 1 || names.length > NAMES_MAX) {
    throw new TypeError(`${claim} must be a list of 1 to ${NAMES_MAX} names`);
  }
  return names.map((name: unknown) => {
    if (typeof name === "string" && isName(name)) return name;
    const rule = `of 1 to ${NAME_LENGTH_MAX} characters, with * only at the end`;
    throw new TypeError(`${claim} must hold names ${rule}`);
  });
}

function isName(name: string): boolean {
  const isWithin = name.length >= 1 && name.length <= NAME_LENGTH_MAX;
  return isWithin && !name.slice(0, -1).includes("*");
}

function readText(claims: Record<string, unknown>, claim: string): string {
  const value = claims[claim];
  if (typeof value === "string" && value !== "") return value;
  throw new TypeError(`${claim} must be a text`);
}

function readSeconds(claims: Record<string, unknown>, claim: string): number {
  const value = claims[claim];
  const isInteger = typeof value === "number" && Number.isInteger(value);
  if (isInteger && value >= 0 && value <= EPOCH_SECONDS_MAX) return value;
  throw new TypeError(`${claim} must be a time in seconds`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
