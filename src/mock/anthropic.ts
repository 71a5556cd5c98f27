/**
 * The simulated Anthropic: its endpoints, credentials and headers.
 *
 * Owns: which handler a request goes to. Does not own: what the handlers answer.
 * Invariant: it takes `/v1/messages` and what is under it; the models and files of `/v1/` are the
 * simulated OpenAI's.
 */

import { acceptsKey, type Answer, AnswerNow, type World } from "./answer.ts";
import { anthropicError, errorAnswer, scriptedError } from "./anthropic_errors.ts";
import { countTokens, message, scriptIn } from "./anthropic_messages.ts";
import type { MockExchange, MockProvider } from "./exchange.ts";
import type { JsonObject } from "./json.ts";
import type { Script } from "./script.ts";

export class AnthropicMock implements MockProvider {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  handles(path: string): boolean {
    return path === "/v1/messages" || path.startsWith("/v1/messages/");
  }

  commonHeaders(): Headers {
    return new Headers({
      "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
      "anthropic-ratelimit-requests-limit": "4000",
      "anthropic-ratelimit-requests-remaining": "3999",
      "request-id": this.#world.ids.next("req_01", 22),
    });
  }

  refuseCredential({ request }: MockExchange): Answer | null {
    const bearer = /^Bearer\s+(\S.*)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    const apiKey = request.headers.get("x-api-key");
    const key = apiKey ?? bearer ?? "";
    if (key === "") {
      return errorAnswer(anthropicError(401, "x-api-key header or Authorization is required"));
    }
    if (acceptsKey(this.#world, key)) return null;
    const message = apiKey === null ? "invalid bearer token" : "invalid x-api-key";
    return errorAnswer(anthropicError(401, message));
  }

  http(exchange: MockExchange): Answer | Promise<Answer> {
    const { path, request } = exchange;
    if (request.method === "POST" && path === "/v1/messages") return message(exchange);
    if (request.method === "POST" && path === "/v1/messages/count_tokens") {
      return countTokens(exchange);
    }
    return errorAnswer(anthropicError(404, "Not found"));
  }

  socket(): never {
    throw new AnswerNow(errorAnswer(anthropicError(404, "There is no WebSocket here")));
  }

  scriptedError(script: Script): Answer {
    return errorAnswer(scriptedError(this.#world.fixtures, script));
  }

  badScript(problem: string): Answer {
    return errorAnswer(anthropicError(400, problem));
  }

  scriptIn(body: JsonObject): string | null {
    return scriptIn(body);
  }
}
