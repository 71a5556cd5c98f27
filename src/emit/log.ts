/**
 * The log: one JSON object a line, or a readable line on a terminal.
 *
 * Owns: the format, the level filter, length caps and redaction. Does not own: where lines go; the
 * composition root passes a function.
 * Invariant: no secret is written. Fields are capped and scrubbed here, so that no caller can
 * forget it.
 */

import type { LogLevel } from "../config/config.ts";
import type { Clock } from "../runtime/clock.ts";
import { LOG_EVENTS, type LogEvent } from "./event.ts";
import { mayHoldSecret, scrub } from "./redact.ts";

type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Writes one event. Fields that are undefined are left out. */
export type Log = (event: LogEvent, fields?: LogFields) => void;

/** Fields as they are written. */
type CleanFields = Record<string, string | number | boolean | null>;

const LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"];
/** A value from outside never makes a line longer than this many characters. */
const FIELD_LENGTH_MAX = 512;

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "json" | "pretty";
  readonly clock: Clock;
  /** Every secret the node holds; looked up at each line, because credentials come and go. */
  readonly secrets: () => readonly string[];
  readonly write: (line: string) => void;
}

/** A log that writes to `options.write`. */
export function createLog(options: LogOptions): Log {
  const threshold = LEVELS.indexOf(options.level);
  const render = options.format === "json" ? renderJson : renderPretty;
  return function log(event, fields = {}) {
    const level = LOG_EVENTS[event];
    if (LEVELS.indexOf(level) < threshold) return;
    const ts = new Date(options.clock.nowMs()).toISOString();
    options.write(render(ts, level, event, clean(fields, options.secrets())));
  };
}

function clean(fields: LogFields, secrets: readonly string[]): CleanFields {
  const cleaned: CleanFields = {};
  let text = "";
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    cleaned[name] = value;
    if (typeof value === "string") text += `${value}\n`;
  }
  // Nearly every line holds none, and one look at all of it costs less than one at each field.
  const hide = mayHoldSecret(text, secrets) ? scrub : unchanged;
  for (const name in cleaned) {
    const value = cleaned[name];
    // Scrubbed before it is cut, or half a secret would survive at the cut.
    if (typeof value === "string") cleaned[name] = cut(hide(value, secrets));
  }
  return cleaned;
}

function unchanged(text: string): string {
  return text;
}

function cut(text: string): string {
  return text.length > FIELD_LENGTH_MAX ? text.slice(0, FIELD_LENGTH_MAX) : text;
}

function renderJson(ts: string, level: LogLevel, event: LogEvent, fields: CleanFields): string {
  return `${JSON.stringify({ ts, level, event, ...fields })}\n`;
}

function renderPretty(ts: string, level: LogLevel, event: LogEvent, fields: CleanFields): string {
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `${ts.slice(11, 23)} ${level.padEnd(5)} ${event.padEnd(22)} ${pairs.join(" ")}\n`;
}
