/**
 * Rules about a file's size, name and header, and about what must be listed or tested elsewhere.
 *
 * Owns: the limits. Does not own: exceptions to them (`exceptions.ts`).
 * Invariant: an exception that is not needed any more is a breach as well.
 */

import {
  LONG_FILES,
  LONG_FUNCTIONS,
  LONG_LINES,
  WITHOUT_TEST,
  type Exceptions,
} from "./exceptions.ts";
import { breach } from "./find.ts";
import { functionsOf, lineAt, type Source } from "./source.ts";
import type { Tree } from "./tree.ts";

const COLUMNS_MAX = 100;
const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

function sourcesOf(tree: Tree, folder: string): Source[] {
  return [...tree.sources.values()].filter((source) => source.path.startsWith(`${folder}/`));
}

/**
 * `found` without what is excepted, and with every exception of a file in the tree that excepts
 * nothing.
 * @param found key of each breach (as the list names it) with its text
 */
function except(found: readonly (readonly [string, string])[], list: Exceptions, tree: Tree) {
  const keys = new Set(found.map(([key]) => key));
  const stale = Object.keys(list)
    .filter((key) => !keys.has(key) && tree.sources.has(key.split(" ")[0] ?? ""))
    .map((key) => `${key} is excepted without need`);
  return [...found.filter(([key]) => !(key in list)).map(([, text]) => text), ...stale];
}

export function longLines(tree: Tree): string[] {
  const found = [...tree.sources.values()].flatMap((source) =>
    source.text
      .split("\n")
      .flatMap((line, index) =>
        line.length > COLUMNS_MAX
          ? [[source.path, `${source.path}:${index + 1} ${line.length} columns`] as const]
          : [],
      ),
  );
  return except(found, LONG_LINES, tree);
}

export function longFiles(tree: Tree): string[] {
  const found = [...sourcesOf(tree, "src"), ...sourcesOf(tree, "bench")].flatMap((source) => {
    const lines = source.text.trimEnd().split("\n").length;
    return lines > FILE_LINES_MAX ? [[source.path, `${source.path} ${lines} lines`] as const] : [];
  });
  return except(found, LONG_FILES, tree);
}

export function longFunctions(tree: Tree): string[] {
  const found = ["src", "bench"].flatMap((folder) =>
    sourcesOf(tree, folder).flatMap((source) =>
      functionsOf(source)
        .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
        .map(({ name, line, lines }) => {
          const text = `${source.path}:${line} ${name}() has ${lines} lines`;
          return [`${source.path} ${name}`, text] as const;
        }),
    ),
  );
  return except(found, LONG_FUNCTIONS, tree);
}

