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

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Writes one event. Fields that are undefined are left out. */
export type Log = (event: LogEvent, fields?: LogFields) => void;

/** Fields as they are written. */
type CleanFields = Record<string, string | number | boolean | null>;

type SecretLists = readonly (readonly string[])[];

/** What every line begins with. */
interface LineHead {
  readonly ts: string;
  readonly level: LogLevel;
  readonly event: LogEvent;
}

const LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"];
/** A value from outside never makes a line longer than this many characters. */
const FIELD_LENGTH_MAX = 512;

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "json" | "pretty";
  readonly clock: Clock;
  /**
   * Every secret the node holds, in lists that are replaced where they change; looked up at each
   * line, because credentials come and go.
   */
  readonly secrets: () => SecretLists;
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
    options.write(render({ ts, level, event }, fields, options.secrets()));
  };
}

/** Adds the fields, cleaned, to `line`. */
function addClean(line: CleanFields, fields: LogFields, secrets: SecretLists): CleanFields {
  let text = "";
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    line[name] = value;
    if (typeof value === "string") text += `${value}\n`;
  }
  // Nearly every line holds none, and one look at all of it costs less than one at each field.
  const known = mayHoldSecret(text, secrets) ? secrets.flat() : null;
  for (const name in fields) {
    const value = fields[name];
    // Scrubbed before it is cut, or half a secret would survive at the cut.
    if (typeof value === "string") line[name] = cut(known === null ? value : scrub(value, known));
  }
  return line;
}

function cut(text: string): string {
  return text.length > FIELD_LENGTH_MAX ? text.slice(0, FIELD_LENGTH_MAX) : text;
}

function renderJson(head: LineHead, fields: LogFields, secrets: SecretLists): string {
  const { ts, level, event } = head;
  return `${JSON.stringify(addClean({ ts, level, event }, fields, secrets))}\n`;
}

function renderPretty(head: LineHead, fields: LogFields, secrets: SecretLists): string {
  const { ts, level, event } = head;
  const pairs = Object.entries(addClean({}, fields, secrets)).map(
    ([name, value]) => `${name}=${JSON.stringify(value)}`,
  );
  return `${ts.slice(11, 23)} ${level.padEnd(5)} ${event.padEnd(22)} ${pairs.join(" ")}\n`;
}
