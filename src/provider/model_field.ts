/**
 * Where requests, messages and answers name a model, in each protocol, and the edit of that name.
 *
 * Owns: the places of models, and putting another name there.
 * Does not own: which names there are (`route/model_map.ts`), or models in paths and queries.
 * Invariant: an edit changes the names and no other byte. Of a request, a key on the way to a model
 * that is named twice is refused: which of the two the upstream reads is not known.
 */

import type { Message } from "../exchange.ts";
import { namesNone, namesOf } from "../lib/json_glance.ts";
import {
  type Edit,
  type ObjectScan,
  replaceValue,
  scanElements,
  scanObject,
  scanWithin,
  type Span,
  stringAt,
} from "../lib/json_scan.ts";
import type { MeterDialect } from "./provider.ts";
import { ambiguousJson, editMessage, textOf } from "./wire_text.ts";

/** Keys from the top of a JSON object to a string. */
type Place = readonly string[];

/** Where models stand, by message format. */
type Places = { readonly [D in MeterDialect]?: readonly Place[] };

const MODEL: Place = ["model"];

/** Of a session of Realtime, in its GA form and in that of the beta. */
const SESSION_MODELS: readonly Place[] = [
  ["session", "model"],
  ["session", "audio", "input", "transcription", "model"],
  ["session", "input_audio_transcription", "model"],
];

/** The same around a request for a key, and in its answer. In the beta the session is the body. */
const SESSION_BODY: readonly Place[] = [
  MODEL,
  ...SESSION_MODELS,
  ["input_audio_transcription", "model"],
];

/** In the bodies of requests. Absent: at the top. */
const IN_REQUESTS: Places = { openai_realtime: SESSION_BODY };

/** Neither protocol has a model there; an upstream of the same make may read one all the same. */
const RESPONSE_MODEL: Place = ["response", "model"];

/** In the messages of clients. */
const IN_MESSAGES: Places = {
  openai_responses: [MODEL, ["session", "model"], RESPONSE_MODEL],
  openai_realtime: [...SESSION_MODELS, RESPONSE_MODEL],
  gemini_live: [["setup", "model"]],
};

/** In an answer that is one JSON object. Absent: at the top. */
const IN_BODIES: Places = {
  gemini_generate: [["modelVersion"]],
  openai_realtime: SESSION_BODY,
};

/** In the events of a stream, and in the messages of upstreams. Absent: at the top. */
const IN_EVENTS: Places = {
  openai_responses: [RESPONSE_MODEL],
  openai_realtime: SESSION_MODELS,
  anthropic_messages: [["message", "model"]],
  gemini_generate: [["modelVersion"]],
};

/** Google writes a model with its collection in front, in bodies and messages. */
const COLLECTION = "models/";

/** The model without its collection. */
export function bareModel(name: string): string {
  return name.startsWith(COLLECTION) ? name.slice(COLLECTION.length) : name;
}

/** `type` is what most messages have, and it names no model. */
const NAMES = namesOf(["model", "type"], "type");

/** Takes a model's name, and returns the one to be written in its place. */
type Rename = (name: string) => string;

/**
 * Renames the model in a request body.
 * @returns the very bytes that were given where nothing changes
 * @throws GatewayError `ambiguous_json`, and what `rename` throws
 */
export function renameInBody(
  dialect: MeterDialect,
  body: Uint8Array<ArrayBuffer>,
  rename: Rename,
): Message {
  const whole = renamed(body, IN_REQUESTS[dialect] ?? [MODEL], rename, true);
  return dialect === "gemini_generate" ? renamedInList(whole, "requests", rename) : whole;
}

/**
 * Renames the models in a client's message, those of the session included.
 * @returns the very message that was given where nothing changes
 * @throws GatewayError `ambiguous_json`, and what `rename` throws
 */
export function renameInMessage(dialect: MeterDialect, message: Message, rename: Rename): Message {
  const places = IN_MESSAGES[dialect] ?? [];
  return namesNone(message, NAMES) ? message : renamed(message, places, rename, true);
}

/** Renames the model in an answer that is one JSON object; what is none stays as it is. */
export function renameInAnswer(dialect: MeterDialect, text: string, rename: Rename): string {
  const places = IN_BODIES[dialect] ?? [MODEL];
  return names(text) ? renamedText(text, places, rename) : text;
}

/** The same of an event of a stream. */
export function renameInEvent(dialect: MeterDialect, text: string, rename: Rename): string {
  const places = IN_EVENTS[dialect] ?? [MODEL];
  return names(text) ? renamedText(text, places, rename) : text;
}

/** The same of a message of an upstream. */
export function renameInUpstreamMessage(
  dialect: MeterDialect,
  message: Message,
  rename: Rename,
): Message {
  const places = IN_EVENTS[dialect] ?? [];
  if (places.length === 0) return message;
  if (typeof message === "string" && !names(message)) return message;
  return renamed(message, places, rename, false);
}

/** An upstream writes its keys plainly. Spares most events a scan. */
function names(text: string): boolean {
  return text.includes('"model');
}

function renamedText(text: string, places: readonly Place[], rename: Rename): string {
  const edited = renamed(text, places, rename, false);
  return typeof edited === "string" ? edited : text;
}

function renamed(
  message: Message,
  places: readonly Place[],
  rename: Rename,
  isStrict: boolean,
): Message {
  let edited = message;
  for (const place of places) {
    const text = textOf(edited);
    const edit = text === null ? null : editAt(text, place, rename, isStrict);
    if (text !== null && edit !== null) edited = editMessage(edited, text, edit);
  }
  return edited;
}

/** Of what is embedded in one request, each names the model again, and Google compares them. */
function renamedInList(body: Message, list: string, rename: Rename): Message {
  const text = textOf(body) ?? "";
  const span = fieldAt(text, [list], true);
  const parts: string[] = [];
  let from = 0;
  for (const element of (span && scanElements(text, span)) ?? []) {
    const edit = editAt(text, MODEL, rename, true, element);
    if (edit === null) continue;
    parts.push(text.slice(from, edit.start), edit.insert);
    from = edit.end;
  }
  return from === 0 ? body : parts.join("") + text.slice(from);
}

/** Null: no model stands there, or the name stays. */
function editAt(
  text: string,
  place: Place,
  rename: Rename,
  isStrict: boolean,
  within: Span | null = null,
): Edit | null {
  const field = fieldAt(text, place, isStrict, within);
  const name = stringAt(text, field);
  if (field === null || name === null) return null;
  const bare = bareModel(name);
  const other = rename(bare);
  if (other === bare) return null;
  const prefix = name.slice(0, name.length - bare.length);
  return replaceValue(field, JSON.stringify(prefix + other));
}

/**
 * @param within a value of the text; null: all of it
 * @returns null: there is no such place in it, or it is no JSON object
 */
function fieldAt(
  text: string,
  place: Place,
  isStrict: boolean,
  within: Span | null = null,
): ObjectScan["fields"][number] {
  let at = within;
  let field: ObjectScan["fields"][number] = null;
  for (const [depth, key] of place.entries()) {
    const scan: ObjectScan | null =
      at === null ? scanObject(text, [key]) : scanWithin(text, at, [key]);
    if (isStrict && scan?.duplicate) throw ambiguousJson(place.slice(0, depth + 1).join("."));
    field = scan?.fields[0] ?? null;
    if (field === null) return null;
    at = field;
  }
  return field;
}
