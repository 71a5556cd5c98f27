/** What a command prints, and how it is ended. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CommandFailed, runCommand } from "../../src/runtime/command.ts";
import { FakeClock } from "../support/fake_clock.ts";

let folder: string;
let clock: FakeClock;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-command-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(() => {
  clock = new FakeClock();
});

function run(command: string, signal: AbortSignal = new AbortController().signal) {
  return runCommand(command, { clock, timeoutMs: 10_000, outputBytesMax: 1_000, signal });
}

async function failureOf(promise: Promise<string>): Promise<string> {
  const thrown = await promise.catch((error: unknown) => error);
  return thrown instanceof CommandFailed ? thrown.message : `no failure: ${String(thrown)}`;
}

/** A pipe that ends when nobody can write to it any more. */
async function startHolding(name: string, signal?: AbortSignal) {
  const pipe = join(folder, name);
  await Bun.$`mkfifo ${pipe}`;
  // The shell waits for `sleep`, which has the pipe open as well.
  const ended = failureOf(run(`exec 3>${pipe}; echo started >&3; sleep 1000; true`, signal));
  const reader = createReadStream(pipe)[Symbol.asyncIterator]();
  expect(String((await reader.next()).value)).toBe("started\n");
  return { ended, hasLetGo: async () => (await reader.next()).done === true };
}

describe("runCommand()", () => {
  test("is what the shell prints, with an empty input and without its errors", async () => {
    expect(await run("cat; echo secret | tr s S; echo no >&2")).toBe("Secret\n");
    expect(clock.pendingTimers).toBe(0);
  });

  test.each([
    ["echo hunter2; exit 3", "ended with exit code 3"],
    ["no-such-program-hunter2", "was not found (exit code 127)"],
    ["printf 'hunter2\\377'", "printed what is no UTF-8"],
    ["printf 'hunter2\\303'", "printed what is no UTF-8"],
    ["yes hunter2", "printed more than 1000 bytes"],
    ["echo hunter2; kill -TERM $$", "ended with exit code 143"],
  ])("%p fails, without what was printed", async (command, message) => {
    expect(await failureOf(run(command))).toBe(message);
    expect(clock.pendingTimers).toBe(0);
  });

  test("ends what takes too long, together with what it started", async () => {
    const { ended, hasLetGo } = await startHolding("late");
    clock.advance(9_999);
    expect(clock.pendingTimers).toBe(1);
    clock.advance(1);
    expect(await ended).toBe("took longer than 10 s");
    expect(await hasLetGo()).toBe(true);
  });

  test("ends what it started in the background", async () => {
    const pipe = join(folder, "background");
    await Bun.$`mkfifo ${pipe}`;
    const text = run(`exec 3>${pipe}; sleep 1000 >/dev/null & echo done`);
    const read = Bun.file(pipe).text();
    expect(await text).toBe("done\n");
    expect(await read).toBe("");
  });

  test("ends it when it is told to, also before it began", async () => {
    const controller = new AbortController();
    const { ended, hasLetGo } = await startHolding("stopped", controller.signal);
    controller.abort();
    expect(await ended).toBe("was stopped");
    expect(await hasLetGo()).toBe(true);
    expect(await failureOf(run("sleep 1000", controller.signal))).toBe("was stopped");
  });
});
