/**
 * What OpenAI's requests have in common, whichever endpoint they are for.
 *
 * Owns: model snapshots, service tiers, tools and the number of output tokens.
 * Does not own: the answers. Invariant: everything follows from the request, the script and the
 * seed.
 */

import { isObject, type JsonObject, listIn, numberIn, objectIn, stringIn } from "./json.ts";
import { badField } from "./openai_errors.ts";
import type { OutputEvent } from "./answer.ts";
import type { Script } from "./script.ts";

const TOKENS_DEFAULT = 8;

/** The snapshot that a model's alias stands for; other names stand for themselves. */
const SNAPSHOTS: ReadonlyMap<string, string> = new Map([
  ["gpt-4o", "gpt-4o-2024-08-06"],
  ["gpt-5.4-mini", "gpt-5.4-mini-2026-03-17"],
  ["gpt-5.5", "gpt-5.5-2026-04-23"],
]);

/** @throws AnswerNow where the request names none */
export function modelOf(body: JsonObject): string {
  const model = stringIn(body, "model");
  if (model !== null && model !== "") return SNAPSHOTS.get(model) ?? model;
  throw badField("model", "you must provide a model parameter", "missing_required_parameter");
}

/** The tier that `created` echoes. `fast` is another name of `priority`. */
export function requestedTier(body: JsonObject): string {
  const tier = stringIn(body, "service_tier") ?? "auto";
  return tier === "fast" ? "priority" : tier;
}

/** The tier that the turn was served with. */
export function servedTier(body: JsonObject): string {
  const tier = requestedTier(body);
  return tier === "auto" ? "default" : tier;
}

/** How many output tokens there are, and whether the request's limit cut them. */
interface OutputSize {
  readonly tokens: number;
  readonly cut: boolean;
}

/** @param limits names of the fields that limit the output */
export function outputSize(
  body: JsonObject,
  script: Script,
  limits: readonly string[],
): OutputSize {
  const wanted = script.tokens ?? TOKENS_DEFAULT;
  const limit = Math.min(...limits.map((name) => numberIn(body, name) ?? Number.POSITIVE_INFINITY));
  return { tokens: Math.min(wanted, limit), cut: limit < wanted };
}

/**
 * A call that the simulated model makes: of the first function, with a value for all it requires.
 */
export interface FunctionCall {
  readonly name: string;
  readonly arguments: string;
}

/**
 * The call that a request with tools is answered with; null where it has none, forbids them, or
 * already brings the output of one.
 */
export function callFor(body: JsonObject, hasOutput: boolean): FunctionCall | null {
  if (hasOutput || body["tool_choice"] === "none") return null;
  for (const tool of listIn(body, "tools")) {
    if (!isObject(tool) || tool["type"] !== "function") continue;
    // Flat on Responses and Realtime, nested on chat.
    const definition = isObject(tool["function"]) ? tool["function"] : tool;
    const parameters = objectIn(definition, "parameters");
    const properties = objectIn(parameters, "properties");
    const required = listIn(parameters, "required").map(String);
    const values = required.map((name) => [name, sample(objectIn(properties, name))] as const);
    const name = stringIn(definition, "name") ?? "function";
    return { name, arguments: JSON.stringify(Object.fromEntries(values)) };
  }
  return null;
}

/** A value of the schema's type. */
function sample(schema: JsonObject): unknown {
  const type = schema["type"];
  if (type === "number" || type === "integer") return 1;
  if (type === "boolean") return true;
  if (type === "array") return [];
  return type === "object" ? {} : "lock";
}

/** `count` pieces of a text, as nearly equal as they can be. */
export function piecesOf(text: string, count: number): string[] {
  const size = Math.max(1, Math.ceil(text.length / Math.max(1, count)));
  return text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
}

/** A flood of events that are `size` bytes each: `wrap` puts filler into an event. */
export function* flood(
  count: number,
  size: number,
  wrap: (index: number, filler: string) => string,
): Generator<OutputEvent> {
  let filler = "x".repeat(Math.max(0, size - wrap(0, "").length));
  for (let index = 0; index < count; index += 1) {
    let text = wrap(index, filler);
    if (text.length !== size && filler.length > text.length - size) {
      // The number in the event has become longer.
      filler = "x".repeat(filler.length - (text.length - size));
      text = wrap(index, filler);
    }
    yield { text, delta: true };
  }
}