export function missingHeaders(tree: Tree): string[] {
  return [...sourcesOf(tree, "src"), ...sourcesOf(tree, "bench")]
    .filter(({ text }) => !/^(?:#![^\n]*\n+)?\/\*\*\s/.test(text))
    .map(({ path }) => `${path}:1`);
}

export function badFileNames(tree: Tree): string[] {
  return [...tree.sources.keys()].filter(
    (path) => !/^(?:[a-z0-9_]+\/)*[a-z0-9_]+(?:\.test)?\.ts$/.test(path),
  );
}

export function untestedFiles(tree: Tree): string[] {
  const found = sourcesOf(tree, "src")
    .filter(({ path }) => !tree.sources.has(testOf(path)))
    .map(({ path }) => [path, `${path} has no ${testOf(path)}`] as const);
  return except(found, WITHOUT_TEST, tree);
}

function testOf(path: string): string {
  return path.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts");
}

/** The closed sets: where each is declared, and what its names look like there. */
const CLOSED_SETS: readonly { path: string; name: RegExp }[] = [
  { path: "src/errors.ts", name: /^ {2}(\w+): entry\(/gm },
  { path: "src/emit/event.ts", name: /^ {2}(\w+): "(?:trace|debug|info|warn|error)"/gm },
  { path: "src/emit/metrics.ts", name: /\b(sluice_\w+)/g },
];

export function untestedNames(tree: Tree): string[] {
  const tests = sourcesOf(tree, "test").map(({ text }) => text);
  return CLOSED_SETS.flatMap(({ path, name }) => {
    const source = tree.sources.get(path);
    if (source === undefined) return [];
    const names = new Set([...source.text.matchAll(name)].map((match) => match[1] ?? ""));
    if (names.size === 0) return [`${path}: no name was found; mend CLOSED_SETS`];
    return [...names]
      .filter((one) => !tests.some((text) => new RegExp(`["'\`]${one}\\b`).test(text)))
      .map((one) => `${path} ${one}`);
  });
}

export function mapMismatches(tree: Tree): string[] {
  const map = tree.texts.get("src/README.md");
  if (map === undefined) return ["src/README.md is missing"];
  const all = [...tree.sources.keys(), ...tree.texts.keys()];
  const ours = all.filter((path) => /^src\/.*\.ts$/.test(path));
  const files = new Set(ours.map((path) => path.slice("src/".length)));
  const named = new Set([...map.matchAll(/`([\w/.-]+\.ts)`/g)].map((match) => match[1] ?? ""));
  return [
    ...[...files].filter((path) => !named.has(path)).map((path) => `${path} is not listed`),
    ...[...named].filter((path) => !files.has(path)).map((path) => `${path} does not exist`),
  ];
}

export function vagueTitles(tree: Tree): string[] {
  return sourcesOf(tree, "test").flatMap((source) =>
    titlesOf(source)
      .filter(({ title }) => /\b(?:should|works?)\b/i.test(title))
      .map(({ title, offset }) => breach(source, offset, title)),
  );
}

/** The titles of a test file: the first string after `test(`, `describe.each(…)(` and the like. */
function titlesOf(source: Source): { title: string; offset: number }[] {
  const calls = source.code.matchAll(/\b(?:test|it|describe)\b(?:\.\w+)*\s*\(/g);
  return [...calls].flatMap((match) => {
    let at = match.index + match[0].length;
    if (!/^\s*["'`]/.test(source.code.slice(at))) {
      const next = /\)\s*\(\s*(?=["'`])/.exec(source.code.slice(at));
      if (!match[0].includes(".each") || next === null) return [];
      at += next.index + next[0].length;
    }
    const title = /^\s*(["'`])((?:(?!\1).)*)/.exec(source.text.slice(at))?.[2];
    return title === undefined ? [] : [{ title, offset: match.index }];
  });
}

/** A cast that is not `as const`, and no renaming import or export. */
const CAST = /(?<=[\w)\]}"'`]\s+)as\s+(?!const\b)[\w({["'`]/g;
const IMPORT_OR_EXPORT =
  /\b(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,\s*)?(?:\{[^}]*\}|\*\s+as)/g;

export function silentCasts(tree: Tree): string[] {
  return sourcesOf(tree, "src").flatMap((source) => {
    const lines = source.text.split("\n");
    const code = source.code.replace(IMPORT_OR_EXPORT, (clause) => clause.replace(/[^\n]/g, " "));
    return [...code.matchAll(CAST)]
      .map(({ index }) => lineAt(code, index))
      .filter((line) => !explains(lines[line - 1]) && !endsComment(lines[line - 2]))
      .map((line) => `${source.path}:${line} ${lines[line - 1]?.trim()}`);
  });
}

function explains(line = ""): boolean {
  return /\/\/|\/\*/.test(line);
}

function endsComment(line = ""): boolean {
  return /^\s*(?:\/\/|\/?\*)/.test(line);
}

export function inexactVersions(tree: Tree): string[] {
  const text = tree.texts.get("package.json");
  if (text === undefined) return ["package.json is missing"];
  return [...text.matchAll(/"([^"]*ependencies)":\s*\{([^}]*)\}/g)].flatMap((block) =>
    [...(block[2] ?? "").matchAll(/"([^"]+)":\s*"([^"]+)"/g)]
      .filter((entry) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(entry[2] ?? ""))
      .map((entry) => `package.json ${entry[1]}: ${entry[2]}`),
  );
}
