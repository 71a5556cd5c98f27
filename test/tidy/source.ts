/**
 * Reads a TypeScript file just well enough to check the house rules: what it imports and exports,
 * where its functions begin and end, and its code without comments, strings and regular
 * expressions.
 *
 * Owns: the reading. Does not own: any rule.
 * Invariant: `code` has the length and the line breaks of `text`, so that an offset in one is an
 * offset in the other.
 */

export interface Source {
  /** From the top of the repository: `src/relay/pump.ts`. */
  readonly path: string;
  readonly text: string;
  /** `text` with comments, and what strings and regular expressions hold, as blanks. */
  readonly code: string;
}

export interface Import {
  /** As written: `./pump.ts`, `hono`, `node:fs`. */
  readonly specifier: string;
  /** The file it names, from the top of the repository; null for a package. */
  readonly path: string | null;
  /** Exported names it takes; null: all of them (a namespace or dynamic import). */
  readonly names: readonly string[] | null;
  /** What the importing file calls the namespace. */
  readonly namespace: string | null;
  /** `export … from`. */
  readonly isReExport: boolean;
  readonly offset: number;
}

export interface FunctionSpan {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

export function readSource(path: string, text: string): Source {
  return { path, text, code: blank(text) };
}

/** Line number of an offset, from 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) {
    line += 1;
  }
  return line;
}

/** What may stand before a regular expression; after anything else a slash divides. */
const BEFORE_REGEXP = /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else))\s*$/;

function blank(text: string): string {
  const out = text.split("");
  /** One entry an open template: the depth of braces inside its current `${`. */
  const templates: number[] = [];
  let at = 0;
  /** Blanks from `from` to `to` and goes on at `next`. */
  const hide = (from: number, to: number, next: number) => {
    for (let i = from; i < to && i < text.length; i++) if (out[i] !== "\n") out[i] = " ";
    at = next;
  };
  const hideTemplate = (from: number) => {
    const { offset, opens } = skipTemplate(text, from);
    hide(from, offset - (opens ? 2 : 1), offset);
    if (opens) templates.push(0);
  };
  while (at < text.length) {
    const two = text.slice(at, at + 2);
    const char = two.charAt(0);
    const depth = templates.at(-1);
    if (two === "//") {
      const end = endOf(text, "\n", at);
      hide(at, end, end);
    } else if (two === "/*") {
      const end = endOf(text, "*/", at + 2) + 2;
      hide(at, end, end);
    } else if (char === '"' || char === "'") {
      const end = skipQuoted(text, at);
      hide(at + 1, end - 1, end);
    } else if (char === "/" && BEFORE_REGEXP.test(out.slice(Math.max(0, at - 12), at).join(""))) {
      const end = skipRegExp(text, at);
      hide(at + 1, end - 1, end);
    } else if (char === "`") {
      hideTemplate(at + 1);
    } else if (char === "}" && depth === 0) {
      templates.pop();
      hideTemplate(at + 1);
    } else {
      if (depth !== undefined && char === "{") templates[templates.length - 1] = depth + 1;
      if (depth !== undefined && char === "}") templates[templates.length - 1] = depth - 1;
      at += 1;
    }
  }
  return out.join("");
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at === -1 ? text.length : at;
}

/** Offset after the closing quote. */
function skipQuoted(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== text[from]) at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Offset after the closing slash. */
function skipRegExp(text: string, from: number): number {
  let inClass = false;
  let at = from + 1;
  for (; at < text.length && text[at] !== "\n"; at++) {
    const char = text[at];
    if (char === "\\") at += 1;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "/" && !inClass) return at + 1;
  }
  return at;
}

/** Offset after the closing back-quote, or after the `${` that comes first. */
function skipTemplate(text: string, from: number): { offset: number; opens: boolean } {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "`") return { offset: at + 1, opens: false };
    else if (text[at] === "$" && text[at + 1] === "{") return { offset: at + 2, opens: true };
  }
  return { offset: text.length, opens: false };
}

