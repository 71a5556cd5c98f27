import { expect, test } from "bun:test";

import { configurationTable, unavailableKeys } from "./describe_keys.ts";

const README = await Bun.file(`${import.meta.dir}/../../README.md`).text();

/** The cells of a markdown table, whatever its columns are padded to. */
function cells(markdown: string): string[] {
  return markdown
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^\|[\s|:-]+\|$/.test(line))
    .map((line) => line.replace(/\s*\|\s*/g, " | ").trim());
}

test("the README's configuration table has every key, its default and meaning", () => {
  const section = README.slice(README.indexOf("## Configuration"));
  const table = section.slice(
    section.indexOf("| key"),
    section.indexOf("\n\n", section.indexOf("| key")),
  );
  expect(cells(table)).toEqual(cells(configurationTable()));
});

test.each(unavailableKeys())("the README says that %s is not available yet", (path) => {
  expect(README).toContain(`\`${path}\``);
});
