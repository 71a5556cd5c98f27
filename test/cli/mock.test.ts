import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CommandFailure, UsageError } from "../../src/cli/command.ts";
import { mock, runMock } from "../../src/cli/mock.ts";
import { SCRIPT_KEYS } from "../../src/mock/script.ts";
import { FakeIo } from "../support/fake_io.ts";

const headers = { authorization: "Bearer sk-1" };

/** Runs the command, and what `use` does with its address, and stops it. */
async function running(
  args: readonly string[],
  io: FakeIo,
  use: (url: string) => Promise<void>,
): Promise<number> {
  const stop = Promise.withResolvers<void>();
  const code = runMock(["--port", "0", ...args], io, stop.promise);
  while (io.out === "") await new Promise<void>((resolve) => setImmediate(resolve));
  await use(io.out.trim());
  stop.resolve();
  return await code;
}

describe("runMock()", () => {
  test("prints its address, answers, and stops when it is told", async () => {
    const io = new FakeIo();
    const code = await running([], io, async (url) => {
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      expect((await fetch(`${url}/v1/models`, { headers })).status).toBe(200);
    });
    expect(code).toBe(0);
    expect(fetch(`${io.out.trim()}/v1/models`, { headers })).rejects.toThrow();
    expect(io.err).toContain(`OPENAI_BASE_URL=${io.out.trim()}/v1`);
  });

  test("takes fixtures from a folder below the working directory, and keys", async () => {
    const cwd = await mkdtemp(join(tmpdir(), "sluice-cli-mock-"));
    await writeFile(join(cwd, "mine.json"), '{"mine":1}');
    await running(["--fixtures", ".", "--keys", "sk-1,sk-2"], new FakeIo({ cwd }), async (url) => {
      const script = { "x-mock": "fixture=mine.json" };
      const answer = await fetch(`${url}/v1/models`, { headers: { ...headers, ...script } });
      expect(await answer.json()).toEqual({ mine: 1 });
      const other = { authorization: "Bearer sk-3" };
      expect((await fetch(`${url}/v1/models`, { headers: other })).status).toBe(401);
    });
    await rm(cwd, { recursive: true });
  });

  test.each([
    [["--port", "70000"], "--port"],
    [["--seed", "x"], "--seed"],
    [["--prot", "1"], "--port"],
    [["extra"], "extra"],
  ])("%p is wrong usage that names %s", async (args, named) => {
    const run = runMock(args, new FakeIo(), Promise.resolve());
    expect(run).rejects.toThrow(UsageError);
    expect(run).rejects.toThrow(named);
  });

  test("fails where the folder is not there", async () => {
    const run = runMock(
      ["--port", "0", "--fixtures", "/nonexistent/x"],
      new FakeIo(),
      Promise.resolve(),
    );
    expect(run).rejects.toThrow(CommandFailure);
  });
});

test("mock.usage explains every key of a script", () => {
  for (const key of SCRIPT_KEYS)
    expect(mock.usage).toMatch(new RegExp(`^  (\\w.*,)?${key}\\b`, "m"));
});
