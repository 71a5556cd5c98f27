/**
 * Responses over WebSocket: turns in lanes, connection-local memory, steering and cancelling.
 *
 * Owns: which turn runs when, and the wrapped errors. Does not own: a turn's events.
 * Invariant: turns of one lane run one after another in the order they came, lanes run side by
 * side; at most `LANES_MAX` named lanes, `ACTIVE_MAX` running and `WAITING_MAX` waiting turns a
 * session.
 */

import { Lru } from "../lib/lru.ts";
import { type JsonObject, parseObject, stringIn } from "./json.ts";
import { openaiError, type OpenaiError, scriptedError } from "./openai_errors.ts";
import { ResponseTurn } from "./openai_response_turn.ts";
import { previousNotFound, type ResponsesApi } from "./openai_responses.ts";
import { AnswerNow, type World } from "./answer.ts";
import type { MockProvider } from "./exchange.ts";
import type { Dialogue, MockSession } from "./session.ts";
import { parseScript, type Script, ScriptError } from "./script.ts";

const LANES_MAX = 32;
const ACTIVE_MAX = 16;
const WAITING_MAX = 256;
const MEMORY_MAX = 256;
const LANE_NAME = /^[A-Za-z0-9_.-]{1,256}$/;

interface Lane {
  readonly name: string | null;
  readonly waiting: JsonObject[];
  running: ResponseTurn | null;
  /** Whether something of this lane is being worked on. */
  busy: boolean;
  /** What the next turn of this lane may build on; forgotten when one is refused. */
  parentId: string | null;
}

export class ResponsesDialogue implements Dialogue {
  readonly #world: World;
  readonly #stored: ResponsesApi;
  readonly #provider: MockProvider;
  /** Responses of this connection, stored or not. */
  readonly #memory = new Lru<string, ResponseTurn>(MEMORY_MAX);
  readonly #lanes = new Map<string | null, Lane>();
  #steers = 0;

  constructor(world: World, stored: ResponsesApi, provider: MockProvider) {
    this.#world = world;
    this.#stored = stored;
    this.#provider = provider;
  }

  opened(): void {}

  closed(): void {
    for (const lane of this.#lanes.values()) lane.waiting.length = 0;
  }

  message(session: MockSession, text: string): void {
    const event = parseObject(text);
    if (event === null) {
      refuse(session, openaiError(400, "invalid_json", "The message is not a JSON object"), null);
      return;
    }
    const type = stringIn(event, "type");
    if (type === "response.create") this.#create(session, event);
    else if (type === "response.steer") this.#steer(session, event);
    else if (type === "response.cancel") this.#cancel(session, event);
    else if (type !== "response.processed") {
      const message = `Unknown message type '${type ?? ""}'`;
      refuse(session, openaiError(400, "invalid_value", message, "type"), null);
    }
  }

  #create(session: MockSession, event: JsonObject): void {
    const name = stringIn(event, "stream_id");
    const lane = this.#laneOf(event["stream_id"] === undefined ? null : (name ?? ""));
    if (!("waiting" in lane)) {
      refuse(session, lane, name !== null && LANE_NAME.test(name) ? name : null);
      return;
    }
    lane.waiting.push(event);
    if (!lane.busy) void this.#work(session, lane);
  }

  /** The lane, made where it is new, or why there is none. */
  #laneOf(name: string | null): Lane | OpenaiError {
    const known = this.#lanes.get(name);
    if (known === undefined && name !== null && !LANE_NAME.test(name)) {
      const message = "stream_id must be 1-256 characters of A-Z a-z 0-9 _ . -";
      return openaiError(400, "invalid_stream_id", message, "stream_id");
    }
    const lanes = [...this.#lanes.values()];
    const named = lanes.filter((lane) => lane.name !== null).length;
    if (known === undefined && name !== null && named >= LANES_MAX) {
      return limit(`A connection has at most ${LANES_MAX} streams`);
    }
    if (known?.busy !== true && lanes.filter((lane) => lane.busy).length >= ACTIVE_MAX) {
      return limit(`A connection has at most ${ACTIVE_MAX} active responses`);
    }
    if (lanes.reduce((sum, lane) => sum + lane.waiting.length, 0) >= WAITING_MAX) {
      return limit(`A connection has at most ${WAITING_MAX} waiting responses`);
    }
    if (known !== undefined) return known;
    const lane: Lane = { name, waiting: [], running: null, busy: false, parentId: null };
    this.#lanes.set(name, lane);
    return lane;
  }

