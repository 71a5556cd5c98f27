/**
 * The folders below `data_dir/spool/` and who holds them.
 *
 *   lock             held while a folder is made, claimed or removed
 *   node-<node id>/  segments of one process, and its lock, held as long as that process lives
 *   kept/            segments that were shipped, for `usage.spool_keep`
 *   damaged/         bytes that could not be read
 *
 * Owns: names and locks. Does not own: what is in a segment.
 * Invariant: a folder's segments are touched only by the holder of its lock. The kernel frees the
 * lock of a dead process, so a folder that can be locked is nobody's.
 */

import {
  closeSync,
  type Dirent,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";

import { type FileLock, lockFile } from "../runtime/sqlite.ts";

const NODE_PREFIX = "node-";
const LOCK_NAME = "lock";
/** The record format is part of the name: a version that does not know it leaves the file alone. */
const SEGMENT_NAME = /^\d{8,}\.v1$/;
const NODE_ID = /^[\w-]{1,128}$/;
/** The lock on all folders is held for milliseconds; who waits longer has met a stopped process. */
const ROOT_LOCK_WAIT_MS = 10_000;
/** Files in `damaged/`; what is beyond is reported and not set aside. */
const DAMAGED_FILES_MAX = 256;

export function segmentPath(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(8, "0")}.v1`);
}

/** A folder whose lock this process holds. */
export class HeldFolder {
  readonly path: string;
  readonly #lock: FileLock;

  constructor(path: string, lock: FileLock) {
    this.path = path;
    this.#lock = lock;
  }

  /** Paths of its segments in the order of their writing. */
  segments(): string[] {
    const names = readdirSync(this.path).filter((name) => SEGMENT_NAME.test(name));
    return names.toSorted().map((name) => join(this.path, name));
  }

  /** Names of what is neither a segment nor the lock. */
  unknownFiles(): string[] {
    const isKnown = (name: string) => name === LOCK_NAME || SEGMENT_NAME.test(name);
    return readdirSync(this.path).filter((name) => !isKnown(name));
  }

  /** Lets go of it; whoever claims it next takes over what is in it. */
  release(): void {
    this.#lock.release();
  }
}

export class SpoolFolders {
  readonly #root: string;

  /** Makes `data_dir/spool/`. */
  constructor(dataDir: string) {
    this.#root = join(dataDir, "spool");
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  /**
   * Makes and holds the folder of a new node.
   * @throws Error when the id is no name or another process does not let go of the lock on all
   * folders
   */
  create(nodeId: string): HeldFolder {
    if (!NODE_ID.test(nodeId)) {
      throw new Error("A node id must be 1 to 128 letters, digits, - or _");
    }
    return this.#locked(ROOT_LOCK_WAIT_MS, () => {
      const path = this.#freeName(join(this.#root, NODE_PREFIX + nodeId));
      mkdirSync(path, { mode: 0o700 });
      const lock = lockFile(join(path, LOCK_NAME), 0);
      if (lock === null) throw new Error(`The spool folder ${path} is held by another process`);
      syncFolder(this.#root);
      return new HeldFolder(path, lock);
    });
  }

  /** Takes hold of every folder whose process is dead, but for the paths `except`. */
  claimDead(except: ReadonlySet<string>): HeldFolder[] {
    const root = lockFile(join(this.#root, LOCK_NAME), 0);
    // Someone is at it this moment; the next round finds what is left.
    if (root === null) return [];
    try {
      const folders = this.#nodeFolders().filter((path) => !except.has(path));
      return folders.flatMap((path) => {
        const lock = lockFile(join(path, LOCK_NAME), 0);
        return lock === null ? [] : [new HeldFolder(path, lock)];
      });
    } finally {
      root.release();
    }
  }

  /**
   * Removes a held folder that has no segments left, and lets go of it. False: something is in it.
   */
  remove(folder: HeldFolder): boolean {
    return this.#locked(ROOT_LOCK_WAIT_MS, () => {
      try {
        if (readdirSync(folder.path).some((name) => name !== LOCK_NAME)) return false;
        rmSync(join(folder.path, LOCK_NAME));
        rmdirSync(folder.path);
        return true;
      } finally {
        folder.release();
      }
    });
  }

  /** Moves a shipped segment out of its folder, to be there for a while. */
  keep(path: string, nowMs: number): void {
    const folder = join(this.#root, "kept");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const node = basename(join(path, ".."));
    renameSync(path, join(folder, `${String(nowMs).padStart(15, "0")}.${node}.${basename(path)}`));
  }

  /** Deletes kept segments older than `keepMs`, and the oldest ones beyond `bytesMax` in all. */
  pruneKept(nowMs: number, keepMs: number, bytesMax: number): void {
    const folder = join(this.#root, "kept");
    if (!existsSync(folder)) return;
    let bytes = 0;
    for (const name of readdirSync(folder).toSorted().toReversed()) {
      const path = join(folder, name);
      bytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      const shippedAtMs = Number.parseInt(name, 10);
      // Another node may prune at the same time: force.
      if (shippedAtMs + keepMs < nowMs || bytes > bytesMax) rmSync(path, { force: true });
    }
  }

  /** Sets unreadable bytes aside and returns the path; null when there is too much already. */
  setAside(bytes: Uint8Array, segment: string, offset: number): string | null {
    const folder = join(this.#root, "damaged");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const node = basename(join(segment, ".."));
    const path = join(folder, `${node}.${basename(segment)}.${offset}`);
    if (!existsSync(path) && readdirSync(folder).length >= DAMAGED_FILES_MAX) return null;
    writeFileSync(path, bytes, { mode: 0o600 });
    return path;
  }

  #nodeFolders(): string[] {
    const isNode = (entry: Dirent) => entry.isDirectory() && entry.name.startsWith(NODE_PREFIX);
    const entries = readdirSync(this.#root, { withFileTypes: true }).filter(isNode);
    return entries.map((entry) => join(this.#root, entry.name));
  }

  #freeName(path: string): string {
    let free = path;
    for (let number = 2; existsSync(free); number++) free = `${path}.${number}`;
    return free;
  }

  #locked<T>(waitMs: number, run: () => T): T {
    const lock = lockFile(join(this.#root, LOCK_NAME), waitMs);
    if (lock === null) {
      throw new Error(
        `Another process holds ${join(this.#root, LOCK_NAME)} for more than ${waitMs / 1000} s. ` +
          "Find it with fuser, and end it if it is stopped.",
      );
    }
    try {
      return run();
    } finally {
      lock.release();
    }
  }
}

/** So that a power cut does not take the folder away with what is synced in it. */
function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
