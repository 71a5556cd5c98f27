/**
 * Runs a shell command for what it prints.
 *
 * Owns: the process, its time limit, the bound of its output, and its end together with everything
 * that it started.
 * Does not own: what is made of the output.
 * Invariant: neither the command nor anything that it printed stands in an error, and nothing of it
 * is left running when the promise is settled.
 */

import process from "node:process";

import type { Clock } from "./clock.ts";

interface CommandOptions {
  readonly clock: Pick<Clock, "after">;
  readonly timeoutMs: number;
  /** Of standard output. */
  readonly outputBytesMax: number;
  /** Ends it before its time. */
  readonly signal: AbortSignal;
}

/** A command came to nothing. The message reads on after "the command". */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
}

/**
 * What `sh -c command` writes to its standard output, as it is. Its standard input is empty, its
 * standard error goes nowhere, its environment is this process's.
 * @throws CommandFailed it could not be started, ended with another exit code than 0, took too
 * long, printed too much or no UTF-8, or was ended by `signal`
 */
export async function runCommand(command: string, options: CommandOptions): Promise<string> {
  const { clock, timeoutMs, outputBytesMax, signal } = options;
  const child = start(command);
  const cut = Promise.withResolvers<never>();
  const stop = () => cut.reject(new CommandFailed("was stopped"));
  const timer = clock.after(timeoutMs, () =>
    cut.reject(new CommandFailed(`took longer than ${timeoutMs / 1_000} s`)),
  );
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    return await Promise.race([printedBy(child, outputBytesMax), cut.promise]);
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", stop);
    endGroup(child.pid);
  }
}

/** A group of its own, so that what the shell starts can be ended with it. */
function start(command: string) {
  try {
    return Bun.spawn(["/bin/sh", "-c", command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      detached: true,
    });
  } catch (cause) {
    throw new CommandFailed("could not be started, which takes /bin/sh", { cause });
  }
}

async function printedBy(child: ReturnType<typeof start>, outputBytesMax: number): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let [text, byteCount] = ["", 0];
  for await (const chunk of child.stdout) {
    byteCount += chunk.byteLength;
    if (byteCount > outputBytesMax) {
      throw new CommandFailed(`printed more than ${outputBytesMax} bytes`);
    }
    text += decoded(decoder, chunk);
  }
  text += decoded(decoder);
  const code = await child.exited;
  if (code !== 0) throw new CommandFailed(endOf(code));
  return text;
}

function decoded(decoder: TextDecoder, chunk?: Uint8Array): string {
  try {
    return decoder.decode(chunk, { stream: chunk !== undefined });
  } catch {
    // Without its cause, which may quote what was printed.
    throw new CommandFailed("printed what is no UTF-8");
  }
}

/** In words where the shell itself says it (POSIX, Shell Command Language, section 2.8.2). */
function endOf(code: number): string {
  return code === 127 ? "was not found (exit code 127)" : `ended with exit code ${code}`;
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Everything of it has ended by itself, as it should.
  }
}
