/**
 * What every reader of usage objects needs: counts that are checked, all or nothing.
 *
 * Owns: what is a count, and that one bad count spoils the object.
 * Does not own: what a provider calls its counts.
 * Invariant: a count that is not a whole number from 0 to 2^53 makes the whole object `malformed`.
 */

import type { Usage } from "../exchange.ts";
import type { UsageReading } from "./provider.ts";

export const USAGE_ABSENT: UsageReading = { reading: "absent" };
export const NONE_BILLED: UsageReading = { reading: "none_billed" };
const MALFORMED: UsageReading = { reading: "malformed" };

/** A JSON object of unknown shape. */
export type Json = Readonly<Record<string, unknown>>;

/**
 * @param json the text of a usage object, or null where there is none
 * @param usageOf throws where the object is not what it should be
 */
export function readUsageObject(json: string | null, usageOf: (raw: Json) => Usage): UsageReading {
  if (json === null || json === "null") return USAGE_ABSENT;
  try {
    return { reading: "usage", usage: usageOf(record(JSON.parse(json))) };
  } catch {
    return MALFORMED;
  }
}

/** @throws TypeError it is no object */
export function record(value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError("A usage object is not an object");
  }
  // The check above leaves only plain objects, which JSON.parse makes with string keys.
  return value as Json;
}

/** The object under `key`, empty where there is none. @throws TypeError it is no object */
export function recordIn(raw: Json, key: string): Json {
  return record(raw[key] ?? {});
}

/** The count under `key`. @throws TypeError it is missing, or no count */
export function required(raw: Json, key: string): number {
  const value = count(raw, key);
  if (value === null) throw new TypeError(`Usage lacks ${key}`);
  return value;
}

/** The count under `key`, null where there is none. @throws TypeError it is no count */
export function count(raw: Json, key: string): number | null {
  const value = raw[key];
  if (value === undefined || value === null) return null;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new TypeError(`Usage has no count in ${key}`);
}
