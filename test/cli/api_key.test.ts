import { describe, expect, test } from "bun:test";
import { readKey, readKeyFromInput } from "../../src/cli/api_key.ts";
import { UsageError } from "../../src/cli/command.ts";
import { FakeIo } from "../support/fake_io.ts";

describe("readKey()", () => {
  test("prefers standard input where it is asked for, over the environment", async () => {
    const io = new FakeIo({ input: " sk-piped \n", env: { SLUICE_API_KEY: "sk-env" } });
    expect(await readKey(io, true)).toBe("sk-piped");
    expect(await readKey(io, false)).toBe("sk-env");
  });

  test("asks on a terminal, where there is nothing else", async () => {
    const io = new FakeIo({ typed: "sk-typed" });
    expect(await readKey(io, false)).toBe("sk-typed");
    expect(io.prompts).toEqual(["API key: "]);
    expect(io.out).toBe("");
  });

  test("refuses to wait for a pipe that nobody announced", async () => {
    const io = new FakeIo({ input: "sk-piped" });
    await expect(readKey(io, false)).rejects.toThrow("--api-key-stdin");
  });
});

describe("readKeyFromInput()", () => {
  test.each(["", " \n", "sk-a sk-b", "sk-a\nsk-b\n"])("refuses %p", async (input) => {
    await expect(readKeyFromInput(new FakeIo({ input }))).rejects.toThrow(UsageError);
  });
});
