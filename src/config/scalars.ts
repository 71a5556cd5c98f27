/**
 * The kinds of scalar a configuration has.
 *
 * Owns: their spelling and range. Does not own: keys.
 * Invariant: what is accepted is safe to use where it goes: no line breaks in header values, no
 * timer longer than the runtime's timers can count.
 */

import { decodeBase64 } from "../lib/encoding.ts";
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from "../lib/duration.ts";
import { unbracketed } from "../lib/host_name.ts";
import type { EncryptionKeyConfig } from "./config.ts";
import { type ScalarRule, scalar } from "./rule.ts";

/** Timers count milliseconds in 31 bits: a longer one would fire at once. */
const TIMER_MS_MAX = parseDurationMs("24d") ?? 0;
const TEXT_LENGTH_MAX = 8_192;
const PRINTABLE = /^[^\u0000-\u001f\u007f]*$/;
/** RFC 9110 section 5.5, without obs-text. */
const HEADER_VALUE = /^[\t\u0020-\u007e]*$/;
/** RFC 9110 section 5.6.2. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

/** Text without control characters. */
export function text(expects = "text without control characters"): ScalarRule<string> {
  return scalar(expects, (value) => {
    return value !== "" && value.length <= TEXT_LENGTH_MAX && PRINTABLE.test(value)
      ? value
      : undefined;
  });
}

/** Any text, line breaks included. */
export function anyText(): ScalarRule<string> {
  return scalar("text", (value) => (value.length <= 65_536 ? value : undefined));
}

export function matching(pattern: RegExp, expects: string): ScalarRule<string> {
  return scalar(expects, (value) => (pattern.test(value) ? value : undefined));
}

export function integer(low: number, high: number): ScalarRule<number> {
  return scalar(`a whole number from ${low} to ${high}`, (value) => {
    if (!/^[+-]?\d{1,16}$/.test(value)) return undefined;
    return within(Number(value), low, high);
  });
}

export function decimal(low: number, high: number): ScalarRule<number> {
  return scalar(`a number from ${low} to ${high}`, (value) => {
    if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$/.test(value)) return undefined;
    return within(Number(value), low, high);
  });
}

export function flag(): ScalarRule<boolean> {
  return scalar("true or false", (value) => {
    const word = value.toLowerCase();
    return word === "true" ? true : word === "false" ? false : undefined;
  });
}

/** One of a closed set; case and surrounding space do not count. */
export function choice<const T extends string>(
  members: readonly T[],
  aliases: Readonly<Record<string, T>> = {},
): ScalarRule<T> {
  const expects =
    members.length === 1 ? String(members[0]) : `one of ${members.map(String).join(", ")}`;
  return scalar(expects, (value) => {
    const word = value.trim().toLowerCase();
    const direct = members.find((member) => member.toLowerCase() === word);
    return direct ?? (Object.hasOwn(aliases, word) ? aliases[word] : undefined);
  });
}

/** Milliseconds, from a range that is written as durations. */
export function duration(low = "0", high = formatDuration(TIMER_MS_MAX)): ScalarRule<number> {
  const lowMs = parseDurationMs(low) ?? 0;
  const highMs = parseDurationMs(high) ?? TIMER_MS_MAX;
  const expects = `a duration from ${low} to ${high}, in seconds or like 250ms, 10s, 15m`;
  return scalar(expects, (value) => within(parseDurationMs(value), lowMs, highMs));
}

/** Bytes, from a range that is written as sizes. */
export function size(low = "0", high = formatSize(2 ** 50)): ScalarRule<number> {
  const lowBytes = parseSizeBytes(low) ?? 0;
  const highBytes = parseSizeBytes(high) ?? 2 ** 50;
  const expects = `a size from ${low} to ${high}, in bytes or like 64KiB, 16MiB`;
  return scalar(expects, (value) => within(parseSizeBytes(value), lowBytes, highBytes));
}

/** An address to listen on, IPv6 without brackets. */
export const address: ScalarRule<string> = scalar("an IP address or host name", (value) => {
  const bare = unbracketed(value);
  const known = bare.includes(":")
    ? URL.canParse(`http://[${bare}]/`)
    : /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})$/.test(bare);
  return known ? bare.toLowerCase() : undefined;
});

export const port = integer(0, 65_535);

/** A credential that goes into a header. */
export const headerSecret = scalar(
  "text of at least one character that a header can carry",
  (value) => {
    const fits =
      value.length <= TEXT_LENGTH_MAX &&
      /^[\u0021-\u007e](?:[\u0020-\u007e]*[\u0021-\u007e])?$/.test(value);
    return fits ? value : undefined;
  },
);

export const headerValue = scalar("text that a header can carry", (value) => {
  return value.length <= TEXT_LENGTH_MAX && HEADER_VALUE.test(value) ? value : undefined;
});

/** Lower-cased. */
export const headerName = scalar("a header name", (value) => {
  return HEADER_NAME.test(value) ? value.toLowerCase() : undefined;
});

/** Headers of the connection itself, and of framing: writing them breaks the exchange. */
const HOP_BY_HOP = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Lower-cased; not one that belongs to the connection. */
export const settableHeaderName = scalar(
  "a header name, and not one of the connection (host, content-length, upgrade, …)",
  (value) => {
    const name = headerName.convert(value);
    if (name === undefined || HOP_BY_HOP.has(name)) return undefined;
    return name.startsWith("sec-websocket-") ? undefined : name;
  },
);

/** `id:base64` of 32 bytes. */
export const encryptionKey: ScalarRule<EncryptionKeyConfig> = scalar(
  "id:base64 with a key of 32 bytes, as `sluice keys generate` prints it",
  (value) => {
    const [, id, encoded] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]{43}=)$/.exec(value) ?? [];
    if (id === undefined || encoded === undefined) return undefined;
    try {
      return { id, key: decodeBase64(encoded) };
    } catch {
      return undefined;
    }
  },
);

/** A URL of one of these schemes, without a fragment. */
export function url(schemes: readonly string[]): ScalarRule<URL> {
  return scalar(
    `a URL beginning with ${schemes.map((name) => `${name}://`).join(" or ")}`,
    (value) => {
      const parsed = URL.canParse(value) ? new URL(value) : null;
      if (parsed === null || parsed.hostname === "" || parsed.hash !== "") return undefined;
      return schemes.includes(parsed.protocol.slice(0, -1)) ? parsed : undefined;
    },
  );
}

function within(value: number | null, low: number, high: number): number | undefined {
  return value === null || !(value >= low && value <= high) ? undefined : value;
}
