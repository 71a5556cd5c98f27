/**
 * Where a request or message names a service tier, in each protocol, and the edit of that field.
 *
 * Owns: the places of tiers, the model that a message names, and changing a tier or taking it out.
 * Does not own: what may be asked for (`policy/service_tier.ts`), or Anthropic's beta header
 * (`fast_mode.ts`).
 * Invariant: an edit changes the one field and no other byte. What an upstream could read in two
 * ways is refused: a key that decides named twice, or in both of its spellings.
 */

import { GatewayError } from "../errors.ts";
import type { Message } from "../exchange.ts";
import {
  glance,
  isOtherString,
  type Names,
  NAMES_NONE,
  NAMES_SOME,
  namesOf,
} from "../lib/json_glance.ts";
import type { ObjectScan, Span } from "../lib/json_scan.ts";
import {
  literalAt,
  removeField,
  replaceValue,
  scanObject,
  scanWithin,
  stringAt,
} from "../lib/json_scan.ts";
import { bareModel } from "./model_field.ts";
import type { MeterDialect } from "./provider.ts";
import { ambiguousJson, editMessage, storable, textOf, WireObject } from "./wire_text.ts";

/** The body of an HTTP request, or a message of a client's WebSocket. */
export type TierCarrier = "body" | "message";

/** A tier that is asked for. Anthropic can be asked for two at once, each on its own. */
export interface TierAsk {
  /** Where, such as `service_tier` or `response.service_tier`. */
  readonly field: string;
  /** As the client wrote it. */
  readonly tier: string;
}

interface TierReading {
  /** That the request or message is for; null: it does not say, or the path or session does. */
  readonly model: string | null;
  /** The same, inside the response that is asked for, where no protocol has one; null: none. */
  readonly responseModel: string | null;
  /** Whether a prompt template says that, which only the upstream knows. */
  readonly isModelOpen: boolean;
  /** That a `session.update` sets for what follows; null: none. */
  readonly sessionModel: string | null;
  /** That a session is to transcribe with. */
  readonly transcriptionModels: readonly string[];
  readonly asks: readonly TierAsk[];
  /**
   * Whether it asks for no turn either, and means nothing to the reader of its session. That it is
   * JSON, nobody has checked then.
   */
  readonly isQuiet: boolean;
}

interface TierWritten {
  /** The very message that was given where nothing had to change. */
  readonly message: Message;
  /** What the upstream now reads there, canonical where it is known; null: no tier. */
  readonly tier: string | null;
}

/** What Anthropic calls `speed: "fast"`. */
export const FAST_TIER = "priority";

/** The keys of one object that can name a tier, and the objects in it that can too. */
interface Scheme {
  /** Tiers, then inner objects, then the rest: what decides, and may stand there once. */
  readonly keys: readonly string[];
  /** The same keys, to be looked for at a glance. */
  readonly names: Names;
  readonly tiers: readonly string[];
  readonly inner: readonly (readonly [string, Scheme])[];
  /** Google takes a tier by its number too, in digits or in a string. */
  readonly numbered: boolean;
}

const SPEED = "speed";
const TYPE = "type";
const MODEL = "model";
/** A template that the upstream keeps, with a model of its own. */
const PROMPT = "prompt";

function scheme(tiers: readonly string[], inner: Readonly<Record<string, Scheme>> = {}): Scheme {
  const keys = [...tiers, ...Object.keys(inner), MODEL, TYPE];
  const numbered = tiers.includes("serviceTier");
  const names = namesOf(keys, TYPE);
  return { keys, names, tiers, inner: Object.entries(inner), numbered };
}

const TOP = scheme(["service_tier"]);
/** Google has OpenAI's interface too, and may read its own spelling there. */
const OPENAI_BODY: Scheme = { ...scheme(["service_tier", "serviceTier"]), numbered: false };
/** No tier, but a model of its own. */
const TRANSCRIPTION = scheme([]);
const AUDIO = scheme([], { input: scheme([], { transcription: TRANSCRIPTION }) });
const SESSION = scheme(["service_tier"], {
  audio: AUDIO,
  input_audio_transcription: TRANSCRIPTION,
});
const MESSAGE = scheme(["service_tier"], { response: TOP, session: SESSION });
const OPENAI_MESSAGE: Scheme = { ...MESSAGE, keys: [...MESSAGE.keys, PROMPT] };
const ANTHROPIC = scheme(["service_tier", SPEED]);
const GEMINI_CONFIG = scheme(["serviceTier", "service_tier"]);
const GEMINI = scheme(["serviceTier", "service_tier"], {
  generationConfig: GEMINI_CONFIG,
  generation_config: GEMINI_CONFIG,
});
const LIVE_SETUP = scheme(["serviceTier", "service_tier"], { setup: GEMINI });
const GEMINI_LIVE: Scheme = {
  ...LIVE_SETUP,
  // What asks for a turn is no quiet message, and may stand there once.
  names: namesOf([...LIVE_SETUP.keys, "client_content", "clientContent"], "clientContent"),
};

