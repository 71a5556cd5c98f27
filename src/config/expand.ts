/**
 * `$` in a configuration string: `${VAR}`, `$$` and `$(command)`.
 *
 * Owns: this little grammar. Does not own: where a command is allowed, or running it.
 * Invariant: a string without `$` is returned as it is; any `$` is understood or refused, never
 * taken literally by accident. What a variable holds is not expanded again.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

type Expansion =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "command"; readonly command: string }
  | { readonly kind: "problem"; readonly message: string };

const DOLLAR = /\$(?:\$|\{([^{}$]*)\}|\{([A-Za-z0-9_]*)|\(|([A-Za-z_][A-Za-z0-9_]*)|)/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Expands one string of the file. */
export function expand(text: string, env: Environment): Expansion {
  if (!text.includes("$")) return { kind: "text", text };
  const command = /^\$\((.*\S.*)\)\s*$/s.exec(text)?.[1];
  if (command !== undefined) return { kind: "command", command };
  let message: string | null = null;
  const expanded = text.replace(
    DOLLAR,
    (all: string, braced?: string, unclosed?: string, bare?: string) => {
      if (all === "$$") return "$";
      const outcome = valueOf(all, braced, unclosed, bare, env);
      if (outcome.message !== null) message ??= outcome.message;
      return outcome.value;
    },
  );
  if (message !== null) return { kind: "problem", message };
  return { kind: "text", text: expanded };
}

function valueOf(
  all: string,
  braced: string | undefined,
  unclosed: string | undefined,
  bare: string | undefined,
  env: Environment,
): { value: string; message: string | null } {
  const refuse = (message: string) => ({ value: "", message });
  if (bare !== undefined) {
    return refuse(`write \${${bare}} for the variable ${bare}, or $$${bare} for the text itself`);
  }
  if (unclosed !== undefined) return refuse(`\${${unclosed} has no closing brace`);
  if (all === "$(")
    return refuse("$(command) must be the whole value; write $$( for the text itself");
  if (braced === undefined) return refuse("a $ by itself must be written $$");
  if (!NAME.test(braced)) {
    const name = /^[A-Za-z0-9_]*/.exec(braced)?.[0] ?? "";
    return refuse(`the variable ${name} is used wrongly; only \${${name || "NAME"}} is understood`);
  }
  const value = env[braced];
  if (value === undefined) return refuse(`the variable ${braced} is not set`);
  if (value === "") return refuse(`the variable ${braced} is empty`);
  return { value, message: null };
}
