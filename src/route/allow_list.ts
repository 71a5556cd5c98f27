/**
 * `allowed_endpoints` and `allowed_methods` of a provider.
 *
 * Owns: how an entry is compared. Does not own: which endpoints there are (`provider/`).
 * Invariant: an entry covers whole segments, so `/v1/models` is not `/v1/modelsX`; what another
 * server may read as a different path is covered by none.
 */

import { isValue } from "../provider/route_table.ts";

/**
 * Whether one of the entries is the path or lies above it.
 * @param list null: everything is allowed
 * @param path WHATWG-normalised, without query
 */
export function allowsPath(list: readonly string[] | null, path: string): boolean {
  if (list === null) return true;
  const segments = segmentsOf(path);
  return segments.every(isValue) && entriesOf(list).some((entry) => covers(entry, segments));
}

/**
 * Whether the method is listed. HEAD is GET without the body (RFC 9110 section 9.3.2).
 * @param list null: everything is allowed
 */
export function allowsMethod(list: readonly string[] | null, method: string): boolean {
  return list === null || list.includes(method) || (method === "HEAD" && list.includes("GET"));
}

/** Lists belong to a configuration and never change, so each is taken apart once. */
const takenApart = new WeakMap<readonly string[], readonly (readonly string[])[]>();

function entriesOf(list: readonly string[]): readonly (readonly string[])[] {
  const known = takenApart.get(list);
  if (known !== undefined) return known;
  const entries = list.map(segmentsOf);
  takenApart.set(list, entries);
  return entries;
}

function covers(entry: readonly string[], segments: readonly string[]): boolean {
  if (entry.length > segments.length) return false;
  return entry.every((part, index) => part === "*" || part === segments[index]);
}

/** Without the empty one that a slash at the end makes. */
function segmentsOf(path: string): string[] {
  const segments = path.split("/").slice(1);
  if (segments.at(-1) === "") segments.pop();
  return segments;
}
