/**
 * The script of an exchange: what `x-mock`, `?mock=` and `metadata.mock` ask the simulated provider
 * to do.
 *
 *   x-mock: delay=first:250ms,each:10ms,tokens=20,close=1011,after=3
 *
 * Owns: the grammar and the bounds. Does not own: acting on it.
 * Invariant: an unknown key or a value out of bounds is an error that names it; nothing is ignored.
 */

import { parseDurationMs, parseSizeBytes } from "../lib/duration.ts";

export interface Script {
  /** Before the first byte of the answer, or the first event of a turn. */
  readonly firstDelayMs: number;
  /** Before each output delta, and between the pieces of a fixture. */
  readonly eachDelayMs: number;
  /** Output deltas; null: as many as the simulated model likes. */
  readonly tokens: number | null;
  readonly status: number | null;
  /** OpenAI's error code. */
  readonly error: string | null;
  /** Close code of a socket; 1005 is none. */
  readonly close: number | null;
  /** Events of the answer before `close`, `drop`, `garbage` or `error` happens; null: not said. */
  readonly after: number | null;
  readonly drop: boolean;
  readonly hang: boolean;
  readonly garbage: "text" | "binary" | null;
  readonly fixture: string | null;
  /** Bytes of each write of an HTTP body. */
  readonly chunkBytes: number | null;
  /** A flood of so many output events instead of words … */
  readonly frames: number | null;
  /** … each of so many bytes. */
  readonly frameBytes: number | null;
  /** Size to which a JSON body is padded. */
  readonly bodyBytes: number | null;
}

/** Asks for nothing special. */
export const NO_SCRIPT: Script = {
  firstDelayMs: 0,
  eachDelayMs: 0,
  tokens: null,
  status: null,
  error: null,
  close: null,
  after: null,
  drop: false,
  hang: false,
  garbage: null,
  fixture: null,
  chunkBytes: null,
  frames: null,
  frameBytes: null,
  bodyBytes: null,
};

/** A script that cannot be followed. The message names the key, the value and what would do. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";
}

const DELAY_MS_MAX = 3_600_000;
const FRAME_BYTES_MAX = 64 * 1024 * 1024;
const BODY_BYTES_MAX = 4 * 1024 ** 3;

type Reader = (value: string, script: Script) => Partial<Script>;

const READERS: Readonly<Record<string, Reader>> = {
  delay: readDelay,
  tokens: (value) => ({ tokens: integer("tokens", value, 0, 1_000_000) }),
  status: (value) => ({ status: integer("status", value, 400, 599) }),
  error: (value) => ({ error: word("error", value, /^[a-z][a-z0-9_]{0,63}$/, "an error code") }),
  close: (value) => ({ close: closeCode(value) }),
  after: (value) => ({ after: integer("after", value, 0, 1_000_000) }),
  drop: (value) => ({ drop: flag("drop", value) }),
  hang: (value) => ({ hang: flag("hang", value) }),
  garbage: (value) => ({ garbage: garbage(value) }),
  fixture: (value) => ({ fixture: word("fixture", value, /^\w[\w.-]{0,99}$/, "a file name") }),
  chunk: (value) => ({ chunkBytes: size("chunk", value, 1, FRAME_BYTES_MAX) }),
  frames: (value) => ({ frames: integer("frames", value, 1, 100_000_000) }),
  size: (value) => ({ frameBytes: size("size", value, 256, FRAME_BYTES_MAX) }),
  bytes: (value) => ({ bodyBytes: size("bytes", value, 1, BODY_BYTES_MAX) }),
};

/** Every key of a script, for the help text and the tests. */
export const SCRIPT_KEYS: readonly string[] = Object.keys(READERS);

/**
 * `base` with what `text` says on top.
 * @throws ScriptError
 */
export function parseScript(text: string, base: Script = NO_SCRIPT): Script {
  let script = base;
  for (const [key, value] of items(text)) {
    const read = Object.hasOwn(READERS, key) ? READERS[key] : undefined;
    if (read === undefined) {
      throw new ScriptError(`Unknown key in x-mock: "${key}". Known: ${SCRIPT_KEYS.join(", ")}`);
    }
    script = { ...script, ...read(value, script) };
  }
  if (script.frameBytes !== null && script.frames === null) {
    throw new ScriptError("x-mock: size says how big each of frames is; add frames=N");
  }
  return script;
}

/** `key=value` by `key=value`; a flag has the value "". A delay may go on behind a comma. */
function items(text: string): [string, string][] {
  const found: [string, string][] = [];
  for (const part of text.split(",").map((one) => one.trim())) {
    if (part === "") continue;
    const last = found.at(-1);
    if (last?.[0] === "delay" && /^(?:first|each):/.test(part)) {
      last[1] += `,${part}`;
      continue;
    }
    const at = part.indexOf("=");
    found.push(at < 0 ? [part, ""] : [part.slice(0, at).trim(), part.slice(at + 1).trim()]);
  }
  return found;
}

function readDelay(value: string, script: Script): Partial<Script> {
  let { firstDelayMs, eachDelayMs } = script;
  for (const part of value.split(",")) {
    const [, which, text] = /^(?:(first|each):)?(.*)$/.exec(part) ?? [];
    const delayMs = durationMs(text ?? "");
    if (which !== "each") firstDelayMs = delayMs;
    if (which !== "first") eachDelayMs = delayMs;
  }
  return { firstDelayMs, eachDelayMs };
}

function durationMs(value: string): number {
  // Elsewhere a bare number is seconds; here most people would mean milliseconds, so neither is.
  const ms = /^\d+$/.test(value) && value !== "0" ? null : parseDurationMs(value);
  if (ms !== null && ms <= DELAY_MS_MAX) return ms;
  throw wrong("delay", value, "a duration with its unit up to 1h, such as 250ms or first:1s");
}

function closeCode(value: string): number {
  const code = integer("close", value, 1000, 4999);
  const sendable = (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1006) || code >= 3000;
  if (sendable) return code;
  throw wrong(
    "close",
    value,
    "a code that may be sent: 1000-1014 without 1004 and 1006, 3000-4999",
  );
}

function garbage(value: string): "text" | "binary" {
  if (value === "" || value === "text") return "text";
  if (value === "binary") return "binary";
  throw wrong("garbage", value, "text (the default) or binary");
}

function flag(key: string, value: string): boolean {
  if (value === "" || value === "true") return true;
  throw wrong(key, value, "no value");
}

function word(key: string, value: string, pattern: RegExp, what: string): string {
  if (pattern.test(value)) return value;
  throw wrong(key, value, what);
}

function integer(key: string, value: string, low: number, high: number): number {
  const number = /^\d{1,12}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= low && number <= high) return number;
  throw wrong(key, value, `a whole number from ${low} to ${high}`);
}

function size(key: string, value: string, low: number, high: number): number {
  const bytes = parseSizeBytes(value);
  if (bytes !== null && bytes >= low && bytes <= high) return bytes;
  throw wrong(key, value, `a size from ${low} to ${high} bytes, such as 16KiB`);
}

function wrong(key: string, value: string, expected: string): ScriptError {
  return new ScriptError(`x-mock: ${key}=${value.slice(0, 100)} is not ${expected}`);
}
