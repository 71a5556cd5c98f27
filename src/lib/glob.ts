/**
 * Patterns with wildcards, as Go's `path.Match` has them: `*` is any text without a slash, `?` one
 * character but a slash, `[a-z]` and `[^a-z]` one of a class; `\` takes the next one as it is. And
 * the entries of lists of names, in which only a `*` at the end is one.
 *
 * Owns: their syntax and the comparison. Does not own: what they are compared with.
 * Invariant: a comparison takes at most the product of both lengths, whatever the pattern.
 */

/** A pattern, ready to be compared. */
export interface Glob {
  /** As it was written. */
  readonly pattern: string;
  /** Whether the pattern covers the whole text. */
  matches(text: string): boolean;
}

/** Takes one character of the text; null stands for `*`. */
type Step = ((character: string) => boolean) | null;

/** @returns undefined: a class is empty or not closed, or nothing follows a backslash */
export function parseGlob(pattern: string): Glob | undefined {
  const steps = new Parser(pattern).steps();
  if (steps === undefined) return undefined;
  return { pattern, matches: (text) => matchesSteps(steps, [...text]) };
}

/** Whether an entry of a list is the whole name, or its beginning and a `*`. */
export function coversName(entry: string, name: string): boolean {
  return entry.endsWith("*") ? name.startsWith(entry.slice(0, -1)) : name === entry;
}

/** Goes back to the last `*` only: whatever an earlier one could take, the last one can too. */
function matchesSteps(steps: readonly Step[], text: readonly string[]): boolean {
  let [step, at, star, starAt] = [0, 0, -1, 0];
  while (at < text.length || step < steps.length) {
    const takes = steps[step];
    const character = text[at];
    if (takes === null) {
      [star, starAt] = [step, at];
      step++;
    } else if (takes !== undefined && character !== undefined && takes(character)) {
      step++;
      at++;
    } else {
      const skipped = text[starAt];
      if (star === -1 || skipped === undefined || skipped === "/") return false;
      starAt++;
      [step, at] = [star + 1, starAt];
    }
  }
  return true;
}

class Parser {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(pattern: string) {
    this.#characters = [...pattern];
  }

  steps(): readonly Step[] | undefined {
    const steps: Step[] = [];
    while (this.#at < this.#characters.length) {
      const step = this.#step();
      if (step === undefined) return undefined;
      steps.push(step);
    }
    return steps;
  }

  #step(): Step | undefined {
    const character = this.#next();
    if (character === "*") return null;
    if (character === "?") return (one) => one !== "/";
    if (character === "[") return this.#class();
    const literal = character === "\\" ? this.#next() : character;
    return literal === undefined ? undefined : (one) => one === literal;
  }

  /** Behind its bracket. */
  #class(): Step | undefined {
    const isNegated = this.#characters[this.#at] === "^";
    if (isNegated) this.#at++;
    const ranges: (readonly [low: string, high: string])[] = [];
    while (this.#characters[this.#at] !== "]" || ranges.length === 0) {
      const low = this.#member();
      if (low === undefined) return undefined;
      const isRange = this.#characters[this.#at] === "-";
      if (isRange) this.#at++;
      const high = isRange ? this.#member() : low;
      if (high === undefined) return undefined;
      ranges.push([low, high]);
    }
    this.#at++;
    return (one) => ranges.some(([low, high]) => isBetween(one, low, high)) !== isNegated;
  }

  /** One end of a range; undefined: what stands there cannot be one. */
  #member(): string | undefined {
    const character = this.#next();
    if (character === "]" || character === "-") return undefined;
    return character === "\\" ? this.#next() : character;
  }

  #next(): string | undefined {
    return this.#characters[this.#at++];
  }
}

function isBetween(one: string, low: string, high: string): boolean {
  const code = codeOf(one);
  return codeOf(low) <= code && code <= codeOf(high);
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}
