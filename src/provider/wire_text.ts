/**
 * What every reader of JSON messages needs: the message as text, its `type` at a glance, and the
 * fields of an event by name.
 *
 * Owns: the look at the beginning of a message that spares most of them a scan.
 * Does not own: which types matter.
 * Invariant: a message that is no JSON object reads as null and never throws. Strings from outside
 * are cut to `VALUE_CHARS_MAX`, so that a hostile upstream cannot fill the ledger.
 */

import { Buffer } from "node:buffer";

import { GatewayError } from "../errors.ts";
import type { Message } from "../exchange.ts";
import type { Edit, Span } from "../lib/json_scan.ts";
import { editBytes, editText, scanObject, scanWithin, stringAt } from "../lib/json_scan.ts";

/** Longest model, id, lane or code that is kept. The longest legal lane is 256 characters. */
const VALUE_CHARS_MAX = 256;

const TYPE_FIRST = '{"type":"';
const TYPE_AT = TYPE_FIRST.length;
const DELTA = ".delta";
const TYPE_FIRST_BYTES = new TextEncoder().encode(TYPE_FIRST);
const DELTA_BYTES = new TextEncoder().encode(DELTA);
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

// `ignoreBOM` keeps the byte order mark in the text, where it makes the JSON invalid, as it should.
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The message as text, binary ones read as UTF-8; null: they are not. */
export function textOf(message: Message): string | null {
  if (typeof message === "string") return message;
  try {
    return UTF8.decode(message);
  } catch {
    return null;
  }
}

/**
 * The message after an edit; binary stays binary.
 * @param text of the message, in which the edit's span was found
 */
export function editMessage(message: Message, text: string, edit: Edit): Message {
  if (typeof message === "string") return editText(text, edit);
  const start = Buffer.byteLength(text.slice(0, edit.start));
  const end = start + Buffer.byteLength(text.slice(edit.start, edit.end));
  return editBytes(message, { start, end, insert: edit.insert });
}

/**
 * Whether the message begins with a `type` that ends in `.delta`. Allocates nothing. A type that is
 * not first, or is written with escapes, may be missed; that message is scanned like any other.
 */
export function isDelta(message: Message): boolean {
  if (typeof message !== "string") return isDeltaAt(message, 0, message.length);
  if (!message.startsWith(TYPE_FIRST)) return false;
  const end = message.indexOf('"', TYPE_AT);
  return message.startsWith(DELTA, end - DELTA.length);
}

/** The same of the message that lies in `[start, end)`, without making a view of it. */
export function isDeltaAt(bytes: Uint8Array, start: number, end: number): boolean {
  if (!startsWith(bytes, TYPE_FIRST_BYTES, start)) return false;
  const quote = bytes.indexOf(QUOTE, start + TYPE_AT);
  if (quote === -1 || quote >= end) return false;
  return startsWith(bytes, DELTA_BYTES, quote - DELTA_BYTES.length);
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array, at: number): boolean {
  if (at < 0) return false;
  for (let index = 0; index < prefix.length; index++) {
    if (bytes[at + index] !== prefix[index]) return false;
  }
  return true;
}

/**
 * The `type` where it comes first and is written plainly, "" where only a scan can tell, so that a
 * reader looks it up in its list before it scans a frame that does not matter.
 */
export function typeAtFront(message: Message): string {
  if (typeof message === "string") {
    if (!message.startsWith(TYPE_FIRST)) return "";
    const end = message.indexOf('"', TYPE_AT);
    const type = end === -1 ? "" : message.slice(TYPE_AT, end);
    return type.includes("\\") ? "" : type;
  }
  if (!startsWith(message, TYPE_FIRST_BYTES, 0)) return "";
  const end = message.indexOf(QUOTE, TYPE_AT);
  const type = end === -1 ? message.subarray(0, 0) : message.subarray(TYPE_AT, end);
  return type.includes(BACKSLASH) ? "" : String.fromCharCode(...type.subarray(0, VALUE_CHARS_MAX));
}

/**
 * A client's event on a socket where every message is one JSON object.
 * @param optional those of `keys` that read as absent where they are named twice
 * @throws GatewayError `invalid_json`, or `ambiguous_json` where another of `keys` is named twice:
 * which of the two the upstream would read is not known
 */
