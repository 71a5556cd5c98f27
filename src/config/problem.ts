/**
 * What is wrong with a configuration, as a list that is complete.
 *
 * Owns: the shape of a problem, the error that carries all of them, and their rendering.
 * Does not own: finding them.
 * Invariant: a message holds no secret; whoever makes one masks the value first (`reader.ts`).
 */

/** One thing to mend, or to know of. */
export interface ConfigProblem {
  /** Such as `providers[0].timeouts.dial`; "" is the file as a whole. */
  readonly path: string;
  /** In the file, from 1. Null: it comes from a variable, or from something that is missing. */
  readonly line: number | null;
  readonly message: string;
}

/** A problem list says no more than this; who has more starts at the top anyway. */
const PROBLEMS_MAX = 50;

/** A configuration that cannot be used. `problems` is never empty. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const shown = inOrder(problems).slice(0, PROBLEMS_MAX);
    super(`The configuration cannot be used:\n${formatProblems(shown)}`);
    this.problems = shown;
  }
}

/**
 * One line a problem: `sluice.yml:12: http_port: must be …`.
 * @param file name shown before the line number
 */
export function formatProblems(problems: readonly ConfigProblem[], file = "line "): string {
  const prefix = file === "line " ? file : `${file}:`;
  return problems
    .map(({ path, line, message }) => {
      const place = line === null ? "" : `${prefix}${line}: `;
      return `${place}${path === "" ? "" : `${path}: `}${message}`;
    })
    .join("\n");
}

/** By line, those without one last; otherwise as found. */
export function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const rank = ({ line }: ConfigProblem): number => line ?? Number.MAX_SAFE_INTEGER;
  return [...problems].sort((left, right) => rank(left) - rank(right));
}
