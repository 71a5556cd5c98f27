/**
 * The last step of a management command. Owns how an answer is printed and nothing else; the
 * invariant is that both return the exit code of a command that is done.
 */

import type { Io } from "./io.ts";

/** For machines: the management API's answer, indented. */
export function printJson(io: Io, value: unknown): number {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  return 0;
}

/** For people: one line. */
export function say(io: Io, text: string): number {
  io.stdout.write(`${text}\n`);
  return 0;
}