/** Where a session names the model that it transcribes with: GA and beta. */
const TRANSCRIPTIONS = ["session.audio.input.transcription.", "session.input_audio_transcription."];

/** Keys that Google reads as one field. */
const SYNONYMS = [
  ["serviceTier", "service_tier"],
  ["generationConfig", "generation_config"],
] as const;

/** Messages that start and set nothing. In every other type, known or not, a tier counts. */
const INERT: ReadonlySet<string> = new Set(["response.cancel", "response.processed"]);

/** Messages that start no turn either, whatever tier their session holds. */
const STARTS_NOTHING: ReadonlySet<string | null> = new Set([
  ...INERT,
  "session.update",
  "conversation.item.create",
  "conversation.item.retrieve",
  "conversation.item.truncate",
  "conversation.item.delete",
  "input_audio_buffer.clear",
  "output_audio_buffer.clear",
]);

/** Whose messages are read at a glance first. That one of the others is JSON is always checked. */
const GLANCED_AT: ReadonlySet<MeterDialect> = new Set([
  "openai_responses",
  "openai_realtime",
  "gemini_live",
]);

const NOTHING: TierReading = {
  model: null,
  responseModel: null,
  isModelOpen: false,
  sessionModel: null,
  transcriptionModels: [],
  asks: [],
  isQuiet: false,
};
const QUIET: TierReading = { ...NOTHING, isQuiet: true };

/** The type of OpenAI's messages that ask for a turn. */
const CREATE = "response.create";

/** A tier found, with where it is in the text. */
interface Place extends TierAsk {
  readonly key: string;
  readonly at: Span & { readonly keyStart: number };
}

interface Walk {
  readonly text: string;
  readonly places: Place[];
  /** By the prefix of their object, "" at the top. */
  readonly models: Map<string, string>;
}

/**
 * What tiers a client asks for, for which model.
 * @param message a whole request body, or one message; binary is read as UTF-8
 * @throws GatewayError `invalid_json`: not one JSON object, which of a message that names nothing
 *   here may be left to others; `ambiguous_json`: a field that decides stands there twice;
 *   `param_not_allowed`: a tier by number, which no policy can name
 */
export function readTiers(
  dialect: MeterDialect,
  carrier: TierCarrier,
  message: Message,
): TierReading {
  const glanced = carrier === "message" ? readAtGlance(dialect, message) : null;
  if (glanced !== null) return glanced;
  const { places, models, type, hasPrompt } = walk(dialect, carrier, message);
  const asks = places.map(({ field, tier }) => ({ field, tier }));
  const sessionModel = type === "session.update" ? (models.get("session.") ?? null) : null;
  const transcriptionModels = TRANSCRIPTIONS.flatMap((prefix) => models.get(prefix) ?? []);
  const model = modelOf(dialect, models);
  const isModelOpen = dialect === "openai_responses" && model === null && hasPrompt;
  const responseModel = models.get("response.") ?? null;
  const named = { model, responseModel, isModelOpen, sessionModel, transcriptionModels };
  return { ...named, asks, isQuiet: false };
}

/** Whether a tier holds for the turns after its message too. */
export function isStanding({ field }: TierAsk): boolean {
  return /^(?:session|setup)\./.test(field);
}

/**
 * The models that a tier may be for; null: one that is not known.
 * @param held what the session may have, which a message without a model is for
 */
export function modelsFor(
  ask: TierAsk,
  { model, responseModel, isModelOpen }: TierReading,
  held: readonly (string | null)[],
): readonly (string | null)[] {
  if (isModelOpen) return [null];
  const isOwn = model !== null && !isStanding(ask);
  return [...(isOwn ? [] : held), model, responseModel];
}

/**
 * Whether a client's message starts no turn, not even by what the upstream hears in it.
 * @param message whose `type` does not stand there twice
 */
export function startsNothing(dialect: MeterDialect, message: Message): boolean {
  if (dialect !== "openai_realtime" && dialect !== "openai_responses") return false;
  const type = WireObject.read(textOf(message), [TYPE])?.string(TYPE) ?? null;
  return STARTS_NOTHING.has(type);
}

/**
 * Puts another tier in a field's place, or takes the field out with its comma.
 * @param field of a `TierAsk` that was read from this message
 * @param tier what is to be sent; null: nothing. A field that cannot say it is taken out
 * @throws GatewayError as `readTiers`
 */
export function writeTier(
  dialect: MeterDialect,
  carrier: TierCarrier,
  message: Message,
  field: string,
  tier: string | null,
): TierWritten {
  const { text, places } = walk(dialect, carrier, message);
  const place = places.find((one) => one.field === field);
  if (place === undefined) return { message, tier: null };
  const wire = tier === null ? null : wireName(place, tier);
  if (wire === null)
    return { message: editMessage(message, text, removeField(text, place.at)), tier: null };
  if (wire === place.tier) return { message, tier };
  const edit = replaceValue(place.at, JSON.stringify(wire));
  return { message: editMessage(message, text, edit), tier };
}

