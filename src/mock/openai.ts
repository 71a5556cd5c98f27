/**
 * The simulated OpenAI: its endpoints, credentials and headers.
 *
 * Owns: which handler a request goes to. Does not own: what the handlers answer.
 * Invariant: a path that is not listed is OpenAI's 404, a WebSocket path without an upgrade its
 * 426.
 */

import { chatCompletion, completion } from "./openai_chat.ts";
import { OpenaiFiles } from "./openai_files.ts";
import type { MockExchange, MockProvider, Welcome } from "./exchange.ts";
import { objectIn, stringIn } from "./json.ts";
import { ClientSecrets } from "./openai_client_secrets.ts";
import { embedding, imageOf, modelList, moderation } from "./openai_media.ts";
import { speech, transcription } from "./openai_audio.ts";
import { errorAnswer, notFound, openaiError, scriptedError } from "./openai_errors.ts";
import { RealtimeDialogue } from "./openai_realtime.ts";
import { ResponsesApi } from "./openai_responses.ts";
import { ResponsesDialogue } from "./openai_responses_socket.ts";
import { acceptsKey, type Answer, AnswerNow, type World } from "./answer.ts";

const SUBPROTOCOL_KEY = "openai-insecure-api-key.";
const NO_KEY =
  "You didn't provide an API key. You need to provide your API key in an Authorization header " +
  "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";

/** Under it Gemini has the same interface. */
const GEMINI_PREFIX = /^\/v1beta\/openai\//;

type Handler = (exchange: MockExchange) => Answer | Promise<Answer>;

export class OpenaiMock implements MockProvider {
  readonly #world: World;
  readonly #responses: ResponsesApi;
  readonly #files: OpenaiFiles;
  readonly #secrets: ClientSecrets;
  readonly #handlers: Readonly<Record<string, Handler>>;
  readonly #common = new Headers({
    "openai-organization": "org-mock",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-remaining-tokens": "1999871",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "3ms",
  });

  constructor(world: World) {
    this.#world = world;
    this.#responses = new ResponsesApi(world);
    this.#files = new OpenaiFiles(world);
    this.#secrets = new ClientSecrets(world);
    const secretInBeta: Handler = (exchange) => this.#secrets.createInBeta(exchange);
    this.#handlers = {
      "POST /v1/chat/completions": chatCompletion,
      "POST /v1/completions": completion,
      "POST /v1/responses": (exchange) => this.#responses.create(exchange),
      "POST /v1/responses/input_tokens": (exchange) => this.#responses.countInput(exchange),
      "POST /v1/responses/compact": (exchange) => this.#responses.compact(exchange),
      "POST /v1/embeddings": embedding,
      "POST /v1/moderations": moderation,
      "POST /v1/images/generations": imageOf,
      "POST /v1/audio/transcriptions": transcription,
      "POST /v1/audio/translations": transcription,
      "POST /v1/audio/speech": speech,
      "POST /v1/realtime/client_secrets": (exchange) => this.#secrets.create(exchange),
      "POST /v1/realtime/sessions": secretInBeta,
      "POST /v1/realtime/transcription_sessions": secretInBeta,
      "POST /v1/files": (exchange) => this.#files.upload(exchange),
      "GET /v1/files": () => this.#files.list(),
      "GET /v1/models": modelList,
    };
  }

  handles(path: string): boolean {
    return path.startsWith("/v1/");
  }

  commonHeaders(exchange: MockExchange): Headers {
    const headers = new Headers(this.#common);
    const spentMs = Math.round(this.#world.clock.monotonicMs() - exchange.startedMs);
    headers.set("openai-processing-ms", String(spentMs));
    headers.set("x-request-id", this.#world.ids.next("req_", 32));
    return headers;
  }

  refuseCredential({ request, path }: MockExchange): Answer | null {
    const key = credentialOf(request.headers);
    if (key === null) return errorAnswer(openaiError(401, null, NO_KEY));
    const isSecret = this.#secrets.isOne(key);
    if (isSecret ? this.#secrets.opens(key, path) : acceptsKey(this.#world, key)) return null;
    const shown = key.length <= 12 ? "***" : `${key.slice(0, 5)}*****${key.slice(-4)}`;
    const message =
      `Incorrect API key provided: ${shown}. You can find your API key at ` +
      "https://platform.openai.com/account/api-keys.";
    return errorAnswer(openaiError(401, "invalid_api_key", message));
  }

  http(exchange: MockExchange): Answer | Promise<Answer> {
    const { request } = exchange;
    const path = exchange.path.replace(GEMINI_PREFIX, "/v1/");
    const method = request.method === "HEAD" ? "GET" : request.method;
    const handler = this.#handlers[`${method} ${path}`];
    if (handler !== undefined) return handler(exchange);
    if (method === "GET" && (path === "/v1/responses" || path === "/v1/realtime")) {
      const message = "Upgrade Required: this endpoint takes a WebSocket (Upgrade: websocket)";
      return errorAnswer({ ...openaiError(426, null, message), headers: { upgrade: "websocket" } });
    }
    return this.#stored(method, path) ?? notFound(method, path);
  }

  socket(exchange: MockExchange): Welcome {
    const { path } = exchange;
    const offered = subprotocolsOf(exchange.request.headers);
    const subprotocol = offered.includes("realtime") ? "realtime" : null;
    if (path === "/v1/responses") {
      const dialogue = new ResponsesDialogue(this.#world, this.#responses, this);
      return { subprotocol: null, dialogue };
    }
    if (path === "/v1/realtime") {
      const stored = this.#secrets.session(credentialOf(exchange.request.headers) ?? "");
      const dialogue = RealtimeDialogue.open(this.#world, exchange.query, this, stored ?? {});
      return { subprotocol, dialogue };
    }
    throw new AnswerNow(notFound("GET", path));
  }

  scriptedError(script: MockExchange["script"]): Answer {
    return errorAnswer(scriptedError(this.#world.fixtures, script));
  }

  badScript(message: string): Answer {
    return errorAnswer(openaiError(400, "invalid_mock_script", message, "x-mock"));
  }

  scriptIn(body: Readonly<Record<string, unknown>>): string | null {
    return stringIn(objectIn(body, "metadata"), "mock");
  }

  /** What was made by an earlier request, by its id. */
  #stored(method: string, path: string): Answer | null {
    const [, kind, id = "", action = ""] =
      /^\/v1\/(responses|files|models)\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
    if (kind === "responses") return this.#responses.stored(method, id, action);
    if (kind === "files" && action === "") return this.#files.stored(method, id);
    if (kind === "models" && method === "GET" && action === "") {
      const model = { id, object: "model", created: 1_795_190_000, owned_by: "mock" };
      return { status: 200, headers: JSON_TYPE, body: JSON.stringify(model) };
    }
    return null;
  }
}

const JSON_TYPE = { "content-type": "application/json" };

/** The key, wherever OpenAI and Azure take one; null: there is none. */
function credentialOf(headers: Headers): string | null {
  const bearer = /^Bearer\s+(\S.*)$/i.exec(headers.get("authorization") ?? "")?.[1];
  const key = bearer ?? headers.get("api-key");
  if (key !== null && key !== "") return key;
  const offered = subprotocolsOf(headers).find((one) => one.startsWith(SUBPROTOCOL_KEY));
  return offered === undefined ? null : offered.slice(SUBPROTOCOL_KEY.length);
}

function subprotocolsOf(headers: Headers): string[] {
  const value = headers.get("sec-websocket-protocol") ?? "";
  return value.split(",").map((one) => one.trim());
}
