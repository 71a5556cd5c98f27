import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandFailure } from "../../src/cli/command.ts";
import { readNamedFile } from "../../src/cli/named_file.ts";
import { FakeIo } from "../support/fake_io.ts";

describe("readNamedFile()", () => {
  let folder: string;
  let io: FakeIo;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-named-"));
    writeFileSync(join(folder, "policy.json"), "{} é");
    io = new FakeIo({ cwd: folder });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("reads from the folder the command was called in, or an absolute path", async () => {
    expect(await readNamedFile(io, "policy.json", "")).toBe("{} é");
    expect(await readNamedFile(io, join(folder, "policy.json"), "")).toBe("{} é");
  });

  test.each([
    ["none.json", /^Cannot read .*none\.json: it does not exist$/],
    [".", /^Cannot read .*: .*EISDIR/],
  ])("refuses %p with the path, why, and what to do", async (path, message) => {
    const thrown = await readNamedFile(io, path, "Check the path").catch((each) => each);
    expect(thrown).toBeInstanceOf(CommandFailure);
    expect(thrown.message).toMatch(message);
    expect(thrown.advice).toBe("Check the path");
  });
});
