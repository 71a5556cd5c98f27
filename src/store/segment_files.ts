/**
 * The file operations that a spool writes with, as the narrowest interface, so that a test can have
 * them fail as a disk does.
 *
 * Invariant: `write` is one write(2) and says how much it wrote; nothing here tries twice.
 */

import { closeSync, fdatasync, fsync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";

import { messageOf } from "./ledger_problem.ts";

export interface SegmentFiles {
  /** Makes a new file and returns its descriptor. @throws where it exists */
  create(path: string): number;
  /** Bytes written: fewer than given when the disk is full. */
  write(fd: number, bytes: Uint8Array): number;
  /** Resolves when what was written is on the disk. */
  sync(fd: number): Promise<void>;
  /** Resolves when the names in the folder are on the disk. */
  syncFolder(path: string): Promise<void>;
  truncate(fd: number, bytes: number): void;
  close(fd: number): void;
  remove(path: string): void;
}

export const nodeFiles: SegmentFiles = {
  create: (path) => openSync(path, "ax", 0o600),
  write: (fd, bytes) => writeSync(fd, bytes, 0, bytes.length),
  sync: (fd) => promise((done) => fdatasync(fd, done)),
  async syncFolder(path) {
    const fd = openSync(path, "r");
    try {
      await promise((done) => fsync(fd, done));
    } finally {
      closeSync(fd);
    }
  },
  truncate: (fd, bytes) => ftruncateSync(fd, bytes),
  close: (fd) => closeSync(fd),
  remove: (path) => rmSync(path, { force: true }),
};

/** A segment cannot be read. */
export class SegmentReadError extends Error {
  override readonly name = "SegmentReadError";
}

/**
 * Bytes `from` (inclusive) to `to` of a file; fewer where it is shorter.
 * @throws SegmentReadError
 */
export async function readRange(path: string, from: number, to: number): Promise<Uint8Array> {
  try {
    return await readBytes(path, from, to);
  } catch (error) {
    throw new SegmentReadError(`The spool segment ${path} cannot be read: ${messageOf(error)}`);
  }
}

async function readBytes(path: string, from: number, to: number): Promise<Uint8Array> {
  const handle = await open(path, "r");
  try {
    const bytes = new Uint8Array(to - from);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, from + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await handle.close();
  }
}

function promise(run: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run((error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}
