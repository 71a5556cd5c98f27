/** Finding by pattern, and how a breach is written: `path:line what`. */

import { lineAt, type Source } from "./source.ts";
import type { Tree } from "./tree.ts";

/** A breach at an offset of a file. */
export function breach(source: Source, offset: number, what: string): string {
  return `${source.path}:${lineAt(source.text, offset)} ${what}`;
}

/**
 * Where `pattern` occurs in the files that `applies` accepts: in the code, or with `text` also in
 * comments and strings.
 */
export function linesMatching(
  tree: Tree,
  pattern: RegExp,
  applies: (path: string) => boolean = () => true,
  where: "code" | "text" = "code",
): string[] {
  const all = new RegExp(pattern.source, "g");
  return [...tree.sources.values()]
    .filter((source) => applies(source.path))
    .flatMap((source) =>
      [...source[where].matchAll(all)].map((match) =>
        breach(source, match.index, match[0].replace(/\s+/g, " ")),
      ),
    );
}
