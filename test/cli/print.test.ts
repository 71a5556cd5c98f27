import { expect, test } from "bun:test";
import { printJson, printPage, say } from "../../src/cli/print.ts";
import { FakeIo } from "../support/fake_io.ts";

test("printJson() writes indented JSON and is done", () => {
  const io = new FakeIo();
  expect(printJson(io, { a: [1] })).toBe(0);
  expect(io.out).toBe('{\n  "a": [\n    1\n  ]\n}\n');
});

test("say() writes a line and is done", () => {
  const io = new FakeIo();
  expect(say(io, "Done")).toBe(0);
  expect(io.out).toBe("Done\n");
});

test("printPage() writes a table, and how to go on where there is more", () => {
  const io = new FakeIo();
  expect(printPage(io, ["ID", "N"], [["a", 1]], "c1")).toBe(0);
  expect(printPage(io, ["ID", "N"], [], null)).toBe(0);
  expect(io.out).toBe("ID  N\na   1\nID  N\n");
  expect(io.err).toBe("There is more: --cursor c1\n");
});
