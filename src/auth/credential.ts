/**
 * Finds what a caller sent to say who it is, in every place where a provider's SDK may put it.
 *
 * Owns: the places, their order, and what has to be taken out of the query and the subprotocol
 * list.
 * Does not own: whether a credential is good (`authenticate.ts`), or the removal of headers
 * (`relay/`).
 * Invariant: `query` and `subprotocols` of the result hold no credential, whatever was found.
 */

import { decodeBase64, decodeUtf8 } from "../lib/encoding.ts";
import type { CredentialStyle } from "../provider/provider.ts";

/** The WebSocket subprotocol that carries a key, as OpenAI's browser clients send it. */
const SUBPROTOCOL_PREFIX = "openai-insecure-api-key.";

/** Where to look. */
export interface CredentialSource {
  readonly headers: Headers;
  /** Query of the request as it came, with or without `?`; "" for none. */
  readonly query: string;
  /**
   * `gemini` also reads `?key=`. `proxy` is for `forward` providers and CONNECT, whose
   * `Authorization` is the upstream's: only `Proxy-Authorization` and `x-sluice-token` are read
   * there.
   */
  readonly placement: "api" | "gemini" | "proxy";
}

interface FoundCredential {
  readonly value: string;
  readonly style: CredentialStyle;
}

/** What a request says of its caller. */
export interface FoundCredentials {
  /** Distinct values in the order of the places. More than one is a contradiction. */
  readonly credentials: readonly FoundCredential[];
  /** The query without `?` and without credentials; every other byte as it came. */
  readonly query: string;
  /** Offered subprotocols without credentials, in order. */
  readonly subprotocols: readonly string[];
  readonly placement: CredentialSource["placement"];
}

/** Looks in every place. Never throws: what is malformed is no credential. */
export function findCredentials(source: CredentialSource): FoundCredentials {
  const { headers, placement } = source;
  const query = source.query.startsWith("?") ? source.query.slice(1) : source.query;
  const offered = splitList(headers.get("sec-websocket-protocol"));
  const found = new Finding();
  if (placement === "proxy") {
    found.add("proxy_authorization", proxyToken(headers.get("proxy-authorization")));
    found.add("x_sluice_token", headers.get("x-sluice-token"));
    return { credentials: found.credentials, query, subprotocols: offered, placement };
  }
  found.add("authorization", bearer(headers.get("authorization")));
  found.add("x_api_key", headers.get("x-api-key"));
  found.add("api_key", headers.get("api-key"));
  found.add("x_goog_api_key", headers.get("x-goog-api-key"));
  const keyed = placement === "gemini" ? takeKeys(query) : { query, keys: [] };
  for (const key of keyed.keys) found.add("query_key", key);
  const subprotocols = offered.filter((name) => !name.startsWith(SUBPROTOCOL_PREFIX));
  for (const name of offered) {
    if (name.startsWith(SUBPROTOCOL_PREFIX)) {
      found.add("subprotocol", name.slice(SUBPROTOCOL_PREFIX.length));
    }
  }
  return { credentials: found.credentials, query: keyed.query, subprotocols, placement };
}

/** Distinct credentials; the same value sent twice is one, in its first place. */
class Finding {
  readonly credentials: FoundCredential[] = [];

  add(style: CredentialStyle, value: string | null): void {
    const trimmed = value?.trim() ?? "";
    if (trimmed === "" || this.credentials.some((known) => known.value === trimmed)) return;
    this.credentials.push({ value: trimmed, style });
  }
}

/**
 * The token of `Bearer <token>` (RFC 6750 section 2.1); schemes are case-insensitive (RFC 9110).
 */
function bearer(header: string | null): string | null {
  return header === null ? null : schemeValue(header, "bearer");
}

/**
 * Bearer, or the password of Basic (RFC 7617), because that is all that many proxy clients can
 * send.
 */
function proxyToken(header: string | null): string | null {
  if (header === null) return null;
  const basic = schemeValue(header, "basic");
  return basic === null ? bearer(header) : basicPassword(basic);
}

function schemeValue(header: string, scheme: string): string | null {
  const text = header.trim();
  if (text.slice(0, scheme.length).toLowerCase() !== scheme) return null;
  const rest = text.slice(scheme.length);
  return rest.startsWith(" ") || rest.startsWith("\t") ? rest.trim() : null;
}

function basicPassword(encoded: string): string | null {
  try {
    const pair = decodeUtf8(decodeBase64(encoded));
    const colon = pair.indexOf(":");
    return colon === -1 ? null : pair.slice(colon + 1);
  } catch {
    return null;
  }
}

function splitList(header: string | null): string[] {
  if (header === null) return [];
  return header
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/**
 * Takes every `key` parameter out, however its name is escaped, and leaves the rest byte for byte.
 */
function takeKeys(query: string): { query: string; keys: string[] } {
  const keys: string[] = [];
  const kept = query.split("&").filter((pair) => {
    // The `&` keeps the parser from taking a leading `?` of the pair off.
    const [entry] = new URLSearchParams(`&${pair}`);
    if (entry === undefined || entry[0] !== "key") return true;
    keys.push(entry[1]);
    return false;
  });
  return { query: keys.length === 0 ? query : kept.join("&"), keys };
}
