/**
 * Cross-origin requests of browsers (Fetch standard, section 3.2): preflights, and what an answer
 * says of who may read it.
 *
 * Owns: which origins are allowed, and every `access-control-*` header that is sent.
 * Does not own: when that is decided (`gateway.ts`), or what else a provider asks for (`door.ts`).
 * Invariant: an origin that is not allowed is named in no header, and where origins are limited, no
 * header of the upstream's says otherwise.
 */

import type { CorsConfig, ProviderConfig } from "../config/config.ts";

/** As in `CorsConfig`; null: origins are not limited, and browsers are told nothing. */
export type Origins = readonly string[] | null;

/** What a browser asks before it sends a request. */
export interface Preflight {
  readonly origin: string;
  readonly method: string;
  /** Names of headers, lower-cased. */
  readonly headers: readonly string[];
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/** One label of a host's name, as browsers write it. */
const LABEL = /^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?$/;
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

const PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/** The preflight that a request is; null: it is a request of its own. */
export function preflightOf({ method, headers }: Request): Preflight | null {
  if (method !== "OPTIONS") return null;
  const origin = headers.get("origin");
  const asked = headers.get("access-control-request-method");
  if (origin === null || asked === null) return null;
  const names = (headers.get("access-control-request-headers") ?? "").toLowerCase().split(",");
  const trimmed = names.map((name) => name.trim()).filter((name) => TOKEN.test(name));
  return { origin, method: asked, headers: trimmed };
}

/** Whether an `Origin` header is in the list. Byte for byte: browsers write it in one way only. */
export function allowsOrigin(origins: readonly string[], origin: string): boolean {
  return origins.some((entry) => {
    if (entry === "*" || entry === origin) return true;
    const star = entry.indexOf("*.");
    if (star === -1) return false;
    const [before, after] = [entry.slice(0, star), entry.slice(star + 1)];
    if (!origin.startsWith(before) || !origin.endsWith(after)) return false;
    return LABEL.test(origin.slice(star, origin.length - after.length));
  });
}

/** The rules of a configuration. */
export class Cors {
  /** Of what no provider has rules of its own for. */
  readonly origins: Origins;
  readonly #config: CorsConfig;
  readonly #ofAny = new Map<readonly ProviderConfig[], Origins>();

  constructor(config: CorsConfig) {
    this.#config = config;
    this.origins = config.allowedOrigins.length === 0 ? null : config.allowedOrigins;
  }

  originsOf({ allowedOrigins }: Pick<ProviderConfig, "allowedOrigins">): Origins {
    return allowedOrigins ?? this.origins;
  }

  /**
   * What any of the providers allows.
   * @param providers the same array for the same providers: it is looked at once
   */
  originsOfAny(providers: readonly ProviderConfig[]): Origins {
    let origins = this.#ofAny.get(providers);
    if (origins === undefined) {
      const lists = providers.flatMap((one) => {
        const own = this.originsOf(one);
        return own === null ? [] : [own];
      });
      origins = lists.length === 0 ? null : [...new Set(lists.flat())];
      this.#ofAny.set(providers, origins);
    }
    return origins;
  }

  /** The answer to a preflight whose origin is allowed. */
  answer(origins: readonly string[], { origin, headers: asked }: Preflight): Response {
    const { allowedMethods, allowedHeaders, maxAgeMs } = this.#config;
    const headers = new Headers({ vary: PREFLIGHT_VARY });
    this.#allow(headers, origins, origin);
    const methods = allowedMethods.length === 0 ? METHODS : allowedMethods;
    headers.set("access-control-allow-methods", methods.join(", "));
    const names = allowedHeaders.length === 0 ? asked : allowedHeaders;
    if (names.length > 0) headers.set("access-control-allow-headers", names.join(", "));
    headers.set("access-control-max-age", String(Math.floor(maxAgeMs / 1_000)));
    return new Response(null, { status: 204, headers });
  }

  /**
   * Says in an answer's headers who may read it. Refusals are marked too: a page that may not read
   * them takes each for a network that failed.
   * @param origin of the request; null: it names none
   */
  mark(headers: Headers, origins: Origins, origin: string | null): void {
    if (origins === null) return;
    for (const name of [...headers.keys()]) {
      if (name.startsWith("access-control-")) headers.delete(name);
    }
    if (!variesByOrigin(headers)) headers.append("vary", "Origin");
    if (origin === null || !allowsOrigin(origins, origin)) return;
    // With credentials a browser takes `*` for the name of a header.
    const exposed = this.#config.allowCredentials ? [...headers.keys()].join(", ") : "*";
    this.#allow(headers, origins, origin);
    headers.set("access-control-expose-headers", exposed);
  }

  #allow(headers: Headers, origins: readonly string[], origin: string): void {
    headers.set("access-control-allow-origin", origins.includes("*") ? "*" : origin);
    if (this.#config.allowCredentials) headers.set("access-control-allow-credentials", "true");
  }
}

function variesByOrigin(headers: Headers): boolean {
  const names = headers.get("vary")?.toLowerCase().split(",") ?? [];
  return names.some((name) => ["origin", "*"].includes(name.trim()));
}
