import { describe, expect, test } from "bun:test";
import { type Cell, cellOf, renderFields, renderTable } from "../../src/cli/table.ts";

describe("renderTable()", () => {
  test("pads columns to their widest cell, numbers to the right, without trailing spaces", () => {
    const rows = [
      ["a", 5, null],
      ["longer", 1234, "x"],
    ];
    expect(renderTable(["NAME", "N", "REST"], rows)).toBe(
      ["NAME       N  REST", "a          5  -", "longer  1234  x", ""].join("\n"),
    );
  });

  test("is only the header without rows", () => {
    expect(renderTable(["A", "B"], [])).toBe("A  B\n");
  });

  test.each(["\u001b[2J", "a\nb", "a\rb", "\u202eabc", "\u0000", "\u009b31m"])(
    "makes %p harmless",
    (cell) => {
      const text = renderTable(["A"], [[cell]]);
      expect(text.split("\n")).toHaveLength(3);
      expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    },
  );
});

describe("renderFields()", () => {
  test("aligns values, and says yes, no and - of what is no text", () => {
    const fields = [
      ["id", "x"],
      ["is_active", false],
      ["ready", true],
      ["label", ""],
    ] as const;
    expect(renderFields(fields)).toBe(
      "id         x\nis_active  no\nready      yes\nlabel      -\n",
    );
  });
});

describe("cellOf()", () => {
  test.each<[unknown, Cell]>([
    [1, 1],
    [false, false],
    ["x", "x"],
    [null, ""],
    [[], ""],
    [{}, ""],
    [["gpt-5*", "o3"], "gpt-5*, o3"],
    [{ requests_per_minute: 60, session_turns: null }, "requests_per_minute=60"],
    [{ requests: 2, cost: { today: 5, total: 7 } }, "requests=2, cost.today=5, cost.total=7"],
  ])("of %j is %j", (value, cell) => {
    expect(cellOf(value)).toBe(cell);
  });
});
