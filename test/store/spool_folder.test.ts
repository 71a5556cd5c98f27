import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type HeldFolder, segmentPath, SpoolFolders } from "../../src/store/spool_folder.ts";

const NONE: ReadonlySet<string> = new Set();

let dataDir: string;
let folders: SpoolFolders;
let held: HeldFolder;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-folders-"));
  folders = new SpoolFolders(dataDir);
  held = folders.create("a");
});

afterEach(() => {
  held.release();
  rmSync(dataDir, { recursive: true });
});

test("claimDead() finds a folder that was released, and none that is held", () => {
  expect(folders.claimDead(NONE)).toEqual([]);
  held.release();
  const claimed = folders.claimDead(NONE);
  expect(claimed.map((folder) => folder.path)).toEqual([held.path]);
  expect(new SpoolFolders(dataDir).claimDead(NONE)).toEqual([]);
  claimed[0]?.release();
  expect(folders.claimDead(new Set([held.path]))).toEqual([]);
});

test("remove() takes away an empty folder, and leaves and releases one that is not", () => {
  writeFileSync(join(held.path, "other"), "");
  expect(folders.remove(held)).toBe(false);
  const [claimed = held] = folders.claimDead(NONE);
  expect(claimed.unknownFiles()).toEqual(["other"]);
  rmSync(join(held.path, "other"));
  expect(folders.remove(claimed)).toBe(true);
  expect(existsSync(held.path)).toBe(false);
});

test("segments() are in the order of their numbers", () => {
  for (const number of [10, 2, 99_999_999]) writeFileSync(segmentPath(held.path, number), "");
  expect(held.segments()).toEqual([2, 10, 99_999_999].map((n) => segmentPath(held.path, n)));
  expect(held.unknownFiles()).toEqual([]);
});

test("pruneKept() deletes what is older than it may be, and the oldest beyond the bytes", () => {
  for (const [number, atMs] of [1000, 2000, 3000].entries()) {
    writeFileSync(segmentPath(held.path, number), "x".repeat(10));
    folders.keep(segmentPath(held.path, number), atMs);
  }
  const kept = join(dataDir, "spool", "kept");
  folders.pruneKept(3500, 2400, 1000);
  expect(readdirSync(kept)).toHaveLength(2);
  folders.pruneKept(3500, 2400, 19);
  expect(readdirSync(kept)).toEqual(["000000000003000.node-a.00000002.v1"]);
});

test("setAside() keeps the bytes, and has an end", () => {
  const bytes = new TextEncoder().encode("broken");
  const segment = segmentPath(held.path, 1);
  const path = folders.setAside(bytes, segment, 7) ?? "";
  expect(readFileSync(path, "utf8")).toBe("broken");
  for (let offset = 100; offset < 400; offset++) folders.setAside(bytes, segment, offset);
  expect(folders.setAside(bytes, segment, 500)).toBeNull();
  expect(folders.setAside(bytes, segment, 7)).toBe(path);
  expect(readdirSync(join(dataDir, "spool", "damaged"))).toHaveLength(256);
});
