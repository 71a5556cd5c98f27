/**
 * YAML text as a tree of plain nodes, each with its path and line.
 *
 * Owns: the YAML library, anchors, merge keys (`<<`, https://yaml.org/type/merge.html), duplicate
 * keys, and the bounds on what a file may contain. Does not own: what a key means.
 * Invariant: the tree is finite and small whatever the text says, and no message repeats the text,
 * which may be a secret.
 */

import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  visit,
  YAMLParseError,
} from "yaml";
import type { Alias, CST, Document, Scalar, YAMLError, YAMLMap, YAMLSeq } from "yaml";

import type { ConfigProblem } from "./problem.ts";
import { looksSecret } from "./secret_text.ts";

interface NodeBase {
  readonly path: string;
  readonly line: number | null;
  /** The environment variable that put it here; its text is then taken as it is. */
  readonly variable: string | null;
}

export interface ScalarNode extends NodeBase {
  readonly kind: "scalar";
  /** As written, without quotes. Null for YAML's null. */
  readonly text: string | null;
}

interface ListNode extends NodeBase {
  readonly kind: "list";
  readonly items: ConfigNode[];
}

export interface MapNode extends NodeBase {
  readonly kind: "map";
  readonly entries: Map<string, ConfigNode>;
  /** Keys whose value has an anchor that something refers to: they may exist for that alone. */
  readonly referenced: ReadonlySet<string>;
}

export type ConfigNode = ScalarNode | ListNode | MapNode;

/** Characters of a file. */
export const TEXT_LENGTH_MAX = 1024 * 1024;
/** Values after every alias is followed. */
const NODES_MAX = 50_000;
const DEPTH_MAX = 32;
/** Tokens of the text: some four for each value. */
const TOKENS_MAX = 4 * NODES_MAX;

interface ParsedDocument {
  readonly root: MapNode;
  readonly problems: readonly ConfigProblem[];
}

/** The tree of a YAML text; an empty one is an empty map. Never throws. */
export function parseDocumentTree(text: string): ParsedDocument {
  if (text.length > TEXT_LENGTH_MAX) {
    return { root: emptyMap(), problems: [problem(null, "The file is larger than 1MiB")] };
  }
  const lineCounter = new LineCounter();
  const document = documentOf(text, lineCounter);
  if (document === null) return { root: emptyMap(), problems: [problem(null, TOO_MUCH)] };
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    return { root: emptyMap(), problems: syntaxProblems(faults, lineCounter) };
  }
  return new TreeBuilder(document, lineCounter).build(/[&*]/.test(text));
}

/** A map without entries. */
export function emptyMap(path = "", variable: string | null = null): MapNode {
  return { kind: "map", path, line: null, variable, entries: new Map(), referenced: new Set() };
}

/**
 * The path of a key below `path`. A key that is no plain word is not repeated: a slip of quotes or
 * indentation makes keys of values.
 */
export function pathOf(path: string, key: string): string {
  if (!/^[\w.<-]{1,64}$/.test(key) || looksSecret(key)) return `${path}["(hidden)"]`;
  if (!/^[A-Za-z_][\w-]*$/.test(key)) return `${path}["${key}"]`;
  return path === "" ? key : `${path}.${key}`;
}

const SYNTAX: Readonly<Record<string, string>> = {
  BAD_ALIAS: "This alias is not valid",
  BAD_INDENT: "The indentation is wrong, or a bracket is not closed",
  BAD_DQ_ESCAPE: "A backslash in double quotes begins no known escape; use single quotes or \\\\",
  BAD_SCALAR_START: "A value that begins like this must be quoted",
  BLOCK_AS_IMPLICIT_KEY: "A value that contains a colon and a space must be quoted",
  MISSING_CHAR: "A quote, comma, colon or bracket is missing",
  MULTIPLE_DOCS: "The file has a second document (---); only one is read",
  RESOURCE_EXHAUSTION: "The file is nested too deeply",
  TAB_AS_INDENT: "Tabs cannot indent YAML; use spaces",
  TAG_RESOLVE_FAILED: "Tags (!name) are not supported",
  UNEXPECTED_TOKEN: "This is not valid YAML; inside { } or [ ], a value like ${VAR} must be quoted",
};

