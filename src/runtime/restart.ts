/**
 * Starts the process again in its own place, with settings that the runtime reads only at its start.
 *
 * Owns: which settings those are. Does not own: when; only `serve` needs them.
 * Invariant: the process id stays, and it happens once: the settings in force are recognised.
 */

import { readFile } from "node:fs/promises";
import process from "node:process";

/** Most requests that the runtime's `fetch` runs at once; the rest would be queued (256 by default). */
const FETCHES_MAX = 65_535;

/** A compiled executable's own files live under this path; there the program has no source argument. */
const EMBEDDED_ROOT = "/$bunfs/";

/**
 * Replaces the process by itself unless it runs with these settings already; then it returns.
 * @param headerBytesMax request line and headers together, beyond which the runtime answers 431
 */
export function restartWithLimits(headerBytesMax: number): void {
  const options = `--max-http-header-size=${headerBytesMax}`;
  const wanted = { BUN_CONFIG_MAX_HTTP_REQUESTS: String(FETCHES_MAX), BUN_OPTIONS: options };
  const inForce = Object.entries(wanted).every(([name, value]) => process.env[name] === value);
  if (inForce || process.execve === undefined) return;
  const [, program = "", ...rest] = process.argv;
  const source = program.startsWith(EMBEDDED_ROOT) ? [] : [program];
  process.execve(process.execPath, [process.execPath, ...source, ...rest], {
    ...process.env,
    ...wanted,
  });
}

/** The number of files this process may have open, from /proc; 1024 where that is not there. */
export async function openFilesMax(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
