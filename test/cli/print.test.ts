import { expect, test } from "bun:test";
import { printEntries, printEntry, printJson, printPage, say } from "../../src/cli/print.ts";
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

const COLUMNS = [
  ["ID", "id"],
  ["N", "n"],
] as const;

test("printPage() writes a table, and how to go on where there is more", () => {
  const io = new FakeIo();
  const page = { things: [{ id: "a", n: 1 }, 5], next_cursor: "c1" };
  expect(printPage(io, false, page, "things", COLUMNS)).toBe(0);
  expect(printPage(io, false, { things: [], next_cursor: null }, "things", COLUMNS)).toBe(0);
  expect(io.out).toBe("ID  N\na   1\nID  N\n");
  expect(io.err).toBe("There is more: --cursor c1\n");
});

test("printEntry() writes the fields that it is told, in their order", () => {
  const io = new FakeIo();
  expect(printEntry(io, undefined, { n: 1, id: "a", other: 2 }, ["id", "n", "none"])).toBe(0);
  expect(io.out).toBe("id    a\nn     1\nnone  -\n");
});

test("printEntries() writes a table of all", () => {
  const io = new FakeIo();
  expect(printEntries(io, undefined, [{ id: "a", n: [1, 2] }], COLUMNS)).toBe(0);
  expect(io.out).toBe("ID  N\na   1, 2\n");
});

test("printPage(), printEntry() and printEntries() write the answer itself as JSON", () => {
  const answer = { things: [{ id: "a" }], next_cursor: "c1" };
  const io = new FakeIo();
  expect(printPage(io, true, answer, "things", COLUMNS)).toBe(0);
  expect([JSON.parse(io.out), io.err]).toEqual([answer, ""]);
  const [entry, entries] = [new FakeIo(), new FakeIo()];
  expect(printEntry(entry, true, answer, ["things"])).toBe(0);
  expect(printEntries(entries, true, answer.things, COLUMNS)).toBe(0);
  expect([JSON.parse(entry.out), JSON.parse(entries.out)]).toEqual([answer, answer.things]);
});
