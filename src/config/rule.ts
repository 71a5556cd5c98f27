/**
 * The pieces a schema is made of. A rule reads one node of the tree as a typed value.
 *
 * Owns: scalars, lists, maps, and how missing, misspelt and unknown keys are reported.
 * Does not own: which keys there are (`schema.ts`).
 * Invariant: a rule that returns undefined has reported why; reading goes on, so that all problems
 * are found at once. Every scalar is read from its text, and so can come from a variable.
 */

import { type ConfigNode, type MapNode, pathOf } from "./document.ts";
import type { Reader } from "./reader.ts";
import { closest } from "./suggest.ts";

export interface Rule<T> {
  /** Completes the sentence "must be …". */
  readonly expects: string;
  /** What lies below, for overrides by variable and for the table of keys. */
  readonly parts: Parts;
  read(node: ConfigNode, reader: Reader): T | undefined;
}

type Parts =
  | { readonly kind: "scalar" }
  | { readonly kind: "record"; readonly keys: Shape }
  | { readonly kind: "list"; readonly item: Rule<unknown>; readonly orScalar: boolean }
  | { readonly kind: "table"; readonly item: Rule<unknown> };

export interface ScalarRule<T> extends Rule<T> {
  /** Undefined: the text is not what `expects` says. */
  convert(text: string): T | undefined;
}

/** A key of a map: its rule, and what holds without it. */
export interface Key<T> {
  readonly rule: Rule<T>;
  readonly fallback: T;
  readonly required: boolean;
  /** The fallback as the table of keys shows it. */
  readonly defaultText: string;
  readonly meaning: string;
}

export type Shape = Readonly<Record<string, Key<unknown>>>;

/** What a record of this shape is read as. */
export type Values<S extends Shape> = {
  readonly [K in keyof S]: S[K] extends Key<infer T> ? T : never;
};

/** A key with a default, written as it would be in the file. */
export function key<T>(rule: ScalarRule<T>, defaultText: string, meaning: string): Key<T> {
  const fallback = rule.convert(defaultText);
  if (fallback === undefined)
    throw new TypeError(`Default "${defaultText}" is not ${rule.expects}`);
  return { rule, fallback, required: false, defaultText, meaning };
}

/** A key that is null when it is absent. `defaultText` says what then holds. */
export function optional<T>(rule: Rule<T>, meaning: string, defaultText = ""): Key<T | null> {
  return { rule, fallback: null, required: false, defaultText, meaning };
}

/** A key whose absence is a problem. Null only where that was reported. */
export function required<T>(rule: Rule<T>, meaning: string): Key<T | null> {
  return { rule, fallback: null, required: true, defaultText: "", meaning };
}

/** A list that is empty when it is absent. */
export function many<T>(rule: Rule<readonly T[]>, meaning: string): Key<readonly T[]> {
  return { rule, fallback: [], required: false, defaultText: "[]", meaning };
}

/** A map whose keys all have their own defaults. */
export function section<S extends Shape>(keys: S, meaning: string): Key<Values<S>> {
  return {
    rule: record(keys),
    fallback: fallbacksOf(keys),
    required: false,
    defaultText: "",
    meaning,
  };
}

/** The same keys, each null when absent: a place that inherits from another. */
export function inherited<S extends Shape>(keys: S): { [K in keyof S]: Key<Inherited<S[K]>> } {
  const entries = Object.entries(keys).map(([name, one]) => [
    name,
    { ...one, fallback: null, defaultText: "" },
  ]);
  // The entries of `keys`, one for one, with null put in as the fallback.
  return Object.fromEntries(entries) as { [K in keyof S]: Key<Inherited<S[K]>> };
}

type Inherited<K> = K extends Key<infer T> ? T | null : never;

/** A scalar that `convert` makes a value of. */
export function scalar<T>(
  expects: string,
  convert: (text: string) => T | undefined,
): ScalarRule<T> {
  return {
    expects,
    parts: { kind: "scalar" },
    convert,
    read(node, reader) {
      if (node.kind !== "scalar" || node.text === null) return reader.refuse(node, expects);
      const read = reader.text(node);
      if (read === undefined) return undefined;
      return convert(read.text) ?? reader.refuse(node, expects);
    },
  };
}