export function clientEvent(
  message: Message,
  keys: readonly string[],
  optional: readonly string[] = [],
): WireObject {
  const event = WireObject.readRequest(textOf(message), keys, optional);
  if (event === null) {
    throw new GatewayError("invalid_json", { message: "The message is not one JSON object" });
  }
  if (event.duplicate === null) return event;
  throw ambiguousJson(event.duplicate);
}

/**
 * The refusal of a JSON text in which a key that decides stands twice.
 * @param param the key, behind those of the objects that it is in
 */
export function ambiguousJson(param: string): GatewayError {
  const message = `The JSON names "${param}" twice, or in other letter case. Send it once`;
  return new GatewayError("ambiguous_json", { message, param });
}

/**
 * A string from outside as it may be kept: cut, and without what PostgreSQL cannot store. The
 * character in place of a NUL keeps the value different from one that never had it.
 */
export function storable(value: string): string {
  const cut = value.length > VALUE_CHARS_MAX ? value.slice(0, VALUE_CHARS_MAX) : value;
  const whole = cut.isWellFormed() ? cut : cut.toWellFormed();
  return whole.includes("\0") ? whole.replaceAll("\0", "\ufffd") : whole;
}

/** A JSON object whose fields are read by name. */
export class WireObject {
  readonly #text: string;
  readonly #keys: readonly string[];
  readonly #spans: readonly (Span | null)[];
  /** The first of the wanted keys that is named twice; null: none. */
  readonly duplicate: string | null;

  private constructor(
    text: string,
    keys: readonly string[],
    scan: { readonly fields: readonly (Span | null)[]; readonly duplicate: string | null },
  ) {
    this.#text = text;
    this.#keys = keys;
    this.#spans = scan.fields;
    this.duplicate = scan.duplicate;
  }

  /** Null: the text is not one JSON object. */
  static read(text: string | null, keys: readonly string[]): WireObject | null {
    const scan = text === null ? null : scanObject(text, keys);
    return text === null || scan === null ? null : new WireObject(text, keys, scan);
  }

  /**
   * The same of a request. Those of `keys` that are `optional` read as absent where one of them is
   * named twice, which is then not the `duplicate`.
   */
  static readRequest(
    text: string | null,
    keys: readonly string[],
    optional: readonly string[],
  ): WireObject | null {
    const object = WireObject.read(text, keys);
    if (!optional.some((key) => key === object?.duplicate)) return object;
    const needed = keys.filter((key) => !optional.includes(key));
    return WireObject.read(text, needed);
  }

  /** The object under `key`; null: there is none. */
  object(key: string, keys: readonly string[]): WireObject | null {
    const span = this.#span(key);
    const scan = span === null ? null : scanWithin(this.#text, span, keys);
    return scan === null ? null : new WireObject(this.#text, keys, scan);
  }

  /** The string under `key`, as it may be kept; null: there is none. */
  string(key: string): string | null {
    const value = stringAt(this.#text, this.#span(key));
    return value === null ? null : storable(value);
  }

  /** The JSON text under `key`; null: there is none. */
  json(key: string): string | null {
    const span = this.#span(key);
    return span === null ? null : this.#text.slice(span.start, span.end);
  }

  /** A whole number from 0 under `key`; null: there is none. */
  integer(key: string): number | null {
    const json = this.json(key);
    return json !== null && /^\d{1,15}$/.test(json) ? Number(json) : null;
  }

  isTrue(key: string): boolean {
    const span = this.#span(key);
    return (
      span !== null && span.end - span.start === 4 && this.#text.startsWith("true", span.start)
    );
  }

  isFalse(key: string): boolean {
    const span = this.#span(key);
    return (
      span !== null && span.end - span.start === 5 && this.#text.startsWith("false", span.start)
    );
  }

  /** Whether `key` has a value other than null. */
  has(key: string): boolean {
    const span = this.#span(key);
    return span !== null && !this.#text.startsWith("null", span.start);
  }

  #span(key: string): Span | null {
    return this.#spans[this.#keys.indexOf(key)] ?? null;
  }
}

export const ERROR_KEYS = ["code", "type", "status", "param"] as const;

/** The name of an error object: `code`, else `type`, else Google's `status`; null: it has none. */
export function errorCodeOf(error: WireObject | null): string | null {
  if (error === null) return null;
  return error.string("code") ?? error.string("type") ?? error.string("status");
}

/** The name of the error in an error body, `{"error": {…}}` in every dialect; null: it has none. */
export function errorCodeOfBody(text: string): string | null {
  return errorCodeOf(WireObject.read(text, ["error"])?.object("error", ERROR_KEYS) ?? null);
}
