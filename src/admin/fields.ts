/**
 * Reads what a management request says: the fields of its body and the parameters of its query.
 *
 * Owns: types, bounds, and the refusal of whatever is not known. Does not own: what a field does.
 * Invariant: a field is used or refused, never ignored; one that restricts and is not enforced yet
 * is refused by name.
 */

import { Problem } from "./problem.ts";

/** What a field may be. `text` is not empty; `nullable_text` may be null. */
type FieldKind = "text" | "nullable_text" | "boolean" | "number";

interface FieldTypes {
  text: string;
  nullable_text: string | null;
  boolean: boolean;
  number: number;
}

/** Fields that were sent, by the shape they were read with. */
type Fields<S extends Record<string, FieldKind>> = {
  -readonly [K in keyof S]?: FieldTypes[S[K]];
};

const TEXT_LENGTH_MAX = 200;
const KEY_LENGTH_MAX = 8192;

/** Fields of the management API that this version cannot enforce. */
const LATER = new Set(["models", "endpoints", "tiers", "limits", "max_requests", "issued_before"]);

/**
 * The fields of a body.
 * @throws Problem 400 for anything but an object of fields in `shape`, of their kinds
 */
export function readFields<S extends Record<string, FieldKind>>(
  body: unknown,
  shape: S,
): Fields<S> {
  const known = Object.keys(shape).join(", ");
  if (!isRecord(body)) {
    throw new Problem("bad_request", "The body must be a JSON object", `Known fields: ${known}`);
  }
  for (const [name, value] of Object.entries(body)) checkField(name, value, shape, known);
  // A validated parse edge: every field was checked against its kind, which types cannot follow.
  return body as Fields<S>;
}

function checkField(
  name: string,
  value: unknown,
  shape: Record<string, FieldKind>,
  known: string,
): void {
  const shown = JSON.stringify(name.slice(0, 100));
  const kind = Object.hasOwn(shape, name) ? shape[name] : undefined;
  if (kind === undefined && LATER.has(name)) {
    const message = `${shown} is not available in this version`;
    throw new Problem("not_available", message, `Leave it out. Known fields: ${known}`);
  }
  if (kind === undefined) {
    throw new Problem("unknown_field", `Unknown field ${shown}`, `Known fields: ${known}`);
  }
  const wrong = complaint(name, kind, value);
  if (wrong !== null)
    throw new Problem("bad_request", `${shown} ${wrong}`, `Known fields: ${known}`);
}

/** What is wrong with a value, or null. */
function complaint(name: string, kind: FieldKind, value: unknown): string | null {
  if (kind === "boolean") return typeof value === "boolean" ? null : "must be true or false";
  if (kind === "number") return Number.isFinite(value) ? null : "must be a number";
  if (kind === "nullable_text" && value === null) return null;
  if (typeof value !== "string") return "must be a string";
  if (value.trim() === "") return "must not be empty";
  const lengthMax = name === "api_key" ? KEY_LENGTH_MAX : TEXT_LENGTH_MAX;
  if (value.length > lengthMax) return `must have at most ${lengthMax} characters`;
  return hasControlCharacter(value) ? "must not contain control characters" : null;
}

/** Line breaks would forge lines of tables and logs, and header values. */
function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

/** The value of a field that has to be there. */
export function required<T>(name: string, value: T | undefined): T {
  if (value !== undefined) return value;
  throw new Problem("bad_request", `"${name}" is missing`, `Send "${name}" in the body`);
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