/** Group 1: the clause `{ a, b }`, `* as c`, `*` or `d`. Ends at the opening quote. */
const FROM =
  /\b(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,\s*)?([{*\w$][^;"'`()]*?)\s*\bfrom\s*["']/g;
const BARE = /\bimport\s*(\(\s*)?["']/g;

/** Every import of a file, type-only ones and re-exports included. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  for (const match of source.code.matchAll(FROM)) {
    const clause = match[1] ?? "";
    const specifier = stringAt(source.text, match.index + match[0].length - 1);
    const named = clause.startsWith("{");
    found.push({
      specifier,
      path: resolvePath(source.path, specifier),
      names: named ? namesIn(clause) : clause.startsWith("*") ? null : ["default"],
      namespace: /^\*\s+as\s+([\w$]+)/.exec(clause)?.[1] ?? null,
      isReExport: match[0].startsWith("export"),
      offset: match.index,
    });
  }
  for (const match of source.code.matchAll(BARE)) {
    const specifier = stringAt(source.text, match.index + match[0].length - 1);
    found.push({
      specifier,
      path: resolvePath(source.path, specifier),
      names: match[1] === undefined ? [] : null,
      namespace: null,
      isReExport: false,
      offset: match.index,
    });
  }
  return found;
}

function stringAt(text: string, quote: number): string {
  return text.slice(quote + 1, skipQuoted(text, quote) - 1);
}

/** The outer names of `{ a, type B, c as d }`: a, B, c. */
function namesIn(clause: string): string[] {
  return clause
    .slice(1, -1)
    .split(",")
    .map((item) => item.trim().replace(/^type\s+/, ""))
    .filter((item) => item !== "")
    .map((item) => item.split(/\s+as\s+/)[0] ?? item);
}

function resolvePath(importer: string, specifier: string): string | null {
  if (!specifier.startsWith(".")) return null;
  const parts = importer.split("/").slice(0, -1);
  for (const step of specifier.split("/")) {
    if (step === "..") parts.pop();
    else if (step !== ".") parts.push(step);
  }
  return parts.join("/");
}

const DECLARES = "function|class|const|let|interface|type";
const DECLARATION = new RegExp(
  String.raw`\bexport\s+(?:(?:abstract|async)\s+)?(?:${DECLARES})\b\s*\*?\s*([\w$]+)`,
  "g",
);
const EXPORT_LIST = /\bexport\s+(?:type\s+)?(\{[^}]*\})(?!\s*from\b)/g;

/** Names that a file exports, each with its offset. */
export function exportsOf(source: Source): { name: string; offset: number }[] {
  const declared = [...source.code.matchAll(DECLARATION)].map((match) => ({
    name: match[1] ?? "",
    offset: match.index,
  }));
  const listed = [...source.code.matchAll(EXPORT_LIST)].flatMap((match) =>
    (match[1] ?? "")
      .slice(1, -1)
      .split(",")
      .map(
        (item) =>
          item
            .trim()
            .split(/\s+as\s+/)
            .at(-1) ?? "",
      )
      .filter((name) => name !== "")
      .map((name) => ({ name: name.replace(/^type\s+/, ""), offset: match.index })),
  );
  return [...declared, ...listed];
}

/** Words before a parenthesis that open a block and no function. */
const CONTROL = new Set(["if", "for", "while", "switch", "catch", "with", "await"]);

/** Every function with a block body: declarations, methods, accessors and arrows. */
export function functionsOf(source: Source): FunctionSpan[] {
  const { code } = source;
  const pairs = bracketPairs(code);
  const spans: FunctionSpan[] = [];
  for (const [open, close] of pairs) {
    if (code[open] !== "(") continue;
    const name = /([\w$#]+)\s*(?:<[^()]*>)?\s*$/.exec(
      code.slice(Math.max(0, open - 80), open),
    )?.[1];
    if (name !== undefined && CONTROL.has(name)) continue;
    const body = bodyAfter(code, close + 1, pairs);
    if (body === null) continue;
    const end = pairs.get(body) ?? body;
    const line = lineAt(code, open);
    spans.push({ name: name ?? "(arrow)", line, lines: lineAt(code, end) - line + 1 });
  }
  return spans;
}

function bracketPairs(code: string): Map<number, number> {
  const pairs = new Map<number, number>();
  const stack: number[] = [];
  for (let at = 0; at < code.length; at++) {
    const char = code[at] ?? "";
    if ("([{".includes(char)) stack.push(at);
    else if (")]}".includes(char)) {
      const open = stack.pop();
      if (open !== undefined) pairs.set(open, at);
    }
  }
  return pairs;
}

/**
 * Offset of the brace that opens the body of the function whose parameters end before `from`,
 * stepping over a return type; null where there is none.
 */
function bodyAfter(code: string, from: number, pairs: Map<number, number>): number | null {
  const start = /^\s*(:|=>|\{)/.exec(code.slice(from, from + 200));
  if (start === null) return null;
  let at = from + start[0].length;
  if (start[1] === "{") return at - 1;
  if (start[1] === "=>") return /^\s*\{/.test(code.slice(at)) ? code.indexOf("{", at) : null;
  /**
   * Last token of the return type so far; after `(…) =>` more of the type follows, else the body.
   */
  let previous = ":";
  for (; at < code.length; at++) {
    const char = code.charAt(at);
    if (/\s/.test(char)) continue;
    if (char === "{" && !":|&<,".includes(previous)) return at;
    if (";,)}]:".includes(char)) return null;
    if (char === "=" && code[at + 1] !== ">") return null;
    if (char === "=") {
      previous = previous === ")" ? ":" : "=>";
      at += 1;
    } else if ("([{".includes(char)) {
      at = pairs.get(at) ?? code.length;
      previous = code.charAt(at);
    } else previous = char;
  }
  return null;
}