/** The first fault of each line; those behind it usually follow from it. */
function syntaxProblems(faults: readonly YAMLError[], lineCounter: LineCounter): ConfigProblem[] {
  const byLine = new Map<number, ConfigProblem>();
  for (const { code, pos } of faults) {
    const { line } = lineCounter.linePos(pos[0]);
    const message = SYNTAX[code] ?? "This is not valid YAML";
    if (!byLine.has(line)) byLine.set(line, problem(line, message));
  }
  return [...byLine.values()].slice(0, 5);
}

const TOO_MUCH = "The file has too many values, or is nested too deeply";

/** The one document of the text; null: it has too many values, or is nested too deeply. */
function documentOf(text: string, lineCounter: LineCounter): Document.Parsed | null {
  // Duplicate keys are found below, in linear time and with the line of the first one.
  const composer = new Composer({ uniqueKeys: false });
  try {
    const [first, second] = composer.compose(parsed(text, lineCounter), true, text.length);
    if (second !== undefined) {
      first?.errors.push(
        new YAMLParseError([second.range[0], second.range[1]], "MULTIPLE_DOCS", ""),
      );
    }
    return first ?? null;
  } catch (error) {
    if (error instanceof TooLarge) return null;
    throw error;
  }
}

/** Stops where the lexer has seen too much: what follows it takes seconds over that. */
function* parsed(text: string, lineCounter: LineCounter): Generator<CST.Token, void> {
  const parser = new Parser(lineCounter.addNewLine);
  lineCounter.addNewLine(0);
  let tokens = 0;
  let depth = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth--;
    if (++tokens > TOKENS_MAX || depth > DEPTH_MAX) throw new TooLarge();
    yield* parser.next(token);
  }
  yield* parser.end();
}

function problem(line: number | null, message: string, path = ""): ConfigProblem {
  return { path, line, message };
}

/** Thrown to stop at the first sign of a bomb; never leaves this file. */
class TooLarge extends Error {}

class TreeBuilder {
  readonly #document: Document.Parsed;
  readonly #lineCounter: LineCounter;
  readonly #targets = new Map<Alias, unknown>();
  readonly #referenced = new Set<unknown>();
  readonly #problems: ConfigProblem[] = [];
  #nodes = 0;

  constructor(document: Document.Parsed, lineCounter: LineCounter) {
    this.#document = document;
    this.#lineCounter = lineCounter;
  }

