/**
 * What the rules of a schema report to while they read a tree.
 *
 * Owns: the problems found, the secrets met, masking, and expansion of variables.
 * Does not own: the rules.
 * Invariant: every value in a message goes through `#shown`, which hides what is secret by its
 * key or by its look, and shows `${VAR}` unexpanded.
 */

import type { ConfigNode, ScalarNode } from "./document.ts";
import { type Environment, expand } from "./expand.ts";
import type { ConfigProblem } from "./problem.ts";
import { looksSecret, partsOf } from "./secret_text.ts";

/** A key that the file or the environment gave, with what it was read as. */
interface SeenKey {
  readonly at: Place;
  readonly value: unknown;
}

/** What a problem is reported at. */
export type Place = Pick<ConfigNode, "path" | "line" | "variable">;

interface Findings {
  readonly env: Environment;
  readonly problems: ConfigProblem[];
  readonly warnings: ConfigProblem[];
  readonly secrets: Set<string>;
  readonly seen: SeenKey[];
}

/** The text of a scalar after expansion. */
interface ReadText {
  readonly text: string;
  readonly isCommand: boolean;
}

const SHOWN_LENGTH_MAX = 60;

export class Reader {
  readonly #findings: Findings;
  readonly #secret: boolean;

  private constructor(findings: Findings, secret: boolean) {
    this.#findings = findings;
    this.#secret = secret;
  }

  static create(env: Environment): Reader {
    const findings = { env, problems: [], warnings: [], secrets: new Set<string>(), seen: [] };
    return new Reader(findings, false);
  }

  /** The same reader for values that must not be shown, and are collected. */
  secret(): Reader {
    return new Reader(this.#findings, true);
  }

  get problems(): readonly ConfigProblem[] {
    return this.#findings.problems;
  }

  get warnings(): readonly ConfigProblem[] {
    return this.#findings.warnings;
  }

  get secrets(): readonly string[] {
    return [...this.#findings.secrets];
  }

  get seen(): readonly SeenKey[] {
    return this.#findings.seen;
  }

  problem(at: Place, message: string): void {
    this.#findings.problems.push(problemAt(at, message));
  }

  warn(at: Place, message: string): void {
    this.#findings.warnings.push(problemAt(at, message));
  }

  /** Reports that `node` is not what its key takes. */
  refuse(node: ConfigNode, expects: string): undefined {
    this.problem(node, `must be ${expects}, not ${this.#shown(node)}`);
    return undefined;
  }

  /** Remembers a secret for redaction; the empty one is none. */
  addSecret(secret: string): void {
    if (secret === "") return;
    for (const part of partsOf(secret)) this.#findings.secrets.add(part);
  }

  see(at: Place, value: unknown): void {
    this.#findings.seen.push({ at, value });
  }

  /** The text of a scalar that is not null. Undefined: it names a variable wrongly (reported). */
  text(node: ScalarNode, commandAllowed = false): ReadText | undefined {
    const written = node.text ?? "";
    // What an operator puts into a variable is meant as it is.
    if (node.variable !== null) return this.#keep({ text: written, isCommand: false });
    const expansion = expand(written, this.#findings.env);
    if (expansion.kind === "text") return this.#keep({ text: expansion.text, isCommand: false });
    if (expansion.kind === "command" && commandAllowed) {
      return { text: expansion.command, isCommand: true };
    }
    const message =
      expansion.kind === "problem"
        ? expansion.message
        : "$(command) is allowed only where a provider's credential is expected";
    this.problem(node, message);
    return undefined;
  }

  #keep(read: ReadText): ReadText {
    if (this.#secret) this.addSecret(read.text);
    return read;
  }

  #shown(node: ConfigNode): string {
    if (node.kind !== "scalar") return node.kind === "map" ? "a map" : "a list";
    if (node.text === null) return "nothing";
    if (this.#secret || looksSecret(node.text)) return "the value given (hidden)";
    const cut = node.text.length > SHOWN_LENGTH_MAX ? "…" : "";
    return JSON.stringify(node.text.slice(0, SHOWN_LENGTH_MAX) + cut);
  }
}

function problemAt({ path, line, variable }: Place, message: string): ConfigProblem {
  const source = variable === null ? "" : ` (set by the variable ${variable})`;
  return { path, line, message: message + source };
}
