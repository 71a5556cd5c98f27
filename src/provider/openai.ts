/**
 * OpenAI: its endpoints and where its credential goes.
 *
 * Owns: the list of paths that are relayed, which of them bill, and which take a WebSocket.
 * Does not own: the events (`openai_responses.ts`, `openai_realtime.ts`, `openai_chat.ts`,
 * `openai_media.ts`).
 * Invariant: a path that bills in a way that nobody can meter (`/v1/live/sessions`, fine-tuning,
 * videos) is not in the list, so it does not exist.
 */

import type { CredentialStyle, Endpoint, Provider } from "./provider.ts";
import type { Route } from "./route_table.ts";
import { RouteTable, billed, endpoint, free, special } from "./route_table.ts";

/** `GET` is the upgrade, `POST` the same call over HTTP. */
const RESPONSES: Route = {
  pattern: "/v1/responses",
  billed: {
    method: "POST",
    endpoint: endpoint("/v1/responses", true, "response", "openai_responses", {
      websocket: "also",
    }),
  },
  upgrade: endpoint("/v1/responses", true, "response", "openai_responses", { websocket: "only" }),
  free: null,
};

const REALTIME: Route = {
  pattern: "/v1/realtime",
  billed: null,
  upgrade: endpoint("/v1/realtime", true, "response", "openai_realtime", {
    websocket: "only",
    clientSecret: "taken",
  }),
  free: null,
};

const MULTIPART = { requestBody: "multipart" } as const;
/** The media of a call go past sluice. */
const CALL = { requestBody: "opaque", escapesLimits: true } as const;
/** Says what the session is to be that the key in its answer opens. */
const SECRET = { requestBody: "json", clientSecret: "given" } as const;

const TABLE = new RouteTable([
  RESPONSES,
  billed("/v1/responses/compact", "compaction", "openai_responses"),
  free("/v1/responses/input_tokens", "POST"),
  free("/v1/responses/{id}", "GET", "DELETE"),
  free("/v1/responses/{id}/cancel", "POST"),
  free("/v1/responses/{id}/input_items", "GET"),
  billed("/v1/chat/completions", "response", "openai_chat", {}, ["GET"]),
  free("/v1/chat/completions/{id}", "GET", "POST", "DELETE"),
  free("/v1/chat/completions/{id}/messages", "GET"),
  billed("/v1/completions", "response", "openai_completions"),
  billed("/v1/embeddings", "embedding", "openai_embeddings"),
  billed("/v1/moderations", "moderation", "openai_moderations"),
  billed("/v1/audio/transcriptions", "transcription", "openai_audio", MULTIPART),
  billed("/v1/audio/translations", "translation", "openai_audio", MULTIPART),
  billed("/v1/audio/speech", "speech", "openai_audio"),
  free("/v1/audio/voices", "GET", "POST"),
  billed("/v1/images/generations", "image", "openai_images"),
  billed("/v1/images/edits", "image", "openai_images", MULTIPART),
  billed("/v1/images/variations", "image", "openai_images", MULTIPART),
  REALTIME,
  special("/v1/realtime/client_secrets", "openai_realtime", SECRET),
  special("/v1/realtime/sessions", "openai_realtime", SECRET),
  special("/v1/realtime/transcription_sessions", "openai_realtime", SECRET),
  // The row says that something was billed, and not how much.
  billed("/v1/realtime/calls", "response", "none", { ...CALL, clientSecret: "taken" }),
  special("/v1/realtime/calls/{id}/accept", "none", CALL),
  free("/v1/realtime/calls/{id}/reject", "POST"),
  free("/v1/realtime/calls/{id}/refer", "POST"),
  free("/v1/realtime/calls/{id}/hangup", "POST"),
  // Its usage arrives in the output file, which is a download like any other.
  billed("/v1/batches", "response", "none", { batch: "file" }, ["GET"]),
  free("/v1/batches/{id}", "GET"),
  free("/v1/batches/{id}/cancel", "POST"),
  free("/v1/models", "GET"),
  free("/v1/models/{id}", "GET", "DELETE"),
  free("/v1/files", "GET", "POST"),
  free("/v1/files/{id}", "GET", "DELETE"),
  free("/v1/files/{id}/content", "GET"),
  free("/v1/uploads", "POST"),
  free("/v1/uploads/*", "POST"),
  free("/v1/conversations", "POST"),
  free("/v1/conversations/*", "GET", "POST", "DELETE"),
  free("/v1/vector_stores", "GET", "POST"),
  free("/v1/vector_stores/*", "GET", "POST", "DELETE"),
  free("/v1/containers", "GET", "POST"),
  free("/v1/containers/*", "GET", "POST", "DELETE"),
]);

export const openai: Provider = {
  type: "openai",
  endpoint: (method, path): Endpoint | null => TABLE.find(method, path),
  has: (path) => TABLE.has(path),
  reaches: (entry) => TABLE.reaches(entry),
  credentialHeaders,
  refusesCredential: (status) => status === 401 || status === 403,
  requestIdHeader: "x-request-id",
  serviceTierHeader: null,
};

/** Azure takes its key in `api-key`; who sent a token there talks to Azure. */
function credentialHeaders(
  key: string,
  style: CredentialStyle,
): readonly (readonly [string, string])[] {
  return style === "api_key" ? [["api-key", key]] : [["authorization", `Bearer ${key}`]];
}