  async #work(session: MockSession, lane: Lane): Promise<void> {
    lane.busy = true;
    for (let event = lane.waiting.shift(); event !== undefined; event = lane.waiting.shift()) {
      const begun = this.#begin(session, lane, event);
      if (begun instanceof ResponseTurn) await this.#run(session, lane, begun);
      else this.#refuseTurn(session, lane, begun);
    }
    lane.busy = false;
  }

  /** The turn that an event asks for, or why it is refused. */
  #begin(session: MockSession, lane: Lane, event: JsonObject): ResponseTurn | OpenaiError {
    const script = this.#scriptOf(session, event);
    if (!("tokens" in script)) return script;
    if (script.status !== null || (script.error !== null && script.after === null)) {
      return scriptedError(this.#world.fixtures, script);
    }
    const previousId = stringIn(event, "previous_response_id");
    const previous = previousId === null ? null : this.#find(previousId);
    if (previousId !== null && previous === null) return previousNotFound(previousId);
    try {
      const tokens = previous?.totalTokens ?? 0;
      return new ResponseTurn(this.#world, event, script, tokens, lane.name);
    } catch (thrown) {
      if (!(thrown instanceof AnswerNow)) throw thrown;
      return openaiError(400, "missing_required_parameter", "model is required", "model");
    }
  }

  #scriptOf(session: MockSession, event: JsonObject): Script | OpenaiError {
    const text = this.#provider.scriptIn(event);
    if (text === null) return session.script;
    try {
      return parseScript(text, session.script);
    } catch (thrown) {
      if (!(thrown instanceof ScriptError)) throw thrown;
      return openaiError(400, "invalid_mock_script", thrown.message, "metadata.mock");
    }
  }

  async #run(session: MockSession, lane: Lane, turn: ResponseTurn): Promise<void> {
    for (let next: ResponseTurn | null = turn; next !== null;) {
      lane.running = next;
      this.#memory.set(next.id, next);
      this.#stored.keep(next);
      const result = await session.play(next.events(), next.script);
      lane.running = null;
      if (result === "over") return;
      lane.parentId = next.id;
      next = next.stop === "steered" ? this.#successor(next) : null;
    }
  }

  /** What follows a steered response without being asked for. */
  #successor(turn: ResponseTurn): ResponseTurn {
    const request = { ...turn.request, previous_response_id: turn.id, input: turn.steering };
    return new ResponseTurn(this.#world, request, turn.script, turn.totalTokens, turn.lane);
  }

  #steer(session: MockSession, event: JsonObject): void {
    const previous_response_id = stringIn(event, "previous_response_id") ?? "";
    const turn = this.#runningTurns().find((one) => one.id === previous_response_id);
    const steer = { previous_response_id };
    if (turn === undefined || turn.stop !== null) {
      const known = this.#find(previous_response_id) !== null;
      const code = known ? "response_already_completed" : "response_not_found";
      const message = known ? "The response has ended" : "The response does not exist";
      const error = { type: "invalid_request_error", code, message };
      const failed = { ...steer, input: event["input"] ?? null };
      const type = "response.steer.failed";
      session.send(JSON.stringify({ type, sequence_number: 0, steer: failed, error }));
      return;
    }
    this.#steers += 1;
    const id = `steer_${String(this.#steers).padStart(8, "0")}`;
    const lane = turn.lane === null ? {} : { stream_id: turn.lane };
    const accepted = { type: "response.steer.accepted", sequence_number: 0 };
    session.send(JSON.stringify({ ...accepted, steer: { id, ...steer }, ...lane }));
    turn.steering = event["input"];
    turn.stop = "steered";
  }

  /** By `response_id`, else by lane, else whatever runs. */
  #cancel(session: MockSession, event: JsonObject): void {
    const id = stringIn(event, "response_id");
    const lane = stringIn(event, "stream_id");
    const running = this.#runningTurns().filter((turn) => id === null || turn.id === id);
    const meant = running.filter((turn) => lane === null || turn.lane === lane);
    for (const turn of meant) turn.stop ??= "cancelled";
    if (meant.length > 0) return;
    const message = "There is no active response to cancel";
    refuse(session, openaiError(400, "response_not_active", message, "response_id"), lane);
  }

  #runningTurns(): ResponseTurn[] {
    return [...this.#lanes.values()].flatMap(({ running }) => (running === null ? [] : [running]));
  }

  #find(id: string): ResponseTurn | null {
    return this.#memory.get(id) ?? this.#stored.find(id);
  }

  #refuseTurn(session: MockSession, lane: Lane, error: OpenaiError): void {
    if (lane.parentId !== null) this.#memory.delete(lane.parentId);
    lane.parentId = null;
    refuse(session, error, lane.name);
  }
}

function limit(message: string): OpenaiError {
  return openaiError(400, "websocket_stream_limit_reached", message, "stream_id");
}

/** OpenAI's wrapped error: the session goes on. */
function refuse(session: MockSession, error: OpenaiError, lane: string | null): void {
  const { status } = error;
  const { "content-type": _, ...headers } = error.headers;
  const extra = Object.keys(headers).length === 0 ? {} : { headers };
  const stream = lane === null ? {} : { stream_id: lane };
  session.send(JSON.stringify({ type: "error", status, ...stream, error: error.error, ...extra }));
}
