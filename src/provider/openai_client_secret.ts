/**
 * OpenAI's keys for browsers: what session is asked for, and where the key is in the answer.
 *
 *   POST /v1/realtime/client_secrets
 *   {session: {type, model, audio.input.transcription.model}}  ─▶  {value, expires_at, session}
 *   POST /v1/realtime/sessions (beta)
 *   {model, input_audio_transcription.model}  ─▶  {client_secret: {value, expires_at}, …}
 *
 * Owns: these places, and putting another key there.
 * Does not own: whether the session is allowed, or what goes in the key's place.
 * Invariant: an answer that was edited holds the provider's key nowhere, and differs in nothing
 * else.
 */

import {
  byteText,
  editBytes,
  type ObjectScan,
  replaceValue,
  scanObject,
  scanWithin,
  type Span,
  stringAt,
} from "../lib/json_scan.ts";
import type { RequestedTurn } from "./provider.ts";
import { WireObject } from "./wire_text.ts";

const SESSION_KEYS = [
  "type",
  "model",
  "service_tier",
  "audio",
  "input_audio_transcription",
] as const;

/** What a session's configuration names, wherever it names it. */
class SessionNames {
  readonly models = new Set<string>();
  readonly transcriptionModels = new Set<string>();
  readonly tiers = new Set<string>();
  duplicate: string | null = null;
  isTranscription = false;

  add(session: WireObject | null): void {
    if (session === null) return;
    const input = session.object("audio", ["input"]);
    const transcription = input?.object("input", ["transcription"]) ?? null;
    const ga = transcription?.object("transcription", ["model"]) ?? null;
    const beta = session.object("input_audio_transcription", ["model"]);
    for (const one of [session, input, transcription, ga, beta]) {
      this.duplicate ??= one?.duplicate ?? null;
    }
    addTo(this.models, session.string("model"));
    addTo(this.tiers, session.string("service_tier"));
    addTo(this.transcriptionModels, ga?.string("model") ?? null);
    addTo(this.transcriptionModels, beta?.string("model") ?? null);
    if (session.string("type") === "transcription") this.isTranscription = true;
  }
}

function addTo(names: Set<string>, name: string | null): void {
  if (name !== null) names.add(name);
}

/**
 * What session a key is asked for. Names in more than one place must be the same: which of them
 * the upstream would read is not known.
 * @param path of the request; in the beta it says that only transcription is wanted
 * @returns null: the body is no JSON object
 */
export function realtimeSessionRequest(text: string, path: string): RequestedTurn | null {
  const body = WireObject.read(text, ["session", ...SESSION_KEYS]);
  if (body === null) return null;
  const names = new SessionNames();
  names.add(body);
  names.add(body.object("session", SESSION_KEYS));
  const transcribes = names.isTranscription || path.endsWith("/transcription_sessions");
  const [model = null] = names.models;
  const [transcriptionModel] = names.transcriptionModels;
  const [serviceTier = null] = names.tiers;
  return {
    model: transcribes ? (model ?? transcriptionModel ?? null) : model,
    ...(transcriptionModel === undefined ? {} : { transcriptionModel }),
    serviceTier,
    stream: false,
    outputTokensMax: null,
    speed: null,
    includeUsage: false,
    background: false,
    previousResponseId: null,
    duplicate: names.duplicate ?? contradiction(names),
  };
}

function contradiction({ models, transcriptionModels }: SessionNames): string | null {
  if (models.size > 1) return "model";
  return transcriptionModels.size > 1 ? "transcription.model" : null;
}

/** Of the object that holds a key. */
const SECRET_KEYS = ["value", "expires_at"] as const;

/** A key becomes a header's value. Another sluice's are longer than OpenAI's own. */
const KEY = /^[\x21-\x7e]{1,4096}$/;

/** The end of the year 9999, in seconds. */
const EXPIRES_S_MAX = 253_402_300_799;

/** A key for a browser in the answer that gives it. */
interface GivenSecret {
  readonly key: string;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** The answer with another key in its place; null: the first one stands elsewhere too. */
  replacedBy(secret: string): Uint8Array<ArrayBuffer> | null;
}

/** A string, and when it ends in seconds since the epoch; NaN where that is not said. */
interface Place {
  readonly span: Span;
  readonly key: string;
  readonly expiresAtS: number;
}

/**
 * Finds the key in an answer.
 * @returns null: there is none, it can be read in two ways, or when it ends is not said
 */
export function givenSecret(body: Uint8Array): GivenSecret | null {
  const text = byteText(body);
  const places = text === null ? [] : placesIn(text);
  const [first] = places;
  if (first === undefined || places.some(({ key }) => key !== first.key)) return null;
  const { key } = first;
  const expiresAtS = Math.min(...places.map((place) => place.expiresAtS));
  if (!KEY.test(key) || !(expiresAtS <= EXPIRES_S_MAX)) return null;
  return {
    key,
    expiresAtMs: expiresAtS * 1000,
    replacedBy(secret) {
      const json = JSON.stringify(secret);
      const fromTheEnd = places.toSorted((one, other) => other.span.start - one.span.start);
      let edited = body;
      for (const { span } of fromTheEnd) edited = editBytes(edited, replaceValue(span, json));
      return isFreeOf(edited, key) ? new Uint8Array(edited) : null;
    },
  };
}

/** Whether nobody can read the key there, however its characters are written. */
function isFreeOf(body: Uint8Array, key: string): boolean {
  const text = byteText(body)?.replace(
    /\\(?:u([\da-f]{4})|(.))/gi,
    (_, hex?: string, plain = "") =>
      hex === undefined ? plain : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return text?.includes(key) === false;
}

/** Every place of a key; none where one of them is ambiguous. */
function placesIn(text: string): Place[] {
  const top = scanObject(text, [...SECRET_KEYS, "client_secret", "session"]);
  const session = within(text, top?.fields[3], ["client_secret"]);
  const owners = [
    top,
    within(text, top?.fields[2], SECRET_KEYS),
    within(text, session?.fields[0], SECRET_KEYS),
  ];
  if ([session, ...owners].some((scan) => scan !== null && scan.duplicate !== null)) return [];
  return owners.flatMap((owner) => {
    const [span = null, end] = owner?.fields ?? [];
    const key = stringAt(text, span);
    return span === null || key === null ? [] : [{ span, key, expiresAtS: secondsAt(text, end) }];
  });
}

function within(
  text: string,
  span: Span | null | undefined,
  keys: readonly string[],
): ObjectScan | null {
  return span ? scanWithin(text, span, keys) : null;
}

/** A whole number; NaN: there is none. */
function secondsAt(text: string, span: Span | null | undefined): number {
  const json = span ? text.slice(span.start, span.end) : "";
  return /^\d{1,15}$/.test(json) ? Number(json) : Number.NaN;
}
