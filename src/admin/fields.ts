/**
 * Reads what a management request says: the fields of its body and the parameters of its query.
 *
 * Owns: types, bounds, and the refusal of whatever is not known. Does not own: what a field does.
 * Invariant: a field is used or refused, never ignored. The same shapes make `openapi.json`, so
 * that what is described is what is read.
 */

import { parseLimits } from "../config/limits.ts";
import type { LimitChanges } from "../exchange.ts";
import { Problem } from "./problem.ts";

interface FieldTypes {
  /** Not empty. */
  text: string;
  nullable_text: string | null;
  /** A provider's key: never shown again. */
  secret: string;
  boolean: boolean;
  /** A whole number from 1. */
  count: number;
  nullable_count: number | null;
  /** Exact names, or beginnings followed by `*`. */
  names: readonly string[] | null;
  limits: LimitChanges;
  credential_kind: "api_key" | "oauth";
  /** A service tier policy, to be checked as one. */
  policy: object;
  /** See `parseTime`. */
  time: string | number;
}

export type FieldKind = keyof FieldTypes;

/** Fields by name. */
export type Kinds = Readonly<Record<string, FieldKind>>;

/** What a body may hold. */
export interface Shape {
  readonly required: Kinds;
  readonly optional: Kinds;
}

/** What was sent, by the shape it was read with. */
export type Fields<S extends Shape> = {
  readonly [K in keyof S["required"]]: FieldTypes[S["required"][K]];
} & { readonly [K in keyof S["optional"]]?: FieldTypes[S["optional"][K]] };

export const TEXT_LENGTH_MAX = 200;
export const KEY_LENGTH_MAX = 8192;
/** As many as a token may name (`auth/token_claims.ts`). */
export const NAMES_MAX = 100;

/**
 * The fields of a body. No body at all is like an empty object where nothing is required.
 * @throws Problem 400 for anything but an object of fields in `shape`, of their kinds
 */
export function readFields<S extends Shape>(body: unknown, shape: S): Fields<S> {
  const kinds: Kinds = { ...shape.required, ...shape.optional };
  const names = Object.keys(kinds);
  const advice = names.length === 0 ? "Send no fields" : `Known fields: ${names.join(", ")}`;
  const isLeftOut = body === undefined && Object.keys(shape.required).length === 0;
  const value = isLeftOut ? {} : body;
  if (!isRecord(value)) {
    throw new Problem("bad_request", "The body must be a JSON object", advice);
  }
  for (const [name, field] of Object.entries(value)) checkField(name, field, kinds, advice);
  for (const name of Object.keys(shape.required)) {
    if (!Object.hasOwn(value, name)) throw missing(name);
  }
  // A validated parse edge: every field was checked against its kind, which types cannot follow.
  return value as Fields<S>;
}

/** A field that has to be there is not. */
export function missing(name: string): Problem {
  return new Problem("bad_request", `"${name}" is missing`, `Send "${name}" in the body`);
}

function checkField(name: string, value: unknown, kinds: Kinds, advice: string): void {
  const shown = JSON.stringify(name.slice(0, 100));
  const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (kind === undefined) throw new Problem("unknown_field", `Unknown field ${shown}`, advice);
  const wrong = CHECKS[kind](value);
  if (wrong !== null) throw new Problem("bad_request", `${shown} ${wrong}`, advice);
}

/** What is wrong with a value of each kind, or null. */
const CHECKS: Readonly<Record<FieldKind, (value: unknown) => string | null>> = {
  text: (value) => textComplaint(value, TEXT_LENGTH_MAX),
  nullable_text: (value) => (value === null ? null : textComplaint(value, TEXT_LENGTH_MAX)),
  secret: (value) => textComplaint(value, KEY_LENGTH_MAX),
  boolean: (value) => (typeof value === "boolean" ? null : "must be true or false"),
  count: countComplaint,
  nullable_count: (value) => (value === null ? null : countComplaint(value)),
  names: (value) => (value === null ? null : namesComplaint(value)),
  limits: limitsComplaint,
  credential_kind: (value) =>
    value === "api_key" || value === "oauth" ? null : "must be api_key or oauth",
  policy: (value) => (isRecord(value) ? null : "must be a JSON object"),
  time: (value) => (Number.isFinite(value) ? null : textComplaint(value, TEXT_LENGTH_MAX)),
};

function textComplaint(value: unknown, lengthMax: number): string | null {
  if (typeof value !== "string") return "must be a string";
  if (value.trim() === "") return "must not be empty";
  if (value.length > lengthMax) return `must have at most ${lengthMax} characters`;
  return hasControlCharacter(value) ? "must not contain control characters" : null;
}

function countComplaint(value: unknown): string | null {
  const isCount = typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
  return isCount ? null : "must be a whole number from 1";
}

function namesComplaint(value: unknown): string | null {
  const isList = Array.isArray(value) && value.length >= 1 && value.length <= NAMES_MAX;
  if (!isList) return `must be a list of 1 to ${NAMES_MAX} names, or null for no restriction`;
  for (const name of value) {
    const wrong = textComplaint(name, TEXT_LENGTH_MAX);
    if (wrong !== null) return `has an entry that ${wrong}`;
    if (String(name).slice(0, -1).includes("*")) return 'may have "*" only at the end of an entry';
  }
  return null;
}

function limitsComplaint(value: unknown): string | null {
  try {
    parseLimits(value);
    return null;
  } catch (error) {
    if (error instanceof TypeError) return `is not right: ${error.message}`;
    throw error;
  }
}

/** Line breaks would forge lines of tables and logs, and header values. */
function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

/**
 * The parameters of a query, each at most once.
 * @throws Problem 400 for a parameter that is not in `known`
 */
export function readQuery<K extends string>(
  request: Request,
  known: readonly K[],
): Partial<Record<K, string>> {
  const read: Partial<Record<K, string>> = {};
  for (const [name, value] of new URL(request.url).searchParams) {
    const match = known.find((one) => one === name);
    const shown = JSON.stringify(name.slice(0, 100));
    const advice = known.length === 0 ? "Send none" : `Known parameters: ${known.join(", ")}`;
    if (match === undefined)
      throw new Problem("unknown_field", `Unknown parameter ${shown}`, advice);
    if (read[match] !== undefined) {
      throw new Problem("bad_request", `Parameter ${shown} is sent twice`, "Send it once");
    }
    read[match] = value;
  }
  return read;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
