/**
 * The simulated Gemini: its endpoints, credentials and headers.
 *
 * Owns: which handler a request goes to. Does not own: what the handlers answer.
 * Invariant: a model's method that is not listed is Google's 404.
 */

import { acceptsKey, type Answer, AnswerNow, type World } from "./answer.ts";
import type { MockExchange, MockProvider, Welcome } from "./exchange.ts";
import { badKey, errorAnswer, geminiError, scriptedError } from "./gemini_errors.ts";
import { countTokens, embed, generate, isArray, streamGenerate } from "./gemini_generate.ts";
import { LiveDialogue } from "./gemini_live.ts";
import { type JsonObject, objectIn, stringIn } from "./json.ts";
import type { Script } from "./script.ts";

const CALL = /^\/v1(?:beta|alpha)?\/(?:models|tunedModels)\/([^/:]+):([A-Za-z]+)$/;
const MODELS = /^\/v1(?:beta|alpha)\/models$/;
/** All but the interface that is OpenAI's. */
const OWN = /^\/v1(?:beta|alpha)\/(?!openai\/)/;
const LIVE_SERVICE = /^\/+ws\/google\.ai\.generativelanguage\.\w+\.GenerativeService\.(\w+)$/;
const LIVE_METHODS = ["BidiGenerateContent", "BidiGenerateContentConstrained"];

type Handler = (exchange: MockExchange, model: string) => Promise<Answer>;

const HANDLERS: ReadonlyMap<string, Handler> = new Map([
  ["generateContent", generate],
  ["streamGenerateContent", streamGenerate],
  ["countTokens", countTokens],
  ["embedContent", embed],
  ["batchEmbedContents", embed],
]);

export class GeminiMock implements MockProvider {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  handles(path: string): boolean {
    return CALL.test(path) || isLive(path) || OWN.test(path);
  }

  commonHeaders({ startedMs }: MockExchange): Headers {
    const spentMs = Math.round(this.#world.clock.monotonicMs() - startedMs);
    return new Headers({
      "server-timing": `gfet4t7; dur=${spentMs}`,
      "x-gemini-service-tier": "standard",
    });
  }

  refuseCredential(exchange: MockExchange): Answer | null {
    const { request, query } = exchange;
    const bearer = /^Bearer\s+(\S.*)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    const inQuery = query.get("key") ?? query.get("access_token");
    const key = request.headers.get("x-goog-api-key") ?? inQuery ?? bearer ?? "";
    if (key === "") {
      const message = "Method doesn't allow unregistered callers. Use an API key.";
      return errorAnswer(geminiError(403, message), isArray(exchange));
    }
    if (acceptsKey(this.#world, key)) return null;
    return errorAnswer(badKey(this.#world.fixtures), isArray(exchange));
  }

  http(exchange: MockExchange): Answer | Promise<Answer> {
    const { path, request } = exchange;
    const [, model = "", method = ""] = CALL.exec(path) ?? [];
    const handler = request.method === "POST" ? HANDLERS.get(method) : undefined;
    if (handler !== undefined) return handler(exchange, decodeURIComponent(model));
    if (request.method === "GET" && MODELS.test(path)) return modelList();
    return errorAnswer(geminiError(404, `${path} is not found`));
  }

  socket({ path }: MockExchange): Welcome {
    if (isLive(path)) return { subprotocol: null, dialogue: new LiveDialogue(this.#world) };
    throw new AnswerNow(errorAnswer(geminiError(404, `${path} takes no WebSocket`)));
  }

  scriptedError(script: Script, exchange: MockExchange): Answer {
    return errorAnswer(scriptedError(this.#world.fixtures, script), isArray(exchange));
  }

  badScript(message: string): Answer {
    return errorAnswer(geminiError(400, message));
  }

  /** Labels are the one place for a client's own words. */
  scriptIn(body: JsonObject): string | null {
    return stringIn(objectIn(body, "labels"), "mock");
  }
}

function isLive(path: string): boolean {
  return LIVE_METHODS.includes(LIVE_SERVICE.exec(path)?.[1] ?? "");
}

function modelList(): Answer {
  const models = ["gemini-3-flash", "gemini-3.1-flash-live-preview"].map((name) => ({
    name: `models/${name}`,
    displayName: name,
  }));
  const headers = { "content-type": "application/json; charset=UTF-8" };
  return { status: 200, headers, body: JSON.stringify({ models }) };
}
