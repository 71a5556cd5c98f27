/**
 * Anthropic: its endpoints and where its credential goes.
 *
 * Owns: the list of paths, which of them bill, and the two headers that carry a key.
 * Does not own: the events of a message (`anthropic_messages.ts`).
 * Invariant: `anthropic-version` and `anthropic-beta` are the client's; the one beta that an OAuth
 * token needs is added to them.
 */

import type { CredentialKind, CredentialStyle, Endpoint, Provider } from "./provider.ts";
import { RouteTable, billed, free } from "./route_table.ts";

const TABLE = new RouteTable([
  billed("/v1/messages", "response", "anthropic_messages"),
  free("/v1/messages/count_tokens", "POST"),
  // Each result has its own usage, in a file that is fetched later.
  billed("/v1/messages/batches", "response", "none", { batch: "anthropic" }, ["GET"]),
  free("/v1/messages/batches/{id}", "GET", "DELETE"),
  free("/v1/messages/batches/{id}/results", "GET"),
  free("/v1/messages/batches/{id}/cancel", "POST"),
  billed("/v1/complete", "response", "none"),
  free("/v1/models", "GET"),
  free("/v1/models/{id}", "GET"),
  free("/v1/files", "GET", "POST"),
  free("/v1/files/{id}", "GET", "DELETE"),
  free("/v1/files/{id}/content", "GET"),
]);

/** An OAuth token, which only goes as Bearer. */
const OAUTH_PREFIX = "sk-ant-oat";
const API_KEY_PREFIX = "sk-ant-api";
/** Without it the API refuses such a token. */
const OAUTH_BETA = "oauth-2025-04-20";

export const anthropic: Provider = {
  type: "anthropic",
  endpoint: (method, path): Endpoint | null => TABLE.find(method, path),
  has: (path) => TABLE.has(path),
  reaches: (entry) => TABLE.reaches(entry),
  credentialHeaders,
  refusesCredential: (status) => status === 401 || status === 403,
  requestIdHeader: "request-id",
  serviceTierHeader: null,
};

/** A key goes the way the client sent its token, because that depends on the version it speaks. */
function credentialHeaders(
  key: string,
  style: CredentialStyle,
  kind: CredentialKind,
): readonly (readonly [string, string])[] {
  const bearer = ["authorization", `Bearer ${key}`] as const;
  const isOauth = kind === "oauth" && !key.startsWith(API_KEY_PREFIX);
  if (isOauth || key.startsWith(OAUTH_PREFIX)) return [bearer, ["anthropic-beta", OAUTH_BETA]];
  return style === "authorization" ? [bearer] : [["x-api-key", key]];
}
