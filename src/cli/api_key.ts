/**
 * How a provider's key gets into a command. Owns that alone; the invariant is that it never comes
 * from an argument, where every user of the machine could read it.
 */

import { UsageError } from "./command.ts";
import type { Io } from "./io.ts";

/** Environment variable that a key may come in, for scripts without a pipe. */
const KEY_VARIABLE = "SLUICE_API_KEY";

/** The key on standard input: one line. */
export async function readKeyFromInput(io: Io): Promise<string> {
  if (io.stdin.isTerminal) return checked(await io.stdin.readSecret("API key: "));
  return checked(await io.stdin.readAll());
}

/** The key from standard input if `fromInput`, else the environment, else typed. */
export async function readKey(io: Io, fromInput: boolean): Promise<string> {
  if (fromInput) return readKeyFromInput(io);
  const variable = io.env[KEY_VARIABLE];
  if (variable !== undefined && variable !== "") return checked(variable);
  if (io.stdin.isTerminal) return readKeyFromInput(io);
  throw new UsageError(`No key: pipe it in with --api-key-stdin, or set ${KEY_VARIABLE}`);
}

function checked(text: string): string {
  const key = text.trim();
  if (key === "") throw new UsageError("The key is empty");
  if (/\s/.test(key)) throw new UsageError("The key must be one line without spaces");
  return key;
}
