/**
 * Gemini: its endpoints and where its credential goes.
 *
 * Owns: paths of the form `/v1beta/models/{model}:method`, of the Live API, and of the
 * OpenAI-compatible interface.
 * Does not own: the events (`gemini_generate.ts`, `gemini_live.ts`).
 * Invariant: a method that is not in the list does not exist.
 */

import type { TurnKind } from "../exchange.ts";
import type { CredentialKind, CredentialStyle, Endpoint, Provider } from "./provider.ts";
import { RouteTable, billed, endpoint, free, isValue } from "./route_table.ts";

interface Method {
  readonly billing: boolean;
  readonly kind: TurnKind;
}

/** All name their model in the path; those that say nothing of usage are recorded without it. */
const METHODS: ReadonlyMap<string, Method> = new Map([
  ["generateContent", { billing: true, kind: "response" }],
  ["streamGenerateContent", { billing: true, kind: "response" }],
  ["batchGenerateContent", { billing: true, kind: "response" }],
  ["embedContent", { billing: true, kind: "embedding" }],
  ["batchEmbedContents", { billing: true, kind: "embedding" }],
  ["predict", { billing: true, kind: "image" }],
  ["countTokens", { billing: false, kind: "response" }],
]);

const MODEL_PATH = /^\/(v1(?:beta|alpha)?)\/(models|tunedModels)\/([^/:]+):([A-Za-z]+)$/;
const LIVE_PATH =
  /^\/+ws\/google\.ai\.generativelanguage\.(v1(?:beta|alpha)?)\.GenerativeService\./;
const LIVE_METHODS = ["BidiGenerateContent", "BidiGenerateContentConstrained"];
const VERSION = /^\/v1(?:alpha)?\//;
/** The interface that is OpenAI's. */
const COMPATIBLE = /^\/v1(?:beta|alpha)?\/openai\//;

/** Looked up with the version written `/v1beta/`. */
const TABLE = new RouteTable([
  free("/v1beta/models", "GET"),
  free("/v1beta/models/{model}", "GET"),
  free("/v1beta/tunedModels", "GET"),
  free("/v1beta/tunedModels/{model}", "GET", "PATCH", "DELETE"),
  free("/v1beta/files", "GET", "POST"),
  free("/v1beta/files/*", "GET", "DELETE"),
  free("/upload/v1beta/files", "POST", "PUT"),
  free("/v1beta/cachedContents", "GET", "POST"),
  free("/v1beta/cachedContents/{id}", "GET", "PATCH", "DELETE"),
  free("/v1beta/batches", "GET"),
  free("/v1beta/batches/{id}", "GET", "POST", "PATCH", "DELETE"),
  free("/v1beta/operations/{id}", "GET"),
  billed("/v1beta/openai/chat/completions", "response", "openai_chat"),
  billed("/v1beta/openai/embeddings", "embedding", "openai_embeddings"),
  free("/v1beta/openai/models", "GET"),
  free("/v1beta/openai/models/{id}", "GET"),
]);

export const gemini: Provider = {
  type: "gemini",
  endpoint: find,
  has,
  reaches,
  credentialHeaders,
  refusesCredential: (status, body) =>
    status === 401 || status === 403 || (status === 400 && body.includes("API_KEY_INVALID")),
  requestIdHeader: null,
  serviceTierHeader: "x-gemini-service-tier",
};

function find(method: string, path: string): Endpoint | null {
  const live = LIVE_PATH.exec(path);
  if (live !== null) return liveEndpoint(method, path.slice(live[0].length));
  const call = MODEL_PATH.exec(path);
  if (call !== null) return modelEndpoint(method, call);
  return TABLE.find(method, path.replace(VERSION, "/v1beta/"));
}

function has(path: string): boolean {
  const live = LIVE_PATH.exec(path);
  if (live !== null) return liveEndpoint("GET", path.slice(live[0].length)) !== null;
  const call = MODEL_PATH.exec(path);
  if (call !== null) return modelEndpoint("POST", call) !== null;
  return TABLE.has(path.replace(VERSION, "/v1beta/"));
}

function reaches(entry: string): boolean {
  const isLive = /^\/ws(?:\/google[^/]*)?\/?$/.test(entry);
  return isLive || has(entry) || TABLE.reaches(`${entry}/`.replace(VERSION, "/v1beta/"));
}

function liveEndpoint(method: string, rpc: string): Endpoint | null {
  if (method !== "GET" || !LIVE_METHODS.includes(rpc)) return null;
  return endpoint(`/ws/${rpc}`, true, "response", "gemini_live", { websocket: "only" });
}

function modelEndpoint(method: string, call: readonly string[]): Endpoint | null {
  const [, version = "", collection = "", model = "", verb = ""] = call;
  const known = METHODS.get(verb);
  if (known === undefined || method !== "POST" || !isValue(model)) return null;
  const name = `/${version}/${collection}/{model}:${verb}`;
  const dialect = known.billing ? "gemini_generate" : "none";
  const batch = verb === "batchGenerateContent" ? "gemini" : null;
  return endpoint(name, known.billing, known.kind, dialect, { batch });
}

/**
 * OAuth access tokens of Google begin with `ya29.` and go as Bearer; keys do not, save where the
 * interface is OpenAI's.
 */
function credentialHeaders(
  key: string,
  _style: CredentialStyle,
  _kind: CredentialKind,
  path: string,
): readonly (readonly [string, string])[] {
  const isBearer = key.startsWith("ya29.") || COMPATIBLE.test(path);
  return isBearer ? [["authorization", `Bearer ${key}`]] : [["x-goog-api-key", key]];
}
