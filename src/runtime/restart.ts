/**
 * Starts the process again in its own place, with settings that the runtime reads only when it
 * starts.
 *
 * Owns: which settings those are. Does not own: when; only `serve` needs them.
 * Invariant: the process id stays, and it happens once: the settings in force are recognised.
 */

import { readFile } from "node:fs/promises";
import process from "node:process";

/** Requests that the runtime's `fetch` runs at once; the rest would be queued (256 by default). */
const FETCHES_MAX = 65_535;

/**
 * Variables of the runtime that would print every header, credentials included, or accept any
 * certificate of an upstream.
 */
const DANGEROUS = ["BUN_CONFIG_VERBOSE_FETCH", "NODE_TLS_REJECT_UNAUTHORIZED"];

/** Where a compiled executable keeps its own files; it has no source file among its arguments. */
const EMBEDDED_ROOT = "/$bunfs/";

/**
 * Replaces the process by itself unless it runs with these settings already; then it returns.
 * @param headerBytesMax request line and headers together, beyond which the runtime answers 431
 */
export function restartWithLimits(headerBytesMax: number): void {
  const options = `--max-http-header-size=${headerBytesMax}`;
  const wanted = { BUN_CONFIG_MAX_HTTP_REQUESTS: String(FETCHES_MAX), BUN_OPTIONS: options };
  const set = Object.entries(wanted).every(([name, value]) => process.env[name] === value);
  const inForce = set && DANGEROUS.every((name) => process.env[name] === undefined);
  if (inForce || process.execve === undefined) return;
  const [, program = "", ...rest] = process.argv;
  const source = program.startsWith(EMBEDDED_ROOT) ? [] : [program];
  const environment: NodeJS.ProcessEnv = { ...process.env, ...wanted };
  for (const name of DANGEROUS) delete environment[name];
  process.execve(process.execPath, [process.execPath, ...source, ...rest], environment);
}

/** The number of files this process may have open, from /proc; 1024 where that is not there. */
export async function openFilesMax(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
