/**
 * The processes of the bench: starting and ending them, and what the kernel says they used
 * (proc(5)).
 *
 * Invariant: whatever was started is ended, by its own process id, when the bench ends, however it
 * ends.
 */

import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;
/** Each with the signal that ends it and whatever it started. */
const running = new Map<Bun.Subprocess, NodeJS.Signals>();

export type Child = Bun.Subprocess<"pipe", "pipe", Bun.BunFile | "inherit">;

/**
 * Starts a program with its standard input and output as pipes.
 * @param log file for its standard error; null: ours
 * @param endSignal what ends it at once
 */
export function start(
  command: readonly string[],
  log: string | null,
  endSignal: NodeJS.Signals = "SIGKILL",
): Child {
  const child = Bun.spawn([...command], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: log === null ? "inherit" : Bun.file(log),
  });
  running.set(child, endSignal);
  void child.exited.then(() => running.delete(child));
  return child;
}

/** Ends a child and waits for it. */
export async function stop(child: Bun.Subprocess): Promise<void> {
  child.kill(running.get(child));
  await child.exited;
}

/** Ends whatever still runs. */
export function stopAll(): void {
  for (const [child, signal] of running) child.kill(signal);
}

/** The lines that a child prints, each parsed as JSON. Rejects when it ends first. */
export function jsonLines(child: Child): () => Promise<unknown> {
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  return async function next() {
    for (;;) {
      const end = text.indexOf("\n");
      if (end !== -1) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        return JSON.parse(line);
      }
      const { done, value } = await reader.read();
      if (done) throw new Error(`Process ${child.pid} ended before it reported`);
      text += decoder.decode(value, { stream: true });
    }
  };
}

/** CPU time of a process and all its threads so far, user and system, in microseconds. */
export function cpuUs(pid: number): number {
  const fields = statFields(String(pid));
  // utime and stime are the 14th and 15th field; the two before the state are cut off.
  const ticks = Number(fields[11]) + Number(fields[12]);
  return (ticks * 1_000_000) / TICKS_PER_SECOND;
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Rss:\s+(\d+) kB/m.exec(text)?.[1]) * 1024;
}

/** The processes that `pid` started. */
export function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(parentOf(name)) === pid)
    .map(Number);
}

function parentOf(pid: string): string | undefined {
  try {
    return statFields(pid)[1];
  } catch {
    // It ended while we were looking.
    return undefined;
  }
}

/** Fields of /proc/PID/stat from the state on; the name before it may hold anything. */
function statFields(pid: string): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}
