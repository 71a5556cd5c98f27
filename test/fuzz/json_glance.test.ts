/**
 * `glance()` against readers that take more than JSON, and each in its own way, on seeded texts in
 * many spellings, as text and in bytes: where any of them finds a key, it must not say "none".
 *
 * SLUICE_FUZZ_ROUNDS=1000000 runs it for longer.
 */

import { expect, test } from "bun:test";
import { glance, NAMES_NONE, NAMES_SOME, namesOf } from "../../src/lib/json_glance.ts";
import { Prng } from "../support/prng.ts";

const ROUNDS = Number(process.env["SLUICE_FUZZ_ROUNDS"] ?? 30_000);
const TIMEOUT_MS = 30_000 + ROUNDS;

const KEYS = ["service_tier", "model", "session", "type"];
const NAMES = namesOf(KEYS, "type");

/** What a reader takes beyond JSON. */
interface Leniency {
  readonly quotes: string;
  /** Beside those that are a line's rest. */
  readonly comments: boolean;
  readonly bareKeys: boolean;
  /** What no text can have: control characters, marks, halves of pairs, broken bytes. */
  readonly drops: RegExp;
}

const READERS: readonly Leniency[] = [
  { quotes: '"', comments: false, bareKeys: false, drops: /(?!)/g },
  { quotes: '"', comments: false, bareKeys: false, drops: /[\u0000-\u001f\ufffd\ufeff\u200b]/g },
  { quotes: "\"'`", comments: true, bareKeys: true, drops: /(?!)/g },
  { quotes: "\"'", comments: true, bareKeys: true, drops: /[\u0000\ufffd\ufeff]/g },
  { quotes: '"', comments: true, bareKeys: false, drops: /\ufffd/g },
];

const ESCAPE =
  /\\(?:u\{([\da-f]+)\}|U([\da-f]{8})|u([\da-f]{4})|x([\da-f]{2})|([0-7]{1,3})|([^]|$))/gi;
const CONTROLS: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

function unescaped(text: string): string {
  return text.replaceAll(ESCAPE, (_, braces, wide, four, two, octal, char) => {
    const hex = braces ?? wide ?? four ?? two;
    const code = octal === undefined ? parseInt(hex, 16) : parseInt(octal, 8);
    if (char === undefined) return code <= 0x10ffff ? String.fromCodePoint(code) : "";
    return char === "\n" ? "" : (CONTROLS[char] ?? char);
  });
}

/** Every string and bare word that a reader finds, with what it takes for nothing left out. */
function wordsOf(json: string, { quotes, comments, bareKeys, drops }: Leniency): string[] {
  const text = json.replaceAll(drops, "");
  const words: string[] = [];
  const strings = [...quotes].map((quote) => `${quote}((?:[^${quote}\\\\]|\\\\[^])*)${quote}?`);
  const skipped = comments ? "/\\*[^]*?(?:\\*/|$)|//[^\\n]*|#[^\\n]*|" : "";
  const bare = bareKeys ? "|([\\p{L}_$\\\\][\\p{L}\\p{N}_$\\\\{}]*)" : "";
  for (const [, ...found] of text.matchAll(
    new RegExp(`${skipped}${strings.join("|")}${bare}`, "gu"),
  )) {
    for (const word of found) if (word !== undefined) words.push(unescaped(word));
  }
  return words.map((word) => word.toUpperCase().toLowerCase());
}

/** How often a reader finds `type`, and whether any other key. */
function findings(json: string): { readonly types: number; readonly others: boolean } {
  const read = READERS.map((reader) => wordsOf(json, reader));
  const types = Math.max(...read.map((words) => words.filter((word) => word === "type").length));
  const others = read.some((words) => words.some((word) => word !== "type" && KEYS.includes(word)));
  return { types, others };
}

const LONG = "A".repeat(130);
const WORDS = [...KEYS, ...KEYS, "input", "metadata", "audio", "x", "", "Type", "клю", LONG];
const GAPS = ["", "", "", "", "", "", "", "", " ", "\n", "\t ", "\u000b", "\u00a0"];
const COMMENTS = ["/*a*/", '/*"*/', "//\n", '//"\n', "#'\n"];
const MARKS = ["\u0000", "\ufeff", "\u200b", "\u0007", "\n"];
const DAMAGE = ["", '"', "\\", "'", "{", "}", ",", ":", "/*", "\u0000", "\ufeff", "`"];

