import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openFilesMax } from "../../src/runtime/restart.ts";

const MODULE = join(import.meta.dir, "../../src/runtime/restart.ts");

test("restartWithLimits() sets the runtime's limits once, in the same process", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-restart-"));
  const script = join(folder, "script.ts");
  writeFileSync(
    script,
    `import { restartWithLimits } from ${JSON.stringify(MODULE)};
     console.log("started");
     restartWithLimits(32768);
     const { BUN_CONFIG_MAX_HTTP_REQUESTS: fetches, BUN_OPTIONS: options, KEPT } = process.env;
     const { pid, argv } = process;
     console.log(JSON.stringify({ pid, fetches, options, KEPT, arguments: argv.slice(2) }));`,
  );
  const child = Bun.spawn([process.execPath, script, "one", "--two"], {
    env: { PATH: process.env["PATH"] ?? "", KEPT: "yes" },
    stdout: "pipe",
  });
  const lines = (await new Response(child.stdout).text()).trim().split("\n");
  rmSync(folder, { recursive: true });
  expect(lines.slice(0, -1)).toEqual(["started", "started"]);
  expect(JSON.parse(lines.at(-1) ?? "")).toEqual({
    pid: child.pid,
    fetches: "65535",
    options: "--max-http-header-size=32768",
    KEPT: "yes",
    arguments: ["one", "--two"],
  });
});

test("openFilesMax() is the limit that the shell would tell", async () => {
  const shell = Bun.spawnSync(["sh", "-c", "ulimit -n"]);
  expect(await openFilesMax()).toBe(Number(shell.stdout.toString()));
});
