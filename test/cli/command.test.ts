import { describe, expect, test } from "bun:test";
import {
  asksForHelp,
  CommandFailure,
  group,
  parseArguments,
  UsageError,
  wholeNumber,
} from "../../src/cli/command.ts";
import { FakeIo } from "../support/fake_io.ts";

const OPTIONS = { label: { type: "string" }, json: { type: "boolean" } } as const;

describe("parseArguments()", () => {
  test("reads options wherever they stand, and everything behind -- as it is", () => {
    const { values, positionals } = parseArguments(
      ["--json", "a", "--label=x", "--", "--b"],
      OPTIONS,
      ["ONE", "TWO?"],
    );
    expect({ ...values }).toEqual({ json: true, label: "x" });
    expect(positionals).toEqual(["a", "--b"]);
  });

  test("lets an optional argument be absent", () => {
    expect(parseArguments(["a"], OPTIONS, ["ONE", "TWO?"]).positionals).toEqual(["a"]);
  });

  test.each<[string[], string]>([
    [[], "ONE is missing"],
    [["a", "b"], 'Unexpected argument "b"'],
    [["a", "--labels", "x"], "Unknown option --labels. Did you mean --label?"],
    [["a", "--quite-another"], "Unknown option --quite-another"],
    [["a", "-j"], "Unknown option -j"],
    [["a", "--label"], "argument missing"],
    [["a", "--no-json"], "Unknown option --no-json"],
  ])("refuses %p", (args, words) => {
    expect(() => parseArguments(args, OPTIONS, ["ONE"])).toThrow(UsageError);
    expect(() => parseArguments(args, OPTIONS, ["ONE"])).toThrow(words);
  });
});

describe("wholeNumber()", () => {
  test("is the number, and names the option of anything else", () => {
    expect(wholeNumber("minutes", "60")).toBe(60);
    for (const text of ["", "1h", "-1", "1.5", "1e3", "1".repeat(16)]) {
      expect(() => wholeNumber("minutes", text)).toThrow("--minutes must be a whole number");
    }
  });
});

describe("asksForHelp()", () => {
  test.each<[string[], boolean]>([
    [["--help"], true],
    [["a", "-h"], true],
    [["--", "--help"], false],
    [["help"], false],
    [[], false],
  ])("of %p is %p", (args, asked) => {
    expect(asksForHelp(args)).toBe(asked);
  });
});

describe("group()", () => {
  const seen: (readonly string[])[] = [];
  const one = group(
    "thing",
    "things",
    [
      {
        name: "make",
        aliases: ["build"],
        synopsis: "NAME",
        summary: "make one",
        run(args) {
          seen.push(args);
          return Promise.resolve(0);
        },
      },
    ],
    "More.",
  );

  test("runs the subcommand with what stands behind its name", async () => {
    expect(await one.run(["make", "a", "--b"], new FakeIo())).toBe(0);
    expect(await one.run(["build", "c"], new FakeIo())).toBe(0);
    expect(seen).toEqual([["a", "--b"], ["c"]]);
  });

  test("says how each is called", () => {
    expect(one.usage).toBe("Usage:\n  sluice thing make NAME\n      make one\n\nMore.\n");
  });

  test("refuses another word before anything runs", () => {
    expect(() => one.run(["mak"], new FakeIo())).toThrow('Did you mean "make"?');
  });
});

describe("CommandFailure", () => {
  test("carries what to do beside what went wrong", () => {
    const failure = new CommandFailure("broken", "mend it");
    expect([failure.message, failure.advice]).toEqual(["broken", "mend it"]);
  });
});
