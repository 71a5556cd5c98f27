/**
 * A Realtime session: its configuration, its audio buffer and its conversation.
 *
 * Owns: what each client event does. Does not own: the events of a response
 * (`openai_realtime_turn.ts`).
 * Invariant: an event that is refused leaves the session open and as it was; contents of the
 * conversation are counted, not kept, so that an hour of audio costs no memory.
 */

import { isObject, type JsonObject, objectIn, parseObject, stringIn } from "./json.ts";
import { PCM_BYTES_PER_TOKEN } from "./openai_audio.ts";
import { badField, type OpenaiError, openaiError, scriptedError } from "./openai_errors.ts";
import { realtimeEvent, RealtimeTurn, transcriptionEvents } from "./openai_realtime_turn.ts";
import { defaultSession, mergedSession } from "./openai_realtime_session.ts";
import type { World } from "./answer.ts";
import type { MockProvider } from "./exchange.ts";
import type { Dialogue, MockSession } from "./session.ts";
import { NO_SCRIPT, parseScript, type Script, ScriptError } from "./script.ts";
import { charactersIn } from "./text.ts";

/**
 * So much appended audio, one second, is speech that has ended: voice detection without a voice.
 */
export const SPEECH_BYTES = 48_000;

type Handler = (session: MockSession, event: JsonObject) => void;

export class RealtimeDialogue implements Dialogue {
  readonly #world: World;
  readonly #provider: MockProvider;
  readonly #handlers: Readonly<Record<string, Handler>>;
  #config: JsonObject;
  #bufferBytes = 0;
  /** Audio appended since the session began, for the times in events. */
  #heardBytes = 0;
  #speechItemId: string | null = null;
  #textCharacters = 0;
  #audioTokens = 0;
  #endsWithOutput = false;
  readonly #running = new Set<RealtimeTurn>();

