import { expect, test } from "bun:test";
import { join } from "node:path";

const MODULE = join(import.meta.dir, "../../src/runtime/process.ts");

/** A process that waits for signals, and says what it hears. */
function listener(script: string) {
  const child = Bun.spawn(
    [
      process.execPath,
      "-e",
      `import { exitNow, onSignals } from ${JSON.stringify(MODULE)};
       const first = onSignals(["SIGTERM", "SIGINT"]);
       console.log("waiting");
       const keepAlive = Bun.stdin.text();
       ${script}`,
    ],
    { stdin: "pipe", stdout: "pipe" },
  );
  const reader = child.stdout.getReader();
  const heard = async () => new TextDecoder().decode((await reader.read()).value).trim();
  return { child, heard };
}

test("onSignals() resolves with the first signal, and its `again` with the second", async () => {
  const { child, heard } = listener(`
    const { name, again } = await first;
    console.log(name);
    void again.then(() => exitNow(7));`);
  expect(await heard()).toBe("waiting");
  child.kill("SIGINT");
  expect(await heard()).toBe("SIGINT");
  expect(child.exitCode).toBeNull();
  child.kill("SIGTERM");
  expect(await child.exited).toBe(7);
});
