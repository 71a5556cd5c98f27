/**
 * The answer to a browser that asks whether it may send a request.
 *
 * Owns: which upstreams the request to come is for, and so whose origins decide.
 * Does not own: the answer's headers (`policy/cors.ts`), or the request itself when it comes.
 * Invariant: nothing goes upstream, and no credential is looked at: a browser sends none here.
 */

import { type Cors, type Origins, type Preflight, preflightOf } from "../policy/cors.ts";
import { requireOrigin } from "../policy/door.ts";
import { providerOf } from "../provider/dialect.ts";
import { resolve } from "../route/resolve.ts";
import type { RoutingTable } from "../route/table.ts";
import type { Arrival } from "./arrival.ts";

/** What is prepared of the configuration. */
interface PreflightRules {
  readonly table: RoutingTable;
  readonly cors: Cors;
}

/**
 * @returns null: it is no preflight, or origins are not limited there, and so it is a request like
 *   any other
 * @throws GatewayError `origin_not_allowed`
 */
export function answerPreflight(rules: PreflightRules, arrival: Arrival): Response | null {
  const preflight = preflightOf(arrival.request);
  const origins = preflight === null ? null : originsFor(rules, arrival, preflight);
  if (preflight === null || origins === null) return null;
  requireOrigin(origins, preflight.origin);
  const answer = rules.cors.answer(origins, preflight);
  answer.headers.set("x-sluice-request-id", arrival.id);
  return answer;
}

/** Those that the request to come will be held to. */
function originsFor(
  { table, cors }: PreflightRules,
  { request, path }: Arrival,
  { method, headers: names }: Preflight,
): Origins {
  const host = request.headers.get("host") ?? "";
  // Some paths are shared, and go by the headers that there will be.
  const headers = new Headers(names.map((name) => [name, ""]));
  try {
    const way = resolve({ method, headers, host, path, upgrade: false }, table, providerOf);
    return cors.originsOfAny(way.pool.providers);
  } catch {
    return cors.origins;
  }
}
