/**
 * A provider's endpoints as a table of path patterns.
 *
 * Owns: matching a path against patterns such as `/v1/responses/{id}`.
 * Does not own: the tables.
 * Invariant: `{x}` stands for one segment that is a plain value, a final `*` for one or more; what
 * matches no pattern does not exist, and neither does a method that its pattern does not name.
 */

import type { TurnKind } from "../exchange.ts";
import type { Endpoint, MeterDialect } from "./provider.ts";

/** One pattern. A method that it does not name does not exist there. */
export interface Route {
  readonly pattern: string;
  /** The endpoint of the method that bills; null: none does. */
  readonly billed: { readonly method: string; readonly endpoint: Endpoint } | null;
  /** The endpoint of `GET`, where that is a WebSocket upgrade. */
  readonly upgrade: Endpoint | null;
  /** The methods that are relayed and make no usage event, and their endpoint; null: none. */
  readonly free: { readonly methods: readonly Method[]; readonly endpoint: Endpoint } | null;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export function endpoint(
  name: string,
  billing: boolean,
  kind: TurnKind,
  dialect: MeterDialect,
  more: Partial<Pick<Endpoint, "websocket" | "requestBody">> = {},
): Endpoint {
  const requestBody = billing ? "json" : "opaque";
  const usual = { websocket: "never", requestBody, escapesLimits: false } as const;
  return { name, billing, kind, dialect, ...usual, ...more };
}

/** A path whose exchanges are never billed. */
export function free(pattern: string, ...methods: readonly Method[]): Route {
  const of = endpoint(pattern, false, "response", "none");
  return { pattern, billed: null, upgrade: null, free: { methods, endpoint: of } };
}

/** A path that hands out a key of the provider's, which is then used past us. */
export function handsOutKey(pattern: string): Route {
  const of = { ...endpoint(pattern, false, "response", "none"), escapesLimits: true };
  return { pattern, billed: null, upgrade: null, free: { methods: ["POST"], endpoint: of } };
}

/** A path whose `POST` bills. `also` are methods that do not. */
export function billed(
  pattern: string,
  kind: TurnKind,
  dialect: MeterDialect,
  more: Partial<Pick<Endpoint, "websocket" | "requestBody">> = {},
  also: readonly Method[] = [],
): Route {
  const post = { method: "POST", endpoint: endpoint(pattern, true, kind, dialect, more) };
  const other = { methods: also, endpoint: endpoint(pattern, false, kind, "none") };
  return { pattern, billed: post, upgrade: null, free: other };
}

/** A table, prepared for look-up. */
export class RouteTable {
  readonly #exact = new Map<string, Route>();
  readonly #patterns: { readonly segments: readonly string[]; readonly route: Route }[] = [];

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      if (/[{*]/.test(route.pattern)) {
        this.#patterns.push({ segments: route.pattern.split("/"), route });
      } else {
        this.#exact.set(route.pattern, route);
      }
    }
  }

  /** Null: there is no such endpoint. */
  find(method: string, path: string): Endpoint | null {
    const route = this.#exact.get(path) ?? this.#match(path);
    if (route === null) return null;
    if (route.billed?.method === method) return route.billed.endpoint;
    if (method === "GET" && route.upgrade !== null) return route.upgrade;
    const isFree = route.free?.methods.some((each) => each === method) ?? false;
    return isFree ? (route.free?.endpoint ?? null) : null;
  }

  #match(path: string): Route | null {
    const segments = path.split("/");
    for (const { segments: pattern, route } of this.#patterns) {
      if (matches(pattern, segments)) return route;
    }
    return null;
  }
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index];
    if (part === "*") return segments.length > index && segments.slice(index).every(isValue);
    if (segment === undefined) return false;
    if (part.startsWith("{") ? !isValue(segment) : part !== segment) return false;
  }
  return pattern.length === segments.length;
}

/** What another server may read as the end of a segment, or as nothing, and no id contains. */
const AMBIGUOUS = /[\u0000-\u0020\u007f;/\\?#%]|^\.{1,2}$/;

/**
 * Whether a segment of a path is a plain value in every reading: not empty, not dots, and without
 * separators, white space and control characters, escaped or not. Otherwise the upstream may see
 * another path than the one that was looked up.
 */
export function isValue(segment: string): boolean {
  if (segment === "") return false;
  if (!segment.includes("%")) return !AMBIGUOUS.test(segment);
  try {
    return !AMBIGUOUS.test(decodeURIComponent(segment));
  } catch {
    return false;
  }
}
