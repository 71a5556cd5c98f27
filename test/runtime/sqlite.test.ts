import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { lockFile, openSqlite } from "../../src/runtime/sqlite.ts";

const MODULE = join(import.meta.dir, "../../src/runtime/sqlite.ts");
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-lock-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

/** A process that takes the lock, says so, and lives on. */
async function holder(path: string): Promise<{ said: string; child: Bun.Subprocess }> {
  const script = `
    import { lockFile } from ${JSON.stringify(MODULE)};
    globalThis.lock = lockFile(${JSON.stringify(path)}, 0);
    console.log(globalThis.lock === null ? "busy" : "held");
    await Bun.stdin.text();`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  return { said: new TextDecoder().decode(value).trim(), child };
}

describe("lockFile()", () => {
  test("is held by one holder, in this process and others, until it is released", async () => {
    const path = join(folder, "one");
    const lock = lockFile(path, 0);
    expect(lock).not.toBeNull();
    expect(lockFile(path, 0)).toBeNull();
    // A failed attempt in the same process must not drop the lock (fcntl locks go with any close).
    const other = await holder(path);
    expect(other.said).toBe("busy");
    other.child.kill();
    lock?.release();
    const again = lockFile(path, 0);
    expect(again).not.toBeNull();
    again?.release();
    expect(readdirSync(folder)).toEqual(["one"]);
  });

  test("is free at once when its process is killed", async () => {
    const path = join(folder, "two");
    const { said, child } = await holder(path);
    expect(said).toBe("held");
    expect(lockFile(path, 0)).toBeNull();
    child.kill("SIGKILL");
    await child.exited;
    const lock = lockFile(path, 0);
    expect(lock).not.toBeNull();
    lock?.release();
  });

  test("throws where the file cannot be made", () => {
    expect(() => lockFile(join(folder, "none", "lock"), 0)).toThrow();
  });
});

describe("openSqlite()", () => {
  test("query() binds by position and gives rows back; exec() runs several statements", () => {
    const database = openSqlite(":memory:");
    database.exec("CREATE TABLE t (a TEXT, b INTEGER); INSERT INTO t VALUES ('x', 1)");
    const sql = "INSERT INTO t VALUES ($1, $2) RETURNING b, a";
    expect(database.query(sql, ["y", 2])).toEqual([{ b: 2, a: "y" }]);
    expect(database.query("SELECT a FROM t WHERE b < $1 ORDER BY a", [9])).toHaveLength(2);
    expect(() => database.query("SELECT nothing", [])).toThrow();
    database.close();
  });
});
