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

/** What most endpoints do not have. */
type EndpointTraits = Partial<
  Pick<Endpoint, "websocket" | "requestBody" | "batch" | "escapesLimits" | "clientSecret">
>;

export function endpoint(
  name: string,
  billing: boolean,
  kind: TurnKind,
  dialect: MeterDialect,
  more: EndpointTraits = {},
): Endpoint {
  const requestBody = billing ? "json" : "opaque";
  const usual = {
    websocket: "never",
    requestBody,
    batch: null,
    escapesLimits: false,
    clientSecret: null,
  } as const;
  return { name, billing, kind, dialect, ...usual, ...more };
}

/** A path whose exchanges are never billed. */
export function free(pattern: string, ...methods: readonly Method[]): Route {
  const of = endpoint(pattern, false, "response", "none");
  return { pattern, billed: null, upgrade: null, free: { methods, endpoint: of } };
}

/** A path whose `POST` is never billed, and is no usual one. */
export function special(pattern: string, dialect: MeterDialect, more: EndpointTraits): Route {
  const of = endpoint(pattern, false, "response", dialect, more);
  return { pattern, billed: null, upgrade: null, free: { methods: ["POST"], endpoint: of } };
}

/** A path whose `POST` bills. `also` are methods that do not. */
export function billed(
  pattern: string,
  kind: TurnKind,
  dialect: MeterDialect,
  more: EndpointTraits = {},
  also: readonly Method[] = [],
): Route {
  const post = { method: "POST", endpoint: endpoint(pattern, true, kind, dialect, more) };
  const other = { methods: also, endpoint: endpoint(pattern, false, kind, "none") };
  return { pattern, billed: post, upgrade: null, free: other };
}

/** What may follow a beginning of a path. */
interface Branch {
  readonly literals: Map<string, Branch>;
  /** Behind any one value. */
  value: Branch | null;
  /** Of a final `*`. */
  rest: Route | null;
  /** Of the path that ends here. */
  route: Route | null;
}

/** A table, prepared for look-up: its cost depends on the path's length, not on the table's. */
export class RouteTable {
  readonly #root = branch();

  constructor(routes: readonly Route[]) {
    for (const route of routes) this.#add(route);
  }

  /** Null: there is no such endpoint. */
  find(method: string, path: string): Endpoint | null {
    const route = this.#routeOf(path);
    if (route === null) return null;
    if (route.billed?.method === method) return route.billed.endpoint;
    if (method === "GET" && route.upgrade !== null) return route.upgrade;
    const isFree = route.free?.methods.some((each) => each === method) ?? false;
    return isFree ? (route.free?.endpoint ?? null) : null;
  }

  /** Whether there is an endpoint of whatever method. */
  has(path: string): boolean {
    return this.#routeOf(path) !== null;
  }

  /** Whether there is an endpoint at `entry` or below it, where `*` stands for one segment. */
  reaches(entry: string): boolean {
    return reaches(this.#root, entry.replace(/\/+$/, "").split("/"), 0);
  }

  #add(route: Route): void {
    let at = this.#root;
    for (const part of route.pattern.split("/")) {
      if (part === "*") {
        at.rest = route;
        return;
      }
      at = part.startsWith("{") ? (at.value ??= branch()) : literal(at, part);
    }
    at.route = route;
  }

  #routeOf(path: string): Route | null {
    return match(this.#root, path.split("/"), 0);
  }
}

function branch(): Branch {
  return { literals: new Map(), value: null, rest: null, route: null };
}

function literal({ literals }: Branch, part: string): Branch {
  const known = literals.get(part) ?? branch();
  literals.set(part, known);
  return known;
}

/** A literal segment comes before a value, and a value before the rest. */
function match(at: Branch, segments: readonly string[], index: number): Route | null {
  const segment = segments[index];
  if (segment === undefined) return at.route;
  const named = at.literals.get(segment);
  const found = named === undefined ? null : match(named, segments, index + 1);
  if (found !== null || (at.value === null && at.rest === null)) return found;
  if (!isValue(segment)) return null;
  const valued = at.value === null ? null : match(at.value, segments, index + 1);
  return valued ?? (segments.slice(index).every(isValue) ? at.rest : null);
}

function reaches(at: Branch, segments: readonly string[], index: number): boolean {
  const segment = segments[index];
  // Every branch leads to an endpoint.
  if (segment === undefined) return true;
  const isAny = segment === "*";
  const named = isAny ? [...at.literals.values()] : [at.literals.get(segment)];
  const valued = isAny || isValue(segment) ? [at.value] : [];
  if (at.rest !== null && valued.length > 0) return true;
  const next = [...named, ...valued].filter((one) => one !== undefined && one !== null);
  return next.some((one) => reaches(one, segments, index + 1));
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
