/**
 * The house rules that a program can check. Each says what is asked, why, and how to mend a breach.
 *
 * Owns: the list. Does not own: how a breach is found where that takes more than a pattern
 * (`imports.ts`, `files.ts`), or exceptions (`exceptions.ts`).
 * Invariant: every rule has a sample in `samples.ts` that breaks it and one that only looks like
 * it.
 */

import {
  deadExports,
  deadFiles,
  foreignPackages,
  importCycles,
  reExports,
  upwardImports,
} from "./imports.ts";
import {
  badFileNames,
  inexactVersions,
  longFiles,
  longFunctions,
  longLines,
  mapMismatches,
  missingHeaders,
  silentCasts,
  untestedFiles,
  untestedNames,
  vagueTitles,
} from "./files.ts";
import { linesMatching } from "./find.ts";
import type { Tree } from "./tree.ts";

export interface Rule {
  readonly name: string;
  readonly reason: string;
  readonly fix: string;
  /** Breaches, each as `path:line what`. */
  find(tree: Tree): string[];
}

const inSource = (path: string) => path.startsWith("src/");
const inRuntime = (path: string) => path.startsWith("src/runtime/");

/** `new Date(x)` only converts; without an argument it reads the clock. */
const CLOCKS_AND_CHANCE = new RegExp(
  [
    /\b(?:Date|performance)\.now\b/,
    /\bnew Date(?:\(\s*\)|(?![\w$(]))/,
    /\bMath\.random\b/,
    /\b(?:setTimeout|setInterval|setImmediate)\b/,
    /\bAbortSignal\.timeout\b/,
  ]
    .map(({ source }) => source)
    .join("|"),
);

export const RULES: readonly Rule[] = [
  {
    name: "a file imports only from rows below its own and from its own folder",
    reason: "each folder can then be read, tested and replaced without those above or beside it",
    fix: "take what you need as a parameter, with an interface of your own; rows: src/README.md",
    find: upwardImports,
  },
  {
    name: "imports make no cycle, type imports included",
    reason: "a cycle is one unit in two files",
    fix: "move what both need into a file below both",
    find: importCycles,
  },
  {
    name: "a third-party package is imported only in its home",
    reason: "replacing or auditing a dependency must touch one place",
    fix: "use the functions of its home; homes: PACKAGE_HOMES in test/tidy/imports.ts",
    find: foreignPackages,
  },
  {
    name: "Bun and Deno are named only in src/runtime",
    reason: "a second runtime must be a second file there and nothing else",
    fix: "add what you need to the interface in src/runtime/runtime.ts",
    find: (tree) =>
      linesMatching(tree, /\b(?:Bun|Deno)\b/, (path) => inSource(path) && !inRuntime(path)),
  },
  {
    name: "process is named only in src/cli, src/runtime and src/main.ts",
    reason: "the environment, arguments and signals are inputs, and inputs are parameters",
    fix: "read it in src/cli and hand the value down",
    find: (tree) =>
      linesMatching(
        tree,
        /(?<![.\w$])process\s*\.|["']node:process["']/,
        (path) => inSource(path) && !/^src\/(?:cli\/|runtime\/|main\.ts$)/.test(path),
      ),
  },
  {
    name: "time, timers and chance are read only in src/runtime",
    reason: "a test that owns the clock and the seed can replay any failure",
    fix: "take a Clock (src/runtime/clock.ts); for ids use crypto.randomUUID",
    find: (tree) =>
      linesMatching(tree, CLOCKS_AND_CHANCE, (path) => inSource(path) && !inRuntime(path)),
  },
  {
    name: "tests outside e2e and live do not sleep",
    reason: "a sleep is either too short on a slow machine or too long on every other",
    fix: "advance a FakeClock, or wait for the event itself",
    find: (tree) =>
      linesMatching(
        tree,
        /\b(?:setTimeout|setInterval|Bun\.sleep|Bun\.sleepSync)\b/,
        (path) => path.startsWith("test/") && !/^test\/(?:e2e|live)\//.test(path),
      ),
  },
  {
    name: "no dead file",
    reason: "code that nothing reaches is read, kept and trusted for nothing",
    fix: "import it on the way from src/main.ts, or remove it",
    find: deadFiles,
  },
  {
    name: "no exported name that nothing imports",
    reason: "an export is a promise to somebody",
    fix: "drop the word export, or the whole declaration",
    find: deadExports,
  },
  {
    name: "no export *, no default export, no re-export",
    reason: "a name has one home, and every import says which",
    fix: "export by name from the file that declares it, and import from there",
    find: (tree) => [
      ...reExports(tree),
      ...linesMatching(tree, /\bexport\s+default\b|\bas\s+default\b/),
    ],
  },
  {
    name: "src/README.md lists every file of src and no other",
    reason: "a map that is wrong is worse than none",
    fix: "name the file there in back-quotes, as a path from src: `relay/pump.ts`",
    find: mapMismatches,
  },
  {
    name: "a source file begins with a comment that says what it owns",
    reason: "a reader must know whether to read on",
    fix: "start the file with /** what it owns, what it does not, its invariant */",
    find: missingHeaders,
  },
  {
    name: "lines have at most 100 columns",
    reason: "two files fit side by side",
    fix: "run bun fmt; break long strings and comments by hand",
    find: longLines,
  },
  {
    name: "files have at most 400 lines",
    reason: "one file, one reason to open it",
    fix: "split it by what its parts own",
    find: longFiles,
  },
  {
    name: "functions have at most 70 lines",
    reason: "a function fits on one screen",
    fix: "keep the control flow in the parent and move pure parts out",
    find: longFunctions,
  },
  {
    name: "no any",
    reason: "it turns the type checker off for everything that it touches",
    fix: "use unknown and narrow it, or say the type",
    find: (tree) => linesMatching(tree, /(?<![.\w$])any\b(?!\s*[(:=])/),
  },
  {
    name: "a cast says why it is safe",
    reason: "the compiler takes it on trust, and so would the next reader",
    fix: "narrow the value instead, or give the reason in a comment on the line or right above it",
    find: silentCasts,
  },
  {
    name: "no enum",
    reason: "a closed set is a string union, whose members are also the log, metric and SQL values",
    fix: 'write type Name = "one" | "two"',
    find: (tree) => linesMatching(tree, /(?<![.\w$])enum\s+[\w$]+\s*\{/),
  },
  {
    name: "no type error is silenced",
    reason: "the next change would not be checked either",
    fix: "mend the type",
    find: (tree) => linesMatching(tree, /@ts-(?:ignore|nocheck|expect-error)/, () => true, "text"),
  },
  {
    name: "no TODO, FIXME, XXX or HACK",
    reason: "work to be done belongs where work is planned; here it rots",
    fix: "do it, or write down the limit as a fact",
    find: (tree) => linesMatching(tree, /\b(?:TODO|FIXME|XXX|HACK)\b/, () => true, "text"),
  },
  {
    name: "no console in src",
    reason: "what is printed past the log is neither redacted nor levelled",
    fix: "take a Log, or in a command the function that writes its output",
    find: (tree) => linesMatching(tree, /(?<![.\w$])console\s*\./, inSource),
  },
  {
    name: "file names are snake_case",
    reason: "one spelling, the same on every file system",
    fix: "rename the file",
    find: badFileNames,
  },
  {
    name: "a source file has its test in the mirrored place",
    reason: "the specification of a file must be where one looks for it",
    fix: "write test/x/y.test.ts for src/x/y.ts, or name it in WITHOUT_TEST with the reason",
    find: untestedFiles,
  },
  {
    name: "every error code, log event and metric is named in a test",
    reason: "a name that no test produces may never be produced, or not where it is documented",
    fix: "write the test that provokes it",
    find: untestedNames,
  },
  {
    name: "a test title says what is true, not what should be or that it works",
    reason: "the titles together are the specification",
    fix: "name the symbol and the fact: pump() stops reading while the queue is full",
    find: vagueTitles,
  },
  {
    name: "a dependency is an exact version",
    reason: "npm ignores bun.lock, and two checkouts of one commit must be the same program",
    fix: "write the version without ^ or ~",
    find: inexactVersions,
  },
];
