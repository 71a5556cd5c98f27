/** The entry point, as a process of its own. */

import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import manifest from "../package.json" with { type: "json" };

function sluice(...args: string[]) {
  const script = join(import.meta.dir, "../src/main.ts");
  return spawnSync(process.execPath, [script, ...args], { encoding: "utf8", input: "" });
}

test("main exits with what the command returned, and writes where it belongs", () => {
  const good = sluice("version");
  expect([good.status, good.stdout, good.stderr]).toEqual([0, `${manifest.version}\n`, ""]);
  const wrong = sluice("versoin");
  expect([wrong.status, wrong.stdout]).toEqual([2, ""]);
  expect(wrong.stderr).toContain("Unknown command");
});
