/**
 * What the simulated model says and what it counts, both computable by a test.
 *
 * Owns: the words, the token counts and the ids of one mock.
 * Does not own: the shape of the events that carry them.
 * Invariant: the same seed and number of tokens give the same text; ids never repeat within a mock.
 */

import { isObject } from "./json.ts";

const CHARS_PER_TOKEN = 4;
const WORDS_MADE = 512;
const OBFUSCATION = "K7s8nYubdPTWbAnukl8Mn5Jd2D9woI6Xr8IQ";
const VOCABULARY = (
  "the of and a in is it on with for from water river lock gate channel stream flow slow still " +
  "quick bright cold warm north south early late small wide deep clear stone wood light morning " +
  "evening boat bridge mill wheel turns opens closes carries holds passes rises falls waits"
).split(" ");

/** Tokens of a text of that many characters: one for every four, rounded up. */
export function tokensOf(characters: number): number {
  return Math.ceil(characters / CHARS_PER_TOKEN);
}

/**
 * Characters of everything a model would read in a value: the strings under `text`, `content`,
 * `input`, `instructions`, `output` and `arguments`, however deep.
 */
export function charactersIn(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (Array.isArray(value)) return value.reduce((sum, one) => sum + charactersIn(one), 0);
  if (!isObject(value)) return 0;
  return READ.reduce((sum, name) => sum + charactersIn(value[name]), 0);
}

const READ = ["text", "content", "input", "instructions", "output", "arguments"];

/** Words of one seed, one a token. */
export class Words {
  readonly #words: readonly string[];
  /** A load of like requests asks for the same text over and over. */
  #last = { count: 0, text: "" };

  constructor(seed: number) {
    let state = seed >>> 0;
    this.#words = Array.from({ length: WORDS_MADE }, () => {
      // A linear congruential generator (Numerical Recipes) is chance enough for prose.
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return VOCABULARY[Math.floor((state / 2 ** 32) * VOCABULARY.length)] ?? "the";
    });
  }

  /** The text of the token at `index`; all but the first begin with a space. */
  delta(index: number): string {
    const word = this.#words[index % WORDS_MADE] ?? "the";
    return index === 0 ? `${word.charAt(0).toUpperCase()}${word.slice(1)}` : ` ${word}`;
  }

  /** The first `count` tokens as one text. */
  text(count: number): string {
    if (count === this.#last.count) return this.#last.text;
    let text = "";
    for (let index = 0; index < count; index += 1) text += this.delta(index);
    this.#last = { count, text };
    return text;
  }

  /** Stands for the random string that OpenAI adds to hide the length of a delta. */
  obfuscation(index: number): string {
    const start = index % 16;
    return OBFUSCATION.slice(start, start + 4 + (index % 11));
  }
}

/** Ids in the looks of OpenAI's: a prefix and hexadecimal digits. */
export class Ids {
  readonly #salt: string;
  #count = 0;

  /** @param salt hexadecimal digits that differ from mock to mock */
  constructor(salt: string) {
    this.#salt = salt.padEnd(40, "0");
  }

  /** @param digits length behind the prefix, 12 to 48 */
  next(prefix: string, digits: number): string {
    this.#count += 1;
    const count = (0x1_0000_0000 + this.#count).toString(16).slice(1);
    return prefix + this.#salt.slice(0, digits - 8) + count;
  }
}