  private constructor(world: World, provider: MockProvider, config: JsonObject) {
    this.#world = world;
    this.#provider = provider;
    this.#config = config;
    this.#handlers = {
      "session.update": (session, event) => this.#update(session, event),
      "conversation.item.create": (session, event) => this.#createItem(session, event),
      "conversation.item.delete": (session, event) => this.#echo(session, event, "deleted"),
      "conversation.item.retrieve": (session, event) => this.#echo(session, event, "retrieved"),
      "conversation.item.truncate": (session, event) => this.#echo(session, event, "truncated"),
      "input_audio_buffer.append": (session, event) => this.#append(session, event),
      "input_audio_buffer.commit": (session, event) => this.#commitAsked(session, event),
      "input_audio_buffer.clear": (session) => this.#clear(session),
      "response.create": (session, event) => this.#create(session, event),
      "response.cancel": (session, event) => this.#cancel(session, event),
    };
  }

  /**
   * The session that the query asks for.
   * @param stored with the key that opens it; {} where that is an ordinary one
   * @throws AnswerNow where nothing asks for any
   */
  static open(
    world: World,
    query: URLSearchParams,
    provider: MockProvider,
    stored: JsonObject = {},
  ): RealtimeDialogue {
    const model =
      query.get("model") ??
      stringIn(stored, "model") ??
      (query.has("call_id") ? "gpt-realtime-2" : null);
    const transcribes =
      query.get("intent") === "transcription" || stored["type"] === "transcription";
    if (model === null && !transcribes) {
      throw badField("model", "You must provide a model, an intent or a call_id parameter");
    }
    const config = mergedSession(defaultSession(world, transcribes ? null : model), {
      ...stored,
      ...(model === null ? {} : { model }),
    });
    return new RealtimeDialogue(world, provider, config);
  }

  opened(session: MockSession): void {
    this.#send(session, "session.created", { session: this.#config });
  }

  closed(): void {
    this.#running.clear();
  }

  message(session: MockSession, text: string): void {
    const event = parseObject(text);
    if (event === null) {
      this.#refuse(
        session,
        openaiError(400, "invalid_json", "The message is not a JSON object"),
        {},
      );
      return;
    }
    const type = stringIn(event, "type") ?? "";
    const handler = Object.hasOwn(this.#handlers, type) ? this.#handlers[type] : undefined;
    if (handler !== undefined) {
      handler(session, event);
      return;
    }
    const error = openaiError(400, "invalid_value", `Invalid value: '${type}'`, "type");
    this.#refuse(session, error, event);
  }

  #update(session: MockSession, event: JsonObject): void {
    const update = objectIn(event, "session");
    const model = stringIn(update, "model");
    if (model !== null && this.#config["model"] !== undefined && model !== this.#config["model"]) {
      const message = "The model of a session cannot be changed";
      this.#refuse(session, openaiError(400, "invalid_value", message, "session.model"), event);
      return;
    }
    this.#config = mergedSession(this.#config, update);
    this.#send(session, "session.updated", { session: this.#config });
  }

  #createItem(session: MockSession, event: JsonObject): void {
    const given = objectIn(event, "item");
    const fields = { id: this.#world.ids.next("item_", 20), object: "realtime.item", ...given };
    const item = { status: "completed", ...fields };
    this.#textCharacters += charactersIn(given);
    this.#endsWithOutput = given["type"] === "function_call_output";
    this.#sendItem(session, item);
  }

  #sendItem(session: MockSession, item: JsonObject): void {
    this.#send(session, "conversation.item.added", { previous_item_id: null, item });
    this.#send(session, "conversation.item.done", { previous_item_id: null, item });
  }

  #echo(session: MockSession, event: JsonObject, done: string): void {
    const item_id = stringIn(event, "item_id") ?? "";
    const { content_index, audio_end_ms } = event;
    const fields = done === "retrieved" ? { item: { id: item_id } } : { item_id };
    const cut = done === "truncated" ? { content_index, audio_end_ms } : {};
    this.#send(session, `conversation.item.${done}`, { ...fields, ...cut });
  }

  #append(session: MockSession, event: JsonObject): void {
    const audio = stringIn(event, "audio");
    if (audio === null) {
      const message = "Missing required parameter: 'audio'";
      this.#refuse(
        session,
        openaiError(400, "missing_required_parameter", message, "audio"),
        event,
      );
      return;
    }
    const padding = audio.endsWith("==") ? 2 : audio.endsWith("=") ? 1 : 0;
    const bytes = Math.max(0, Math.floor((audio.length * 3) / 4) - padding);
    this.#bufferBytes += bytes;
    this.#heardBytes += bytes;
    if (isObject(this.#detection)) this.#listen(session, this.#detection);
  }

  /** `turn_detection` of the session. */
  get #detection(): unknown {
    return objectIn(objectIn(this.#config, "audio"), "input")["turn_detection"];
  }

  #listen(session: MockSession, detection: JsonObject): void {
    if (this.#speechItemId === null) {
      const item_id = this.#world.ids.next("item_", 20);
      this.#speechItemId = item_id;
      const audio_start_ms = msOf(this.#heardBytes - this.#bufferBytes);
      this.#send(session, "input_audio_buffer.speech_started", { audio_start_ms, item_id });
      if (detection["interrupt_response"] !== false) this.#stop("turn_detected");
    }
    if (this.#bufferBytes < SPEECH_BYTES) return;
    const stopped = { audio_end_ms: msOf(this.#heardBytes), item_id: this.#speechItemId };
    this.#send(session, "input_audio_buffer.speech_stopped", stopped);
    this.#commit(session, this.#speechItemId);
    const answers = detection["create_response"] !== false && this.#config["type"] === "realtime";
    if (answers) void this.#respond(session, {}, session.script);
  }

  #commitAsked(session: MockSession, event: JsonObject): void {
    if (this.#bufferBytes > 0) {
      this.#commit(session, this.#speechItemId ?? this.#world.ids.next("item_", 20));
      return;
    }
    const message = "Error committing input audio buffer: buffer too small.";
    this.#refuse(session, openaiError(400, "input_audio_buffer_commit_empty", message), event);
  }

  #commit(session: MockSession, item_id: string): void {
    const audioTokens = Math.ceil(this.#bufferBytes / PCM_BYTES_PER_TOKEN);
    this.#audioTokens += audioTokens;
    this.#bufferBytes = 0;
    this.#speechItemId = null;
    this.#endsWithOutput = false;
    this.#send(session, "input_audio_buffer.committed", { previous_item_id: null, item_id });
    this.#sendItem(session, {
      id: item_id,
      object: "realtime.item",
      type: "message",
      status: "completed",
      role: "user",
      content: [{ type: "input_audio", transcript: null }],
    });
    const input = objectIn(objectIn(this.#config, "audio"), "input");
    const model = stringIn(objectIn(input, "transcription"), "model");
    if (model === null) return;
    const events = transcriptionEvents(this.#world, item_id, model, audioTokens);
    const { eachDelayMs } = session.script;
    void session.play(events, { ...NO_SCRIPT, eachDelayMs });
  }

  #clear(session: MockSession): void {
    this.#bufferBytes = 0;
    this.#speechItemId = null;
    this.#send(session, "input_audio_buffer.cleared", {});
  }

  #create(session: MockSession, event: JsonObject): void {
    const response = objectIn(event, "response");
    const script = this.#scriptOf(session, response);
    if (!("tokens" in script)) {
      this.#refuse(session, script, event);
    } else if (script.status !== null || (script.error !== null && script.after === null)) {
      this.#refuse(session, scriptedError(this.#world.fixtures, script), event);
    } else if (response["conversation"] !== "none" && this.#active !== null) {
      const message = `Conversation already has an active response: ${this.#active.id}`;
      const code = "conversation_already_has_active_response";
      this.#refuse(session, openaiError(400, code, message), event);
    } else {
      void this.#respond(session, response, script);
    }
  }

  #scriptOf(session: MockSession, response: JsonObject): Script | OpenaiError {
    const text = this.#provider.scriptIn(response);
    try {
      return text === null ? session.script : parseScript(text, session.script);
    } catch (thrown) {
      if (!(thrown instanceof ScriptError)) throw thrown;
      return openaiError(400, "invalid_mock_script", thrown.message, "response.metadata.mock");
    }
  }

  async #respond(session: MockSession, response: JsonObject, script: Script): Promise<void> {
    const config = mergedSession(this.#config, response);
    const own = charactersIn(config["instructions"]) + charactersIn(response["input"]);
    const input = {
      textCharacters: own + this.#textCharacters,
      audioTokens: this.#audioTokens,
      endsWithOutput: this.#endsWithOutput,
    };
    const turn = new RealtimeTurn(this.#world, config, input, script);
    this.#running.add(turn);
    await session.play(turn.events(), script);
    this.#running.delete(turn);
    if (!turn.inConversation) return;
    this.#textCharacters += turn.spokenText.length;
    this.#audioTokens += turn.audioTokens;
  }

  #cancel(session: MockSession, event: JsonObject): void {
    if (this.#stop("client_cancelled", stringIn(event, "response_id"))) return;
    const message = "Cancellation failed: no active response found";
    this.#refuse(session, openaiError(400, "response_cancel_not_active", message), event);
  }

  /** Stops one response, or the conversation's. Says whether there was one. */
  #stop(why: "client_cancelled" | "turn_detected", id: string | null = null): boolean {
    const named = [...this.#running].find((turn) => turn.id === id) ?? null;
    const turn = id === null ? this.#active : named;
    if (turn === null) return false;
    turn.stop ??= why;
    return true;
  }

  get #active(): RealtimeTurn | null {
    for (const turn of this.#running) if (turn.inConversation && turn.stop === null) return turn;
    return null;
  }

  #send(session: MockSession, type: string, fields: JsonObject): void {
    session.send(realtimeEvent(this.#world, type, fields).text);
  }

  #refuse(session: MockSession, { error }: OpenaiError, event: JsonObject): void {
    const event_id = stringIn(event, "event_id");
    this.#send(session, "error", { error: { ...error, event_id } });
  }
}

function msOf(bytes: number): number {
  return Math.round((bytes / PCM_BYTES_PER_TOKEN) * 100);
}
