import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { nodeFiles, readRange, SegmentReadError } from "../../src/store/segment_files.ts";

let folder: string;
let path: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-files-"));
  path = join(folder, "one");
});

afterAll(() => rmSync(folder, { recursive: true }));

test("nodeFiles make a file once, for its owner only, and append to it", async () => {
  const fd = nodeFiles.create(path);
  expect(() => nodeFiles.create(path)).toThrow("EEXIST");
  expect(nodeFiles.write(fd, Buffer.from("abc"))).toBe(3);
  nodeFiles.truncate(fd, 1);
  // In append mode nothing is left between what was cut and what follows.
  expect(nodeFiles.write(fd, Buffer.from("xyz"))).toBe(3);
  await nodeFiles.sync(fd);
  await nodeFiles.syncFolder(folder);
  nodeFiles.close(fd);
  expect(readFileSync(path, "utf8")).toBe("axyz");
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("nodeFiles.sync() rejects for a descriptor that is closed", async () => {
  const fd = nodeFiles.create(join(folder, "two"));
  nodeFiles.close(fd);
  expect(await nodeFiles.sync(fd).catch(() => "rejected")).toBe("rejected");
});

test("readRange() gives the bytes there are, and rejects where there is no file", async () => {
  expect(new TextDecoder().decode(await readRange(path, 1, 3))).toBe("xy");
  expect(await readRange(path, 2, 100)).toHaveLength(2);
  expect(await readRange(path, 50, 100)).toHaveLength(0);
  const missing = await readRange(join(folder, "none"), 0, 1).catch((error: unknown) => error);
  expect(missing).toBeInstanceOf(SegmentReadError);
  nodeFiles.remove(path);
  nodeFiles.remove(path);
  expect(existsSync(path)).toBe(false);
});
