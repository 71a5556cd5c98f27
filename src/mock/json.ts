/**
 * Reading JSON that somebody else wrote, without trusting its shape.
 *
 * Owns: narrowing. Does not own: what a missing or odd field means; that is the caller's.
 * Invariant: nothing here throws, and a value of the wrong type reads as absent.
 */

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object that `text` is; null where it is no JSON or no object. */
export function parseObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** The field if it is an object, else an empty one. */
export function objectIn(object: JsonObject, name: string): JsonObject {
  const value = object[name];
  return isObject(value) ? value : {};
}

export function stringIn(object: JsonObject, name: string): string | null {
  const value = object[name];
  return typeof value === "string" ? value : null;
}

export function numberIn(object: JsonObject, name: string): number | null {
  const value = object[name];
  return typeof value === "number" ? value : null;
}

/** The field if it is a list, else an empty one. */
export function listIn(object: JsonObject, name: string): readonly unknown[] {
  const value: unknown = object[name];
  return Array.isArray(value) ? value : [];
}
