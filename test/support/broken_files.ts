/** Segment files on the real disk whose operations fail when told to, as a disk does. */

import { nodeFiles, type SegmentFiles } from "../../src/store/segment_files.ts";

export class BrokenFiles implements SegmentFiles {
  /** Bytes left on the disk; a write beyond is cut short, and at 0 fails with ENOSPC. */
  room = Infinity;
  /** How many of the coming operations fail; negative: none. */
  failingWrites = 0;
  failingSyncs = 0;
  failingCreates = 0;
  syncs = 0;
  /** Paths of segments made, in order. */
  readonly created: string[] = [];
  /** Waited for by every fsync. */
  syncGate: Promise<void> = Promise.resolve();

  create(path: string): number {
    if (this.failingCreates-- > 0) throw new Error("ENOSPC: no space left on device, open");
    this.created.push(path);
    return nodeFiles.create(path);
  }

  write(fd: number, bytes: Uint8Array): number {
    if (this.failingWrites-- > 0) throw new Error("EIO: i/o error, write");
    const fitting = Math.min(this.room, bytes.length);
    if (fitting === 0) throw new Error("ENOSPC: no space left on device, write");
    this.room -= fitting;
    return nodeFiles.write(fd, bytes.subarray(0, fitting));
  }

  async sync(fd: number): Promise<void> {
    this.syncs += 1;
    await this.syncGate;
    if (this.failingSyncs-- > 0) throw new Error("EIO: i/o error, fdatasync");
    await nodeFiles.sync(fd);
  }

  syncFolder(path: string): Promise<void> {
    return nodeFiles.syncFolder(path);
  }

  truncate(fd: number, bytes: number): void {
    nodeFiles.truncate(fd, bytes);
  }

  close(fd: number): void {
    nodeFiles.close(fd);
  }

  remove(path: string): void {
    nodeFiles.remove(path);
  }
}
