/**
 * Responses over HTTP, and the responses that are stored.
 *
 * Owns: creating, streaming, background runs, and what is asked of a response by its id.
 * Does not own: a response's events (`openai_response_turn.ts`), WebSocket turns.
 * Invariant: at most `STORED_MAX` responses are remembered, the newest.
 */

import { Lru } from "../lib/lru.ts";
import type { MockExchange } from "./exchange.ts";
import { type JsonObject, stringIn } from "./json.ts";
import { errorAnswer, notJson, openaiError } from "./openai_errors.ts";
import { modelOf } from "./openai_request.ts";
import { ResponseTurn } from "./openai_response_turn.ts";
import { type Answer, AnswerNow, jsonAnswer, type OutputEvent, type World } from "./answer.ts";
import type { Script } from "./script.ts";
import { charactersIn, tokensOf } from "./text.ts";

const STORED_MAX = 1_000;

interface Stored {
  readonly turn: ResponseTurn;
  /** When a background run is through, on the monotonic clock. */
  readonly readyMs: number;
}

export class ResponsesApi {
  readonly #world: World;
  readonly #stored = new Lru<string, Stored>(STORED_MAX);

  constructor(world: World) {
    this.#world = world;
  }

  /** The response of that id, if it was stored. */
  find(id: string): ResponseTurn | null {
    return this.#stored.get(id)?.turn ?? null;
  }

  /** Remembers a response, unless its request says not to. */
  keep(turn: ResponseTurn, readyMs = 0): void {
    if (turn.request["store"] !== false) this.#stored.set(turn.id, { turn, readyMs });
  }

  async create(exchange: MockExchange): Promise<Answer> {
    const body = await exchange.json(notJson);
    // A flood is for streams; an answer in one piece grows by `bytes`.
    const script = { ...exchange.script, frames: null };
    const turn = this.#begin(body, body["stream"] === true ? exchange.script : script);
    if (body["background"] === true && body["stream"] !== true) {
      turn.end("queued");
      this.keep(turn, this.#world.clock.monotonicMs() + exchange.script.firstDelayMs);
      // The delay is the run's, not the answer's.
      exchange.script = { ...exchange.script, firstDelayMs: 0 };
      return jsonAnswer(turn.object());
    }
    this.keep(turn);
    if (body["stream"] !== true) return jsonAnswer(turn.finish());
    const headers = { "content-type": "text/event-stream; charset=utf-8" };
    return { status: 200, headers, body: sseEvents(turn) };
  }

  async countInput(exchange: MockExchange): Promise<Answer> {
    const { input, instructions } = await exchange.json(notJson);
    const input_tokens = tokensOf(charactersIn(instructions) + charactersIn(input));
    return jsonAnswer({ object: "response.input_tokens", input_tokens });
  }

  async compact(exchange: MockExchange): Promise<Answer> {
    const body = await exchange.json(notJson);
    const { ids, clock } = this.#world;
    modelOf(body);
    const input = tokensOf(charactersIn(body["instructions"]) + charactersIn(body["input"]));
    const encrypted_content = ids.next("gAAAAAB", 48);
    return jsonAnswer({
      id: ids.next("resp_", 44),
      object: "response.compaction",
      created_at: Math.floor(clock.nowMs() / 1000),
      output: [{ id: ids.next("cmp_", 44), type: "compaction", encrypted_content }],
      usage: {
        input_tokens: input,
        input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
        output_tokens: 1,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: input + 1,
      },
    });
  }

  /** The answer about one response; null where method and action mean nothing. */
  stored(method: string, id: string, action: string): Answer | null {
    const wanted = `${method} ${action}`.trim();
    if (!["GET", "DELETE", "POST cancel", "GET input_items"].includes(wanted)) return null;
    const stored = this.#stored.get(id);
    if (stored === undefined) {
      const message = `Response with id '${id}' not found.`;
      return errorAnswer(openaiError(404, null, message));
    }
    if (wanted === "DELETE") {
      this.#stored.delete(id);
      return jsonAnswer({ id, object: "response", deleted: true });
    }
    if (wanted === "GET input_items") {
      const { input } = stored.turn.request;
      const data = Array.isArray(input)
        ? input
        : [{ type: "message", role: "user", content: input }];
      return jsonAnswer({ object: "list", data, has_more: false });
    }
    return jsonAnswer(this.#progress(stored, wanted === "POST cancel"));
  }

  /** A queued response as it is by now. */
  #progress({ turn, readyMs }: Stored, cancel: boolean): JsonObject {
    if (turn.status !== "queued") return turn.object();
    if (cancel) turn.end("cancelled");
    else if (this.#world.clock.monotonicMs() >= readyMs) return turn.finish();
    return turn.object();
  }

  #begin(body: JsonObject, script: Script): ResponseTurn {
    const previousId = stringIn(body, "previous_response_id");
    const previous = previousId === null ? null : this.find(previousId);
    if (previousId !== null && previous === null) {
      throw new AnswerNow(errorAnswer(previousNotFound(previousId)));
    }
    const tokens = previous?.totalTokens ?? 0;
    return new ResponseTurn(this.#world, body, script, tokens, null);
  }
}

/** OpenAI's refusal of an unknown `previous_response_id`. */
export function previousNotFound(id: string): ReturnType<typeof openaiError> {
  const message = `Previous response with id '${id}' not found.`;
  return openaiError(400, "previous_response_not_found", message, "previous_response_id");
}

function* sseEvents(turn: ResponseTurn): Generator<OutputEvent> {
  for (const { type, text, delta } of turn.events()) {
    yield { text: `event: ${type}\ndata: ${text}\n\n`, delta };
  }
}
