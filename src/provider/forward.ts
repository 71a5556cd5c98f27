/**
 * An upstream that is relayed and never understood.
 *
 * Owns: that every path exists and nothing bills.
 * Does not own: access; who may use it is decided before.
 * Invariant: it sees the client's own `Authorization`; nothing is put in its place.
 */

import type { Endpoint, Provider } from "./provider.ts";
import { endpoint } from "./route_table.ts";

const ANY: Endpoint = endpoint("*", false, "response", "none", { websocket: "also" });

export const forward: Provider = {
  type: "forward",
  endpoint: () => ANY,
  has: () => true,
  reaches: () => true,
  credentialHeaders: () => [],
  refusesCredential: () => false,
  requestIdHeader: null,
  serviceTierHeader: null,
};
