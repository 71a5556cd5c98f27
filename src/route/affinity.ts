/**
 * Which upstream made a response, so that what is asked about it goes there again: another provider
 * does not know it, and neither does another account of the same one.
 *
 * Owns: the memory of this node, bounded.
 * Does not own: the choice (`choose.ts`), or where a request names a response beside its path.
 * Invariant: a response is found by its own project only, so nobody steers another's requests.
 */

import { Lru } from "../lib/lru.ts";
import type { ProviderConfig } from "../config/config.ts";
import type { Endpoint } from "../provider/provider.ts";
import type { Upstream } from "./health.ts";
import type { Route } from "./resolve.ts";

/** Of each kind; the ones used longest ago are forgotten, and asked for anywhere. */
const REMEMBERED_MAX = 50_000;

/**
 * Only of these endpoints may something be asked again by a response's id. What others make is not
 * remembered: so much that lives long would cost more than the exchange.
 */
const ENDPOINTS = "/v1/responses";

/** A response of the ledger. */
interface MadeResponse {
  readonly endpoint: string;
  readonly session_id: string;
  readonly project_id: string;
  readonly provider: string;
  readonly response_id: string | null;
}

export class Affinity {
  readonly #providers: ReadonlyMap<string, ProviderConfig>;
  /** By exchange. */
  readonly #running: Lru<string, Upstream>;
  /** By project and response id. */
  readonly #made: Lru<string, Upstream>;

  /** @param limit of the responses, and of the exchanges, that are remembered */
  constructor(providers: readonly ProviderConfig[], limit = REMEMBERED_MAX) {
    this.#providers = new Map(providers.map((provider) => [provider.name, provider]));
    this.#running = new Lru(limit);
    this.#made = new Lru(limit);
  }

  /** An exchange is sent to `upstream`; the last one counts. */
  sent(
    exchangeId: string,
    { provider, apiKey, endpoint }: Upstream & { readonly endpoint: Pick<Endpoint, "name"> },
  ): void {
    if (isRemembered(endpoint.name)) this.#running.set(exchangeId, { provider, apiKey });
  }

  /** An exchange made a response. */
  made({ session_id, project_id, provider, endpoint, response_id }: MadeResponse): void {
    if (response_id === null || !isRemembered(endpoint)) return;
    const sent = this.#running.get(session_id);
    const named = this.#providers.get(provider);
    const upstream =
      sent?.provider.name === provider || named === undefined
        ? sent
        : { provider: named, apiKey: null };
    if (upstream !== undefined) this.#made.set(keyOf(project_id, response_id), upstream);
  }

  /** Who made the response; its key is null where that is not known. Null: not known at all. */
  find(projectId: string, responseId: string): Upstream | null {
    return this.#made.get(keyOf(projectId, responseId)) ?? null;
  }
}

/** The response that a path is about, as `/v1/responses/{id}/cancel`; null: none. */
export function responseOfPath({ endpoint, path }: Route): string | null {
  if (!endpoint.name.startsWith(`${ENDPOINTS}/{`)) return null;
  return path.split("/")[3] ?? null;
}

function isRemembered(endpoint: string): boolean {
  return endpoint.startsWith(ENDPOINTS);
}

function keyOf(projectId: string, responseId: string): string {
  return `${projectId} ${responseId}`;
}
