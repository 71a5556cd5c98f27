/**
 * A provider's endpoints as a table of path patterns.
 *
 * Owns: matching a path against patterns such as `/v1/responses/{id}`.
 * Does not own: the tables.
 * Invariant: `{x}` stands for one segment that is not empty, a final `*` for whatever follows; what
 * matches no pattern does not exist.
 */

import type { TurnKind } from "../exchange.ts";
import type { Endpoint, MeterDialect } from "./provider.ts";

/** One pattern. Methods other than `billed` are relayed too and make no usage event. */
export interface Route {
  readonly pattern: string;
  /** The endpoint of the method that bills; null: none does. */
  readonly billed: { readonly method: string; readonly endpoint: Endpoint } | null;
  /** The endpoint of `GET`, where that is a WebSocket upgrade. */
  readonly upgrade: Endpoint | null;
  /** The endpoint of every other method. */
  readonly other: Endpoint | null;
}

export function endpoint(
  name: string,
  billing: boolean,
  kind: TurnKind,
  dialect: MeterDialect,
  more: Partial<Pick<Endpoint, "websocket" | "requestBody">> = {},
): Endpoint {
  const requestBody = billing ? "json" : "opaque";
  return { name, billing, kind, dialect, websocket: "never", requestBody, ...more };
}

/** A path whose exchanges are never billed. */
export function free(pattern: string): Route {
  const other = endpoint(pattern, false, "response", "none");
  return { pattern, billed: null, upgrade: null, other };
}

/** A path whose `POST` bills. */
export function billed(
  pattern: string,
  kind: TurnKind,
  dialect: MeterDialect,
  more: Partial<Pick<Endpoint, "websocket" | "requestBody">> = {},
): Route {
  const post = { method: "POST", endpoint: endpoint(pattern, true, kind, dialect, more) };
  const other = endpoint(pattern, false, kind, "none");
  return { pattern, billed: post, upgrade: null, other };
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
    return method === "GET" && route.upgrade !== null ? route.upgrade : route.other;
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
    if (part === "*") return segment !== undefined && segment !== "";
    if (segment === undefined) return false;
    if (part.startsWith("{") ? segment === "" : part !== segment) return false;
  }
  return pattern.length === segments.length;
}