  /** @param mayAlias whether to look for anchors and aliases at all, which takes its time */
  build(mayAlias: boolean): ParsedDocument {
    let root: ConfigNode | null = null;
    try {
      if (mayAlias) this.#bindAliases();
      root = this.#convert(this.#document.contents, "", null, 0);
    } catch (error) {
      if (!(error instanceof TooLarge || error instanceof RangeError)) throw error;
      this.#problems.push(problem(null, TOO_MUCH));
    }
    if (root?.kind === "scalar" && root.text === null) root = emptyMap();
    if (root !== null && root.kind !== "map") {
      this.#problems.push(problem(1, "The file must be a map of keys, such as http_port: 8080"));
    }
    return { root: root?.kind === "map" ? root : emptyMap(), problems: this.#problems };
  }

  /** An alias means the anchor of its name that precedes it most closely. */
  #bindAliases(): void {
    const anchors = new Map<string, unknown>();
    visit(this.#document, {
      Value: (_, node) => void (node.anchor !== undefined && anchors.set(node.anchor, node)),
      Alias: (_, alias) => {
        const target = anchors.get(alias.source);
        this.#targets.set(alias, target);
        this.#referenced.add(target);
      },
    });
  }

  #convert(yaml: unknown, path: string, line: number | null, depth: number): ConfigNode {
    if (++this.#nodes > NODES_MAX || depth > DEPTH_MAX) throw new TooLarge();
    if (isAlias(yaml)) return this.#convert(this.#targetOf(yaml, path), path, line, depth + 1);
    if (isMap(yaml)) return this.#map(yaml, path, line ?? this.#lineOf(yaml), depth);
    if (isSeq(yaml)) return this.#list(yaml, path, line ?? this.#lineOf(yaml), depth);
    const text = isScalar(yaml) ? textOf(yaml) : null;
    return { kind: "scalar", path, line: line ?? this.#lineOf(yaml), variable: null, text };
  }

  #targetOf(alias: Alias, path: string): unknown {
    const target = this.#targets.get(alias);
    if (target === undefined) {
      const message = "the alias has no anchor before it";
      this.#problems.push(problem(this.#lineOf(alias), message, path));
    }
    return target;
  }

  #list(list: YAMLSeq, path: string, line: number | null, depth: number): ListNode {
    const items = list.items.map((item, index) =>
      this.#convert(item, `${path}[${index}]`, this.#lineOf(item), depth + 1),
    );
    return { kind: "list", path, line, variable: null, items };
  }

  #map(map: YAMLMap, path: string, line: number | null, depth: number): MapNode {
    const entries = new Map<string, ConfigNode>();
    const referenced = new Set<string>();
    const merges: unknown[] = [];
    for (const { key, value } of map.items) {
      const name = isScalar(key) ? textOf(key) : null;
      const keyLine = this.#lineOf(key);
      if (name === null) {
        this.#problems.push(problem(keyLine, "A key must be a plain word", path));
      } else if (entries.has(name) || (isMerge(key) && merges.length > 0)) {
        this.#problems.push(this.#duplicate(pathOf(path, name), keyLine, entries.get(name)));
      } else if (isMerge(key)) {
        merges.push(value);
      } else {
        if (this.#referenced.has(value)) referenced.add(name);
        entries.set(name, this.#convert(value, pathOf(path, name), keyLine, depth + 1));
      }
    }
    for (const value of merges) this.#merge(value, entries, path, line, depth);
    return { kind: "map", path, line, variable: null, entries, referenced };
  }

  /** Adds the keys of the merged map, or list of maps, that are not there yet: the earlier wins. */
  #merge(
    value: unknown,
    entries: Map<string, ConfigNode>,
    path: string,
    line: number | null,
    depth: number,
  ): void {
    const target = isAlias(value) ? this.#targetOf(value, path) : value;
    const sources = isSeq(target) ? target.items : [target];
    for (const source of sources) {
      const merged = this.#convert(source, path, line, depth + 1);
      if (merged.kind !== "map") return this.#notMergeable(value, path);
      for (const [key, node] of merged.entries) if (!entries.has(key)) entries.set(key, node);
    }
  }

  #notMergeable(value: unknown, path: string): void {
    const message = "<< takes a map or a list of maps, usually as an alias: <<: *name";
    this.#problems.push(problem(this.#lineOf(value), message, path));
  }

  #duplicate(path: string, line: number | null, first: ConfigNode | undefined): ConfigProblem {
    const where = first?.line === undefined ? "" : `; the first is on line ${first.line}`;
    return problem(line, `is given twice${where}`, path);
  }

  #lineOf(yaml: unknown): number | null {
    const range = isScalar(yaml) || isMap(yaml) || isSeq(yaml) || isAlias(yaml) ? yaml.range : null;
    return range === null || range === undefined ? null : this.#lineCounter.linePos(range[0]).line;
  }
}

function isMerge(key: unknown): boolean {
  return isScalar(key) && key.value === "<<" && key.type === "PLAIN";
}

/** Numbers keep their spelling: a key of digits must not lose a leading zero or its last digits. */
function textOf(scalar: Scalar): string | null {
  if (scalar.value === null || scalar.value === undefined) return null;
  if (typeof scalar.value === "string") return scalar.value;
  return scalar.source ?? String(scalar.value);
}
