/**
 * The configuration of a Realtime session.
 *
 * Owns: its defaults and how an update changes it. Does not own: what follows from it.
 * Invariant: an update changes what it names and nothing else; a null turns a thing off.
 */

import { isObject, type JsonObject } from "./json.ts";
import type { World } from "./answer.ts";

const SESSION_SECONDS = 3_600;

/** @param model null makes a transcription session */
export function defaultSession(world: World, model: string | null): JsonObject {
  const expires_at = Math.floor(world.clock.nowMs() / 1000) + SESSION_SECONDS;
  const format = { type: "audio/pcm", rate: 24_000 };
  const detection = {
    type: "server_vad",
    threshold: 0.5,
    prefix_padding_ms: 300,
    silence_duration_ms: 500,
    idle_timeout_ms: null,
    create_response: true,
    interrupt_response: true,
  };
  const input = { format, transcription: null, noise_reduction: null, turn_detection: detection };
  const id = world.ids.next("sess_", 22);
  if (model === null) {
    const object = "realtime.transcription_session";
    return { type: "transcription", object, id, expires_at, audio: { input }, include: null };
  }
  return {
    type: "realtime",
    object: "realtime.session",
    id,
    model,
    output_modalities: ["audio"],
    instructions: "You are a helpful assistant.",
    tools: [],
    tool_choice: "auto",
    max_output_tokens: "inf",
    tracing: null,
    truncation: "auto",
    prompt: null,
    expires_at,
    audio: { input, output: { format, voice: "marin", speed: 1 } },
    include: null,
  };
}

/** `session` with the fields of `update`, objects field by field. */
export function mergedSession(session: JsonObject, update: JsonObject): JsonObject {
  const merged: Record<string, unknown> = { ...session };
  for (const [name, value] of Object.entries(update)) {
    const old = merged[name];
    merged[name] = isObject(old) && isObject(value) ? mergedSession(old, value) : value;
  }
  return merged;
}