class Writer {
  readonly #prng: Prng;
  /** Nothing but JSON; capitals and escapes are. */
  readonly #isStrict: boolean;
  readonly #isPlain: boolean;

  constructor(prng: Prng) {
    this.#prng = prng;
    this.#isStrict = prng.int(0, 2) > 0;
    this.#isPlain = prng.int(0, 2) > 0;
  }

  object(depth: number): string {
    const count = this.#prng.int(0, 4);
    const fields = Array.from(
      { length: count },
      () => `${this.#gap()}${this.#word()}${this.#gap()}:${this.#gap()}${this.#value(depth)}`,
    );
    return `{${fields.join(",")}${this.#rarely() ? "," : ""}${this.#gap()}}`;
  }

  #value(depth: number): string {
    const kind = this.#prng.int(0, 5);
    if (kind === 0) return this.#prng.pick(["0", "-1.5E+3", "true", "false", "null"]);
    if (kind < 3 && depth < 3) return this.object(depth + 1);
    if (kind === 3) return `[${this.#word()},${this.#word()}]`;
    return this.#word();
  }

  #word(): string {
    const word = this.#prng.pick(WORDS);
    if (this.#rarely() && /^[a-z_]+$/.test(word)) return word;
    const quote = this.#rarely() ? "'" : '"';
    return quote + [...word].map((char) => this.#char(char)).join("") + quote;
  }

  #char(char: string): string {
    if (this.#isPlain || this.#prng.int(0, 9) > 0) return char;
    const hex = (char.codePointAt(0) ?? 0).toString(16);
    const known = [`\\u${hex.padStart(4, "0")}`, char.toUpperCase(), `${char}\\/`];
    if (this.#isStrict) return this.#prng.pick(known);
    const wide = [`\\U${hex.padStart(8, "0")}`, `\\u{${hex}}`, `\\x${hex}`, `\\${char}`];
    return this.#prng.pick([...known, ...wide, char + this.#prng.pick(MARKS), `\\\n${char}`]);
  }

  #gap(): string {
    return this.#rarely()
      ? this.#prng.pick(COMMENTS)
      : this.#prng.pick(GAPS.slice(0, this.#isStrict ? 11 : 13));
  }

  #rarely(): boolean {
    return !this.#isStrict && this.#prng.int(0, 19) === 0;
  }
}

function variant(prng: Prng): string {
  const text = new Writer(prng).object(0);
  if (prng.int(0, 1) === 0) return text;
  const at = prng.int(0, text.length);
  return text.slice(0, at) + prng.pick(DAMAGE) + text.slice(at + prng.int(0, 1));
}

/** The bytes, in which one may be broken. */
function bytesOf(prng: Prng, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (prng.int(0, 2) > 0) return bytes;
  const at = prng.int(0, bytes.length);
  const broken = prng.pick([0xff, 0x80, 0xc3, 0xed]);
  return Uint8Array.of(...bytes.subarray(0, at), broken, ...bytes.subarray(at));
}

test(
  `glance() finds a key wherever anybody could, in ${ROUNDS} texts`,
  () => {
    const prng = new Prng(11);
    const answers = { none: 0, once: 0, some: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const text = variant(prng);
      const bytes = bytesOf(prng, text);
      for (const json of [text, bytes]) {
        const read = typeof json === "string" ? json : new TextDecoder().decode(json);
        const answer = glance(json, NAMES);
        const { types, others } = findings(read);
        if (answer === NAMES_SOME) answers.some++;
        else if (others || types > (answer === NAMES_NONE ? 0 : 1))
          throw new Error(`${answer}: ${read}`);
        else if (answer === NAMES_NONE) answers.none++;
        else answers.once++;
      }
    }
    // Each of these happened often enough for the agreement to mean something.
    for (const count of Object.values(answers)) expect(count).toBeGreaterThan(ROUNDS / 100);
  },
  TIMEOUT_MS,
);
