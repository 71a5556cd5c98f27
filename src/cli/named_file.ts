/** The text of a file that somebody named on the command line. */

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CommandFailure } from "./command.ts";
import type { Io } from "./io.ts";

/**
 * The file's text, as UTF-8.
 * @param path where it is, from the folder the command was called in
 * @param advice what to do where it cannot be read
 * @throws CommandFailure that names the path and says why
 */
export async function readNamedFile(io: Io, path: string, advice: string): Promise<string> {
  const file = resolve(io.cwd, path);
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const isMissing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    const why = isMissing ? "it does not exist" : String(cause);
    throw new CommandFailure(`Cannot read ${file}: ${why}`, advice, { cause });
  }
}
