/**
 * The secrets that a node makes for itself in `data_dir`, and the file that tells the shell
 * commands where the node is.
 *
 * Owns: `encryption.key`, `admin.token`, `admin.json`, their modes. Does not own: what is
 * encrypted.
 * Invariant: a secret file appears whole or not at all, with mode 0600, and is on the disk before
 * it is used; of two processes that start at once both end up with the same secret. One that others
 * can read is refused, not used.
 */

import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

import type { EncryptionKeyConfig } from "../config/config.ts";
import { decodeBase64, encodeBase64, encodeHex } from "../lib/encoding.ts";
import { type FileLock, lockFile } from "../runtime/sqlite.ts";

const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const ADMIN_TOKEN_BYTES = 32;

/** Permissions of group and others (inode(7)). */
const OTHERS_MASK = 0o077;

/**
 * Makes `data_dir` where it does not exist, readable by its owner only.
 * @throws Error that names it
 */
export function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new Error(`The data_dir ${dataDir} cannot be made or written: ${why}`, { cause });
  }
}

/** A new encryption key, as `encryption_keys` takes it: `<id>:<base64 of 32 bytes>`. */
export function generateKey(): string {
  return formatKey(makeEncryptionKey());
}

/** A new encryption key; it is written nowhere. */
export function makeEncryptionKey(): EncryptionKeyConfig {
  return { id: `k${encodeHex(randomBytes(KEY_ID_BYTES))}`, key: randomBytes(KEY_BYTES) };
}

/**
 * The encryption keys of `data_dir`, newest first; the first one is made on first use.
 * @throws Error when the file is malformed or others can read it
 */
export function loadEncryptionKeys(dataDir: string): EncryptionKeyConfig[] {
  const path = keyFile(dataDir);
  return parseKeys(path, loadOrCreate(path, generateKey));
}

/**
 * The encryption keys of `data_dir` as they are now, newest first.
 * @throws Error when there is no such file any more, it is malformed or others can read it
 */
export function readEncryptionKeys(dataDir: string): EncryptionKeyConfig[] {
  const path = keyFile(dataDir);
  const text = readPrivate(path);
  // Not made anew here: what this node has stored would not be readable after a restart.
  if (text === null) throw new Error(`The key file ${path} is gone. Restore it from a backup`);
  return parseKeys(path, text.trim());
}

/**
 * Keeps every other process from changing the encryption keys of `data_dir`.
 * @throws Error when one is changing them now
 */
export function lockEncryptionKeys(dataDir: string): FileLock {
  const lock = lockFile(join(dataDir, "encryption.lock"), 0);
  if (lock !== null) return lock;
  throw new Error("The encryption keys are being rotated already. Try again when that is done");
}

/** Puts a key before those there are. For whoever holds the lock. */
export function addEncryptionKey(dataDir: string, key: EncryptionKeyConfig): void {
  const keys = [key, ...readEncryptionKeys(dataDir)].map(formatKey);
  replaceFile(keyFile(dataDir), [...keys, ""].join("\n"));
}

/** Removes keys, but never the newest one. For whoever holds the lock. */
export function removeEncryptionKeys(dataDir: string, ids: ReadonlySet<string>): void {
  const keys = readEncryptionKeys(dataDir);
  const kept = keys.filter(({ id }, index) => index === 0 || !ids.has(id));
  if (kept.length === keys.length) return;
  replaceFile(keyFile(dataDir), [...kept.map(formatKey), ""].join("\n"));
}

function keyFile(dataDir: string): string {
  return join(dataDir, "encryption.key");
}

function formatKey({ id, key }: EncryptionKeyConfig): string {
  return `${id}:${encodeBase64(key)}`;
}

function parseKeys(path: string, text: string): EncryptionKeyConfig[] {
  const keys = text.split(/\r?\n/).map(parseKey);
  const found = keys.filter((key) => key !== null);
  if (found.length === keys.length) return found;
  throw new Error(
    `The key file ${path} is damaged: each line must be <id>:<base64 of 32 bytes>. Restore it ` +
      "from a backup; without it the stored credentials cannot be decrypted.",
  );
}

function parseKey(line: string): EncryptionKeyConfig | null {
  const [id = "", encoded = "", ...rest] = line.split(":");
  const key = decodeKey(encoded);
  return id === "" || key === null || rest.length > 0 ? null : { id, key };
}

/**
 * The admin token of `data_dir`, made on first use.
 * @throws Error when the file is empty or others can read it
 */
export function loadAdminToken(dataDir: string): string {
  const path = join(dataDir, "admin.token");
  const token = loadOrCreate(path, () => `sk-admin-${encodeHex(randomBytes(ADMIN_TOKEN_BYTES))}`);
  if (token !== "") return token;
  throw new Error(
    `The file ${path} is empty. Delete it, and a new admin token will be made: rm ${path}`,
  );
}

export interface AdminAccess {
  /** Base URL of the management listener. */
  readonly url: string;
  readonly token: string;
  /** Id of the node's process; null: not known. */
  readonly pid: number | null;
}

function adminFile(dataDir: string): string {
  return join(dataDir, "admin.json");
}

/** Writes `admin.json`, whole or not at all. */
export function writeAdminAccess(dataDir: string, access: AdminAccess): void {
  replaceFile(adminFile(dataDir), JSON.stringify(access));
}

/**
 * What the node on this `data_dir` wrote last; null where none ever ran.
 * @throws Error when the file is malformed or others can read it
 */
export function readAdminAccess(dataDir: string): AdminAccess | null {
  const text = readPrivate(adminFile(dataDir));
  if (text === null) return null;
  const access = parseObject(text);
  const { url, token, pid } = access;
  if (typeof url === "string" && typeof token === "string") {
    return { url, token, pid: typeof pid === "number" ? pid : null };
  }
  throw new Error(
    `${adminFile(dataDir)} is damaged. Start the node again: it writes the file anew`,
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function loadOrCreate(path: string, make: () => string): string {
  const existing = readPrivate(path);
  if (existing !== null) return existing.trim();
  const temporary = writeTemporary(path, `${make()}\n`);
  try {
    // Unlike rename, link fails where the file exists: the first of two processes wins.
    linkSync(temporary, path);
    syncFolder(path);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  } finally {
    rmSync(temporary);
  }
  return (readPrivate(path) ?? "").trim();
}

function replaceFile(path: string, text: string): void {
  renameSync(writeTemporary(path, text), path);
  syncFolder(path);
}

/** A name is on the disk once its folder is. */
function syncFolder(path: string): void {
  const fd = openSync(dirname(path), "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Returns the path of a new file beside `path` that holds `text` and is on the disk. */
function writeTemporary(path: string, text: string): string {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  const fd = openSync(temporary, "wx", 0o600);
  try {
    // The umask may have taken more away, never less.
    fchmodSync(fd, 0o600);
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return temporary;
}

/** The file's text, or null where there is none. Checks the very file that is read. */
function readPrivate(path: string): string | null {
  const fd = openIfExists(path);
  if (fd === null) return null;
  try {
    const mode = fstatSync(fd).mode & 0o777;
    if ((mode & OTHERS_MASK) !== 0) {
      const shown = mode.toString(8).padStart(4, "0");
      throw new Error(
        `${path} holds a secret and others can use it (mode ${shown}). Run: chmod 600 ${path}`,
      );
    }
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

function openIfExists(path: string): number | null {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return null;
    throw error;
  }
}

function decodeKey(encoded: string): Uint8Array | null {
  try {
    const key = decodeBase64(encoded);
    return key.length === KEY_BYTES ? key : null;
  } catch {
    return null;
  }
}

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
