/**
 * `param_whitelist` of a provider: the values that parameters of a request may have.
 *
 * Owns: where in a body, a message or a form parameters stand, and the comparison.
 * Does not own: when a body is read at all (`gateway/request.ts`).
 * Invariant: a parameter that is not sent, or is null, is allowed: the provider's default is its
 * own. What stands there in a way that an upstream could read otherwise is refused.
 */

import { GatewayError } from "../errors.ts";
import type { Message } from "../exchange.ts";
import type { Glob } from "../lib/glob.ts";
import {
  literalAt,
  type ObjectScan,
  scanObject,
  scanWithin,
  type Span,
  stringAt,
} from "../lib/json_scan.ts";
import { bareModel } from "../provider/model_field.ts";
import type { MultipartFields } from "../provider/multipart.ts";
import { ambiguousJson, textOf } from "../provider/wire_text.ts";

/** Patterns by parameter. Empty: nothing is limited. */
export type ParamWhitelist = ReadonlyMap<string, readonly Glob[]>;

/** Objects whose fields are parameters as well, in the messages and bodies of the protocols. */
const CONTAINERS = ["response", "session", "setup", "generationConfig", "generation_config"];

/** `setup.generationConfig` of Gemini Live is the deepest there is. */
const DEPTH_MAX = 2;

/** No setting is longer, and what is compared is chosen by the caller. */
const VALUE_CHARS_MAX = 1_000;
const SHOWN_CHARACTERS_MAX = 300;

/**
 * Checks the parameters of a body or of a WebSocket message.
 * @returns false: it is not one JSON object, so nothing was checked
 * @throws GatewayError `param_not_allowed`; `ambiguous_json`: a parameter that is limited stands
 *   there twice
 */
export function requireParams(whitelist: ParamWhitelist, message: Message): boolean {
  const sought = soughtFor(whitelist);
  const text = textOf(message);
  const scan = text === null ? null : scanObject(text, sought.keys);
  if (text === null || scan === null) return false;
  checkObject({ ...sought, text }, scan, "", 0);
  return true;
}

/**
 * Checks the fields of a form, those that were found so far.
 * @throws GatewayError `param_not_allowed`
 */
export function requireForm(
  whitelist: ParamWhitelist,
  { values, oversized }: Pick<MultipartFields, "values" | "oversized">,
): void {
  for (const [name, globs] of whitelist) {
    if (oversized.has(name)) check(globs, name, null);
    const value = values.get(name);
    if (value !== undefined) check(globs, name, value);
  }
}

/**
 * Checks one parameter that is known by itself, as the model of a URL.
 * @throws GatewayError `param_not_allowed`
 */
export function requireParam(whitelist: ParamWhitelist, name: string, value: string): void {
  const globs = whitelist.get(name);
  if (globs !== undefined) check(globs, name, value);
}

/** What to look for in an object. */
interface Sought {
  readonly keys: readonly string[];
  readonly limits: ParamWhitelist;
}

interface Search extends Sought {
  readonly text: string;
}

/** By whitelist: every message of a session is held to the same one. */
const SOUGHT = new WeakMap<ParamWhitelist, Sought>();

function soughtFor(whitelist: ParamWhitelist): Sought {
  let sought = SOUGHT.get(whitelist);
  if (sought === undefined) {
    const limits = spellingsOf(whitelist);
    const containers = CONTAINERS.filter((name) => !limits.has(name));
    sought = { keys: [...limits.keys(), ...containers], limits };
    SOUGHT.set(whitelist, sought);
  }
  return sought;
}

function checkObject(search: Search, scan: ObjectScan, prefix: string, depth: number): void {
  const { text, keys, limits } = search;
  if (scan.duplicate !== null) throw ambiguousJson(prefix + scan.duplicate);
  for (const [index, name] of keys.entries()) {
    const span = scan.fields[index] ?? null;
    if (span === null) continue;
    const globs = limits.get(name);
    if (globs !== undefined && !literalAt(text, span, "null")) {
      check(globs, prefix + name, valueAt(text, span));
    }
    if (depth === DEPTH_MAX || !CONTAINERS.includes(name)) continue;
    const within = scanWithin(text, span, keys);
    if (within !== null) checkObject(search, within, `${prefix}${name}.`, depth + 1);
  }
}

/** A string's characters, a number or truth value as it is written; null: an object or a list. */
function valueAt(text: string, span: Span): string | null {
  const string = stringAt(text, span);
  if (string !== null) return string;
  return "{[".includes(text.charAt(span.start)) ? null : text.slice(span.start, span.end);
}

function check(globs: readonly Glob[], param: string, value: string | null): void {
  const fits = value !== null && value.length <= VALUE_CHARS_MAX;
  const names = fits ? namesOf(param, value) : [];
  if (globs.some((glob) => names.some((name) => glob.matches(name)))) return;
  const patterns = globs.map(({ pattern }) => pattern).join(", ") || "nothing";
  throw new GatewayError("param_not_allowed", {
    message: `"${param}" has a value that is not allowed here. Allowed: ${shown(patterns)}`,
    param,
  });
}

/** Gemini writes its models with a collection in front of them, in some places. */
function namesOf(param: string, value: string): string[] {
  const isModel = param === "model" || param.endsWith(".model");
  return isModel ? [value, bareModel(value)] : [value];
}

/** Google takes each name in both spellings. */
function spellingsOf(whitelist: ParamWhitelist): ParamWhitelist {
  const limits = new Map(whitelist);
  for (const [name, globs] of whitelist) {
    for (const other of [camelCase(name), snakeCase(name)]) {
      if (!limits.has(other)) limits.set(other, globs);
    }
  }
  return limits;
}

function camelCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z0-9])/g, (_, next: string) => next.toUpperCase());
}

function snakeCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function shown(text: string): string {
  if (text.length <= SHOWN_CHARACTERS_MAX) return text;
  return `${text.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}
