/** The command line as a person meets it: right words, wrong words, exit codes. */

import { describe, expect, test } from "bun:test";
import manifest from "../../package.json" with { type: "json" };
import { COMMANDS } from "../../src/cli/commands.ts";
import type { Command } from "../../src/cli/command.ts";
import { runCommand } from "../../src/cli/run.ts";
import { FakeIo } from "../support/fake_io.ts";

async function run(args: readonly string[], commands: readonly Command[] = COMMANDS) {
  const io = new FakeIo();
  const code = await runCommand(commands, args, io);
  return { code, out: io.out, err: io.err };
}

describe("runCommand() exits 2 and names the mistake for", () => {
  test.each<[string[], string]>([
    [[], "Usage: sluice COMMAND"],
    [["tokn"], 'Did you mean "token"?'],
    [["frobnicate"], 'Unknown command "frobnicate".\nSee: sluice help'],
    [["help", "frobnicate"], "Unknown command"],
    [["\u001b[31m"], 'Unknown command "\\u001b[31m"'],
    [["token"], '"token" needs a subcommand. One of mint, list, show, update, revoke'],
    [["token", "mnt"], 'Did you mean "mint"?'],
    [["token", "--json", "list"], 'Options stand behind the subcommand of "token"'],
    [["token", "mint", "--labl", "x"], "Unknown option --labl. Did you mean --label?"],
    [["token", "mint", "-z"], "Unknown option -z"],
    [["token", "mint", "--label"], "Option '--label <value>' argument missing"],
    [["token", "mint", "--json=1"], "Option '--json' does not take an argument"],
    [["token", "mint", "extra"], 'Unexpected argument "extra"'],
    [["token", "mint", "--minutes", "1h"], "--minutes must be a whole number"],
    [["token", "mint", "--max-requests", "-1"], "--max-requests"],
    [["token", "mint", "--limit", "rpm=1"], "Known: requests_per_minute"],
    [["token", "revoke"], "ID is missing"],
    [["token", "delete"], "ID is missing"],
    [["token", "revoke", "tok_1", "--project", "p"], "Name one token, or all of a project"],
    [["token", "update", "tok_1"], "Nothing to change"],
    [["revocation", "add"], "--jti"],
    [["audit"], "One of list, verify"],
    [["project", "create"], "NAME is missing"],
    [["project", "create", "a", "b"], 'Unexpected argument "b"'],
    [["project", "update", "a", "--activate", "--deactivate"], "contradict"],
    [["credential", "create"], "--provider is missing"],
    [["credential", "create", "--api-key", "sk-x"], "use --api-key-stdin"],
    [["project", "create", "a", "--api-key=sk-x"], "use --api-key-stdin"],
    [["usage", "extra"], 'Unexpected argument "extra"'],
    [["keys", "rotat"], 'Did you mean "rotate"?'],
  ])("%p", async (args, words) => {
    const { code, out, err } = await run(args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(words);
    expect(err).not.toContain("sk-x");
  });
});

describe("runCommand() exits 0 for", () => {
  test.each([["version"], ["--version"], ["-v"]])("%s", async (word) => {
    expect(await run([word])).toEqual({ code: 0, out: `${manifest.version}\n`, err: "" });
  });

  test.each([["help"], ["--help"], ["-h"]])("%s, which lists every command", async (word) => {
    const { code, out } = await run([word]);
    expect(code).toBe(0);
    for (const command of COMMANDS) expect(out).toContain(command.summary);
  });

  test.each(COMMANDS.map((command) => [command.name, command] as const))(
    "help %s, and %s --help",
    async (name, command) => {
      const [asked, flagged] = [await run(["help", name]), await run([name, "x", "--help"])];
      expect(asked.out).toContain(command.usage.trimEnd());
      expect(flagged).toEqual(asked);
      expect(asked.code).toBe(0);
    },
  );
});

describe("runCommand()", () => {
  const command = (run_: Command["run"]): Command => ({
    name: "one",
    aliases: ["uno"],
    summary: "does one thing",
    usage: "Usage: sluice one",
    run: run_,
  });

  test("finds a command by its alias and passes what stands behind it", async () => {
    const seen: (readonly string[])[] = [];
    const one = command((args) => {
      seen.push(args);
      return Promise.resolve(7);
    });
    expect((await run(["uno", "a", "-b"], [one])).code).toBe(7);
    expect(seen).toEqual([["a", "-b"]]);
  });

  test("exits 1 with the message of what a command throws, without a stack", async () => {
    const one = command(() => Promise.reject(new Error("disk full")));
    expect(await run(["one"], [one])).toEqual({ code: 1, out: "", err: "error: disk full\n" });
  });
});
