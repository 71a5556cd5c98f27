import { expect, test } from "bun:test";
import { printJson, say } from "../../src/cli/print.ts";
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
