/** `sluice migrate` where there is nothing to migrate; on PostgreSQL it is tested in test/e2e. */

import { describe, expect, test } from "bun:test";

import { COMMANDS } from "../../src/cli/commands.ts";
import { runCommand } from "../../src/cli/run.ts";
import { FakeIo } from "../support/fake_io.ts";

async function migrate(args: readonly string[], env: Record<string, string> = {}) {
  const io = new FakeIo({ env: { OPENAI_API_KEY: "sk-x", ...env } });
  const code = await runCommand(COMMANDS, ["migrate", ...args], io);
  return { code, out: io.out, err: io.err };
}

describe("sluice migrate", () => {
  test.each([[[]], [["--status"]]])("%j leaves SQLite to the node", async (args) => {
    const { code, out } = await migrate(args, { SLUICE_DATA_DIR: "/nonexistent/data" });
    expect(code).toBe(0);
    expect(out).toBe("There is no database_url: a node migrates its SQLite in /nonexistent/data\n");
  });

  test("refuses a bad configuration, without the password", async () => {
    const { code, err } = await migrate([], { DATABASE_URL: "postgres://u:hunter22@h/d" });
    expect(code).toBe(1);
    expect(err).toContain("sluice keys generate");
    expect(err).not.toContain("hunter22");
  });

  test("refuses an option that it does not know", async () => {
    expect(await migrate(["--down"])).toMatchObject({ code: 2, out: "" });
  });
});
