import { expect, test } from "bun:test";
import manifest from "../../package.json" with { type: "json" };
import { VERSION } from "../../src/cli/version.ts";

test("VERSION is package.json's", () => {
  expect(VERSION).toBe(manifest.version);
  expect(VERSION).toMatch(/^\d+\.\d+\.\d+/);
});
