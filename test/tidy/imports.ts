/**
 * Rules about who imports whom.
 *
 * Owns: the rows, the homes of packages, the entry points. Does not own: reading imports
 * (`source.ts`).
 * Invariant: a type-only import counts like any other, because it couples two files just the same.
 */

import { breach } from "./find.ts";
import { exportsOf, importsOf, type Import, type Source } from "./source.ts";
import type { Tree } from "./tree.ts";

/**
 * Folders and files of src, lowest first. A file imports from lower rows and from its own folder.
 */
const ROWS: readonly (readonly string[])[] = [
  ["lib"],
  ["errors.ts", "exchange.ts"],
  ["runtime", "config", "provider"],
  ["store", "emit"],
  ["auth", "route", "policy", "relay", "meter", "cache"],
  ["gateway"],
  ["gateway.ts"],
  ["accept", "admin", "mock", "dashboard"],
  ["cli"],
  ["main.ts"],
];

const PACKAGE_HOMES: Readonly<Record<string, RegExp>> = {
  hono: /^src\/(?:accept|admin|mock|dashboard)\//,
  postgres: /^src\/store\/postgres(?:_\w+)?\.ts$/,
  jose: /^src\/auth\/token(?:_\w+)?\.ts$/,
  yaml: /^src\/config\//,
  bun: /^src\/runtime\//,
};

/** What lib/, which does no I/O, may take from the runtime's library. */
const WITHOUT_IO = ["node:buffer", "node:util"];

/** What the executable starts with: the program, and the Worker that owns SQLite. */
const ENTRY_POINTS = ["src/main.ts", "src/store/sqlite_worker.ts"];

function sourcesOfSrc(tree: Tree): Source[] {
  return [...tree.sources.values()].filter((source) => source.path.startsWith("src/"));
}

/** `relay` of src/relay/pump.ts, `errors.ts` of src/errors.ts. */
function memberOf(path: string): string {
  return path.split("/")[1] ?? "";
}

/** The files of a row that stand in src itself are one folder in all but name. */
function isFile(member: string): boolean {
  return member.endsWith(".ts");
}

function rowOf(path: string): number {
  return ROWS.findIndex((members) => members.includes(memberOf(path)));
}

export function upwardImports(tree: Tree): string[] {
  return sourcesOfSrc(tree).flatMap((source) => {
    if (rowOf(source.path) === -1) return [breach(source, 0, "belongs to no row")];
    return importsOf(source)
      .filter(({ path }) => path !== null && !mayImport(source.path, path))
      .map(({ offset, specifier }) => breach(source, offset, `imports ${specifier}`));
  });
}

function mayImport(from: string, to: string): boolean {
  // Data that is embedded, such as SQL, may lie outside src.
  if (!to.endsWith(".ts")) return true;
  if (!to.startsWith("src/")) return false;
  if (memberOf(from) === memberOf(to)) return true;
  if (rowOf(from) === rowOf(to)) return isFile(memberOf(from)) && isFile(memberOf(to));
  return rowOf(to) < rowOf(from);
}

export function importCycles(tree: Tree): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]) => {
    const at = trail.indexOf(path);
    if (at !== -1) found.push([...trail.slice(at), path].join(" → "));
    if (at !== -1 || done.has(path)) return;
    const source = tree.sources.get(path);
    const next = source === undefined ? [] : importsOf(source);
    for (const { path: to } of next) if (to !== null) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of tree.sources.keys()) visit(path, []);
  return found;
}

export function foreignPackages(tree: Tree): string[] {
  return sourcesOfSrc(tree).flatMap((source) =>
    importsOf(source)
      .filter(({ path, specifier }) => path === null && !isAtHome(source.path, specifier))
      .map(({ offset, specifier }) => breach(source, offset, `imports ${specifier}`)),
  );
}

function isAtHome(path: string, specifier: string): boolean {
  if (specifier.startsWith("node:")) {
    return memberOf(path) !== "lib" || WITHOUT_IO.includes(specifier);
  }
  const name = /^(?:@[^/]+\/[^/]+|[^/:]+)/.exec(specifier)?.[0] ?? specifier;
  return PACKAGE_HOMES[name]?.test(path) ?? false;
}

export function reExports(tree: Tree): string[] {
  return [...tree.sources.values()].flatMap((source) =>
    importsOf(source)
      .filter(({ isReExport }) => isReExport)
      .map(({ offset, specifier }) => breach(source, offset, `re-exports from ${specifier}`)),
  );
}

export function deadFiles(tree: Tree): string[] {
  const reached = new Set<string>();
  const queue = [...ENTRY_POINTS];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const source = tree.sources.get(path);
    if (source === undefined || reached.has(path)) continue;
    reached.add(path);
    for (const { path: to } of importsOf(source)) if (to !== null) queue.push(to);
  }
  return sourcesOfSrc(tree)
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => path);
}

export function deadExports(tree: Tree): string[] {
  const used = new Set([...tree.sources.values()].flatMap((source) => usesOf(source, tree)));
  return sourcesOfSrc(tree).flatMap((source) =>
    exportsOf(source)
      .filter(({ name }) => !used.has(`${source.path} ${name}`))
      .map(({ name, offset }) => breach(source, offset, name)),
  );
}

/** What a file takes from others, each as `path name`. */
function usesOf(source: Source, tree: Tree): string[] {
  return importsOf(source).flatMap((one) => {
    const { path } = one;
    return path === null ? [] : namesTaken(source, one, tree).map((name) => `${path} ${name}`);
  });
}

function namesTaken(source: Source, one: Import, tree: Tree): readonly string[] {
  if (one.names !== null) return one.names;
  const target = tree.sources.get(one.path ?? "");
  const all = target === undefined ? [] : exportsOf(target).map(({ name }) => name);
  if (one.namespace === null) return all;
  return all.filter((name) => new RegExp(`\\b${one.namespace}\\.${name}\\b`).test(source.code));
}
