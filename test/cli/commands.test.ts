import { expect, test } from "bun:test";
import { COMMANDS } from "../../src/cli/commands.ts";

test("COMMANDS gives every command and alias a name of its own", () => {
  const names = COMMANDS.flatMap((one) => [one.name, ...(one.aliases ?? [])]);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toContain("token");
});

test("COMMANDS has no line of help that is wider than 100 columns", () => {
  const lines = COMMANDS.flatMap((one) => one.usage.split("\n"));
  expect(lines.filter((line) => line.length > 100)).toEqual([]);
});

test("COMMANDS has a summary of one line for each", () => {
  const wrong = COMMANDS.filter(({ summary }) => summary === "" || /[\n.]$/.test(summary));
  expect(wrong.map(({ name }) => name)).toEqual([]);
});
