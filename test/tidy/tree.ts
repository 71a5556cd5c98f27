/**
 * The files that the house rules look at, read from the disk or made up for a rule's own test.
 *
 * Owns: which files are looked at. Does not own: any rule.
 * Invariant: paths are from the top of the repository, with forward slashes.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { readSource, type Source } from "./source.ts";

export interface Tree {
  /**
   * TypeScript files by path, declaration files aside: those only describe what is no TypeScript.
   */
  readonly sources: ReadonlyMap<string, Source>;
  /** Every other text file that a rule reads, by path. */
  readonly texts: ReadonlyMap<string, string>;
}

/** A tree of the given files, by path. */
export function makeTree(files: Readonly<Record<string, string>>): Tree {
  const sources = new Map<string, Source>();
  const texts = new Map<string, string>();
  for (const [path, text] of Object.entries(files)) {
    if (path.endsWith(".ts") && !path.endsWith(".d.ts")) sources.set(path, readSource(path, text));
    else texts.set(path, text);
  }
  return { sources, texts };
}

/** The repository at `root`, without recorded material and without the rules themselves. */
export function readTree(root: string): Tree {
  const files: Record<string, string> = {};
  for (const folder of ["src", "test", "bench"]) {
    for (const path of walk(root, folder)) files[path] = readFileSync(join(root, path), "utf8");
  }
  files["package.json"] = readFileSync(join(root, "package.json"), "utf8");
  return makeTree(files);
}

/** Recorded exchanges are as they came, and the rules' own samples break every rule on purpose. */
const LEFT_OUT = ["test/golden", "src/mock/fixtures", "test/tidy", "test/tidy.test.ts"];
const READ = [".ts", ".md"];

function walk(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (LEFT_OUT.includes(path)) return [];
    if (entry.isDirectory()) return walk(root, path);
    return READ.some((ending) => path.endsWith(ending)) ? [path] : [];
  });
}
