/**
 * Keys for browsers: making them, and the sessions that they open.
 *
 * Owns: what was made, bounded. Does not own: the sessions (`openai_realtime.ts`).
 * Invariant: a key opens sessions as it was asked for until it ends, and nothing else.
 */

import { Lru } from "../lib/lru.ts";
import { type Answer, jsonAnswer, type World } from "./answer.ts";
import type { MockExchange } from "./exchange.ts";
import { type JsonObject, numberIn, objectIn } from "./json.ts";
import { notJson } from "./openai_errors.ts";
import { defaultSession, mergedSession } from "./openai_realtime_session.ts";

const PREFIX = "ek_";
const SECONDS_DEFAULT = 600;
const KEPT_MAX = 10_000;

/** Paths that take such a key. */
const TAKEN_AT: ReadonlySet<string> = new Set(["/v1/realtime", "/v1/realtime/calls"]);

interface Made {
  /** As it was asked for. */
  readonly session: JsonObject;
  readonly expiresAtS: number;
}

export class ClientSecrets {
  readonly #world: World;
  readonly #made = new Lru<string, Made>(KEPT_MAX);

  constructor(world: World) {
    this.#world = world;
  }

  /** `POST /v1/realtime/client_secrets`. */
  async create(exchange: MockExchange): Promise<Answer> {
    const body = await exchange.json(notJson);
    const asked = objectIn(body, "session");
    const seconds = numberIn(objectIn(body, "expires_after"), "seconds") ?? SECONDS_DEFAULT;
    const { key: value, expires_at } = this.#make(asked, seconds);
    return jsonAnswer({ value, expires_at, session: this.#sessionOf(asked) });
  }

  /** `POST /v1/realtime/sessions` and `/v1/realtime/transcription_sessions`, of the beta. */
  async createInBeta(exchange: MockExchange): Promise<Answer> {
    const body = await exchange.json(notJson);
    const transcribes = exchange.path.endsWith("/transcription_sessions");
    const { input_audio_transcription: transcription, ...rest } = body;
    const asked = {
      ...rest,
      ...(transcribes ? { type: "transcription" } : {}),
      ...(transcription === undefined ? {} : { audio: { input: { transcription } } }),
    };
    const { key: value, expires_at } = this.#make(asked, SECONDS_DEFAULT);
    return jsonAnswer({ ...this.#sessionOf(asked), client_secret: { value, expires_at } });
  }

  /** Whether this is such a key, good or not. */
  isOne(key: string): boolean {
    return key.startsWith(PREFIX);
  }

  /** Whether the key opens this path now. */
  opens(key: string, path: string): boolean {
    return TAKEN_AT.has(path) && this.session(key) !== null;
  }

  /** What the session of a key is to be; null: it is none, or its time is over. */
  session(key: string): JsonObject | null {
    const made = this.#made.get(key);
    const isGood = made !== undefined && made.expiresAtS * 1000 > this.#world.clock.nowMs();
    return isGood ? made.session : null;
  }

  #make(session: JsonObject, seconds: number): { key: string; expires_at: number } {
    const key = this.#world.ids.next(PREFIX, 32);
    const expires_at = Math.floor(this.#world.clock.nowMs() / 1000) + seconds;
    this.#made.set(key, { session, expiresAtS: expires_at });
    return { key, expires_at };
  }

  #sessionOf(asked: JsonObject): JsonObject {
    const model = asked["type"] === "transcription" ? null : "gpt-realtime-2";
    return mergedSession(defaultSession(this.#world, model), asked);
  }
}