/** `speed` knows fast, and what it was sent with; any other tier is its absence. */
function wireName(place: Place, tier: string): string | null {
  if (place.key !== SPEED || tier === place.tier) return tier;
  return tier === FAST_TIER ? "fast" : null;
}

function isUsualSpeed(speed: string): boolean {
  return speed.trim().toLowerCase() === "standard";
}

/** Most messages, which are audio and text, name nothing. Null: it takes a scan. */
function readAtGlance(dialect: MeterDialect, message: Message): TierReading | null {
  if (!GLANCED_AT.has(dialect)) return null;
  const seen = glance(message, schemeOf(dialect, "message").names);
  if (seen === NAMES_SOME) return null;
  if (seen === NAMES_NONE) return QUIET;
  const isType = dialect !== "gemini_live";
  return isType && isOtherString(message, seen, CREATE) ? QUIET : NOTHING;
}

function walk(
  dialect: MeterDialect,
  carrier: TierCarrier,
  message: Message,
): Walk & { readonly type: string | null; readonly hasPrompt: boolean } {
  const root = schemeOf(dialect, carrier);
  const text = textOf(message);
  const scan = text === null ? null : scanObject(text, root.keys);
  if (text === null || scan === null) {
    throw new GatewayError("invalid_json", { message: `The ${carrier} is not one JSON object` });
  }
  const found: Walk = { text, places: [], models: new Map() };
  visit(found, scan, root, "");
  const type = stringAt(text, scan.fields[root.keys.indexOf(TYPE)]);
  const inert =
    carrier === "message" && root === OPENAI_MESSAGE && type !== null && INERT.has(type);
  const prompt = scan.fields[root.keys.indexOf(PROMPT)] ?? null;
  const hasPrompt = prompt !== null && !literalAt(text, prompt, "null");
  return { ...found, places: inert ? [] : found.places, type, hasPrompt };
}

function schemeOf(dialect: MeterDialect, carrier: TierCarrier): Scheme {
  if (dialect === "anthropic_messages") return ANTHROPIC;
  if (dialect === "gemini_generate") return GEMINI;
  if (dialect === "gemini_live") return GEMINI_LIVE;
  // A body that asks for a session holds what a `session.update` does.
  return carrier === "message" || dialect === "openai_realtime" ? OPENAI_MESSAGE : OPENAI_BODY;
}

function visit(
  found: Walk,
  scan: ObjectScan,
  { keys, tiers, inner, numbered }: Scheme,
  prefix: string,
): void {
  refuseAmbiguous(scan, keys, prefix);
  const { text } = found;
  for (const [index, key] of tiers.entries()) {
    const at = scan.fields[index] ?? null;
    const tier = stringAt(text, at);
    if (numbered) refuseNumber(text, at, tier, prefix + key);
    // What is no string names no tier, and is the upstream's to refuse.
    if (at === null || tier === null || (key === SPEED && isUsualSpeed(tier))) continue;
    found.places.push({ field: prefix + key, key, tier, at });
  }
  const model = stringAt(text, scan.fields[keys.indexOf(MODEL)]);
  if (model !== null && model !== "") found.models.set(prefix, storable(model));
  for (const [index, [key, scheme]] of inner.entries()) {
    const span = scan.fields[tiers.length + index];
    const within = span ? scanWithin(text, span, scheme.keys) : null;
    if (within !== null) visit(found, within, scheme, `${prefix}${key}.`);
  }
}

function refuseAmbiguous(scan: ObjectScan, keys: readonly string[], prefix: string): void {
  const twice = scan.duplicate;
  if (twice !== null) throw ambiguousJson(prefix + twice);
  for (const [first, second] of SYNONYMS) {
    const [left, right] = [keys.indexOf(first), keys.indexOf(second)];
    if (!scan.fields[left] || !scan.fields[right]) continue;
    throw new GatewayError("ambiguous_json", {
      message: `The JSON names both "${prefix}${first}" and "${prefix}${second}". Send it once`,
      param: prefix + second,
    });
  }
}

function refuseNumber(text: string, at: Span | null, tier: string | null, param: string): void {
  if (at === null) return;
  if (!/^\s*[-+.\d]/.test(tier ?? text.slice(at.start, at.start + 1))) return;
  const message = `${param} must be a tier's name, such as "flex", not a number`;
  throw new GatewayError("param_not_allowed", { message, param });
}

/** Realtime's is the session's, and that of Gemini's HTTP requests is in the path. */
function modelOf(dialect: MeterDialect, models: ReadonlyMap<string, string>): string | null {
  if (dialect === "openai_realtime" || dialect === "gemini_generate") return null;
  if (dialect !== "gemini_live") return models.get("") ?? null;
  const model = models.get("setup.");
  return model === undefined ? null : bareModel(model);
}