/** A rule whose values are hidden in messages and collected for redaction. */
export function secret<T>(rule: ScalarRule<T>): ScalarRule<T>;
export function secret<T>(rule: Rule<T>): Rule<T>;
export function secret<T>(rule: Rule<T>): Rule<T> {
  return { ...rule, read: (node, reader) => rule.read(node, reader.secret()) };
}

export function list<T>(item: Rule<T>, itemsMax = 1_000): Rule<readonly T[]> {
  const expects = `a list of at most ${itemsMax} values`;
  return {
    expects,
    parts: { kind: "list", item, orScalar: false },
    read(node, reader) {
      if (node.kind !== "list" || node.items.length > itemsMax) return reader.refuse(node, expects);
      return node.items.flatMap((one) => {
        const value = item.read(one, reader);
        // In brackets, because the value may be a list itself.
        return value === undefined ? [] : [value];
      });
    },
  };
}

/** A list, or the one value of a list without the brackets. */
export function oneOrMany<T>(item: Rule<T>, itemsMax = 1_000): Rule<readonly T[]> {
  const several = list(item, itemsMax);
  return {
    expects: `${item.expects}, or a list of them`,
    parts: { kind: "list", item, orScalar: true },
    read(node, reader) {
      if (node.kind === "list") return several.read(node, reader);
      const one = item.read(node, reader);
      return one === undefined ? undefined : [one];
    },
  };
}

/** A map with free keys, in their order. */
export function table<T>(
  name: ScalarRule<string>,
  value: Rule<T>,
): Rule<readonly (readonly [string, T])[]> {
  const expects = "a map";
  return {
    expects,
    parts: { kind: "table", item: value },
    read(node, reader) {
      if (node.kind !== "map") return reader.refuse(node, expects);
      return [...node.entries].flatMap(([text, below]) => {
        const converted = name.convert(text);
        if (converted === undefined) {
          reader.problem(below, `the key must be ${name.expects}`);
          return [];
        }
        const read = value.read(below, reader);
        return read === undefined ? [] : [[converted, read] as const];
      });
    },
  };
}

/** A map with exactly these keys. */
export function record<S extends Shape>(keys: S): Rule<Values<S>> {
  const expects = "a map";
  return {
    expects,
    parts: { kind: "record", keys },
    read(node, reader) {
      if (node.kind !== "map") return reader.refuse(node, expects);
      reportUnknown(node, keys, reader);
      const values = Object.entries(keys).map(([name, one]) => [
        name,
        readKey(node, name, one, reader),
      ]);
      // Each value was read by the rule of its key, or is that key's fallback.
      return Object.fromEntries(values) as Values<S>;
    },
  };
}

/** The values of a map that is absent. */
export function fallbacksOf<S extends Shape>(keys: S): Values<S> {
  const values = Object.entries(keys).map(([name, { fallback }]) => [name, fallback]);
  // Each value is the fallback of its own key.
  return Object.fromEntries(values) as Values<S>;
}

function readKey(node: MapNode, name: string, one: Key<unknown>, reader: Reader): unknown {
  const below = node.entries.get(name);
  if (below === undefined || (below.kind === "scalar" && below.text === null)) {
    if (below !== undefined) reader.see(below, null);
    if (one.required) {
      reader.problem({ ...node, path: pathOf(node.path, name) }, `is missing: ${one.meaning}`);
    }
    return one.fallback;
  }
  const value = one.rule.read(below, reader);
  if (value === undefined) return one.fallback;
  reader.see(below, value);
  return value;
}

function reportUnknown(node: MapNode, keys: Shape, reader: Reader): void {
  for (const [name, below] of node.entries) {
    if (Object.hasOwn(keys, name) || isSpare(node, name)) continue;
    const known = Object.keys(keys);
    const suggestion = closest(name, known);
    const hint = suggestion === null ? knownKeys(known) : `did you mean ${suggestion}?`;
    reader.problem(below, `unknown key; ${hint}`);
  }
}

/** Where there are few, all of them; else where to look. */
function knownKeys(known: readonly string[]): string {
  return known.length > 12 ? "the README has the table of keys" : `known are ${known.join(", ")}`;
}

/** At the top, `x-…` and a key whose anchor something refers to hold parts for other places. */
function isSpare(node: MapNode, name: string): boolean {
  if (node.path !== "") return false;
  return name.startsWith("x-") || node.referenced.has(name);
}
