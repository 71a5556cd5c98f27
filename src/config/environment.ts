/**
 * Environment variables that set keys: `SLUICE_` and the key's path in upper case, and a few that
 * platforms know.
 *
 * Owns: which variable means which key. Does not own: the keys.
 * Invariant: a variable wins over the file and is checked like it. An empty one counts as not set.
 */

import { type ConfigNode, emptyMap, type MapNode, pathOf } from "./document.ts";
import type { Environment } from "./expand.ts";
import type { Reader } from "./reader.ts";
import type { Rule } from "./rule.ts";
import { closest } from "./suggest.ts";

const PREFIX = "SLUICE_";

/** Known by platforms; the SLUICE_ form wins over them. */
const COMMON: readonly (readonly [string, readonly string[]])[] = [
  ["PORT", ["http_port"]],
  ["LOG_LEVEL", ["log", "level"]],
  ["DATABASE_URL", ["database_url"]],
  ["MANAGEMENT_TOKEN", ["admin_token"]],
];

/** SLUICE_ variables that are not keys: those of the command line. */
const OTHERS: readonly string[] = ["SLUICE_ADMIN_URL", "SLUICE_CONFIG", "SLUICE_TOKEN"];

/** Puts what the environment says into the tree, and warns of variables that mean nothing. */
export function applyEnvironment(
  root: MapNode,
  schema: Rule<unknown>,
  env: Environment,
  reader: Reader,
): void {
  for (const [variable, keys] of COMMON) {
    const value = env[variable];
    if (value !== undefined && value !== "") put(root, keys, variable, value, reader);
  }
  for (const variable of Object.keys(env).sort()) {
    const value = env[variable];
    if (!variable.startsWith(PREFIX) || value === undefined || value === "") continue;
    const keys = locate(schema, variable.slice(PREFIX.length));
    if (keys !== null) put(root, keys, variable, value, reader);
    else if (!OTHERS.includes(variable)) warnUnknown(variable, schema, reader);
  }
}

/** Names of the variables for all keys that have one; list items, which have too many, left out. */
export function variableNames(schema: Rule<unknown>, prefix = "SLUICE"): string[] {
  const { parts } = schema;
  if (parts.kind === "scalar" || (parts.kind === "list" && parts.orScalar)) return [prefix];
  if (parts.kind !== "record") return [];
  return Object.entries(parts.keys).flatMap(([name, { rule }]) =>
    variableNames(rule, `${prefix}_${name.toUpperCase()}`),
  );
}

/** The keys that `rest` of a variable's name spells below `rule`; null: none. */
function locate(rule: Rule<unknown>, rest: string): string[] | null {
  const { parts } = rule;
  if (parts.kind === "table") return null;
  if (parts.kind === "record") {
    for (const [name, below] of Object.entries(parts.keys)) {
      const upper = name.toUpperCase();
      if (rest !== upper && !rest.startsWith(`${upper}_`)) continue;
      const found = locate(below.rule, rest.slice(upper.length + 1));
      if (found !== null) return [name, ...found];
    }
    return null;
  }
  if (rest === "") return parts.kind === "scalar" || parts.orScalar ? [] : null;
  const index = /^(\d{1,4})(?:_(.+))?$/.exec(rest);
  if (parts.kind !== "list" || index?.[1] === undefined) return null;
  const found = locate(parts.item, index[2] ?? "");
  return found === null ? null : [index[1], ...found];
}

function put(
  root: MapNode,
  keys: readonly string[],
  variable: string,
  value: string,
  reader: Reader,
): void {
  let parent: ConfigNode = root;
  for (const [depth, name] of keys.entries()) {
    const path: string =
      parent.kind === "map" ? pathOf(parent.path, name) : `${parent.path}[${name}]`;
    const below: ConfigNode | undefined = childOf(parent, name);
    const isLast = depth === keys.length - 1;
    if (parent.kind === "list" && below === undefined) {
      return reader.problem({ path, line: null, variable }, "there is no such item in the file");
    }
    if (isLast) {
      const leaf = { kind: "scalar", path, line: null, variable, text: value } as const;
      return setChild(parent, name, leaf);
    }
    const isAbsent = below === undefined || (below.kind === "scalar" && below.text === null);
    if (isAbsent && /^\d+$/.test(keys[depth + 1] ?? "")) {
      return reader.problem({ path, line: null, variable }, "there is no such list in the file");
    }
    const next: ConfigNode = isAbsent ? emptyMap(path, variable) : below;
    if (isAbsent) setChild(parent, name, next);
    parent = next;
  }
}

function childOf(parent: ConfigNode, name: string): ConfigNode | undefined {
  if (parent.kind === "map") return parent.entries.get(name);
  return parent.kind === "list" ? parent.items[Number(name)] : undefined;
}

function setChild(parent: ConfigNode, name: string, child: ConfigNode): void {
  if (parent.kind === "map") parent.entries.set(name, child);
  else if (parent.kind === "list") parent.items[Number(name)] = child;
}

function warnUnknown(variable: string, schema: Rule<unknown>, reader: Reader): void {
  const suggestion = closest(variable, [...variableNames(schema), ...OTHERS]);
  const hint = suggestion === null ? "" : `; did you mean ${suggestion}?`;
  const message = `the variable ${variable} names no key and is not used${hint}`;
  reader.warn({ path: "", line: null, variable: null }, message);
}
