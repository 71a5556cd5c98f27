import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Cipher } from "../../src/store/cipher.ts";
import {
  addEncryptionKey,
  generateKey,
  loadAdminToken,
  loadEncryptionKeys,
  lockEncryptionKeys,
  makeDataDir,
  makeEncryptionKey,
  readAdminAccess,
  readEncryptionKeys,
  removeEncryptionKeys,
  writeAdminAccess,
} from "../../src/store/key_file.ts";

let parent: string;
let dataDir: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "sluice-keys-"));
  dataDir = join(parent, "deep", "data");
  makeDataDir(dataDir);
});

afterEach(() => rmSync(parent, { recursive: true }));

function modeOf(path: string): number {
  return statSync(path).mode & 0o777;
}

test("makeDataDir() names a folder that cannot be made", () => {
  expect(() => makeDataDir("/proc/sluice-data")).toThrow("The data_dir /proc/sluice-data cannot");
});

test("makeDataDir() makes it for its owner only, and leaves one that exists alone", () => {
  expect(modeOf(dataDir)).toBe(0o700);
  chmodSync(dataDir, 0o755);
  makeDataDir(dataDir);
  expect(modeOf(dataDir)).toBe(0o755);
});

test("loadEncryptionKeys() makes a key once, with mode 0600 and nothing beside it", async () => {
  const keys = loadEncryptionKeys(dataDir);
  expect(keys.map(({ key }) => key.length)).toEqual([32]);
  expect(loadEncryptionKeys(dataDir)).toEqual(keys);
  expect(readdirSync(dataDir)).toEqual(["encryption.key"]);
  expect(modeOf(join(dataDir, "encryption.key"))).toBe(0o600);
  expect(await new Cipher(keys).encrypt("x", "row")).toStartWith(`v1.${keys[0]?.id}.`);
});

test("loadEncryptionKeys() of two processes at once gives both the same key", async () => {
  const module = join(import.meta.dir, "../../src/store/key_file.ts");
  const script = `
    import { loadEncryptionKeys } from ${JSON.stringify(module)};
    console.log(loadEncryptionKeys(${JSON.stringify(dataDir)})[0].id);`;
  const children = Array.from({ length: 4 }, () => Bun.spawn([process.execPath, "-e", script]));
  const ids = await Promise.all(children.map((child) => new Response(child.stdout).text()));
  expect(ids[0]?.trim()).toStartWith("k");
  expect(new Set(ids).size).toBe(1);
});

test("loadAdminToken() makes a token once", () => {
  const token = loadAdminToken(dataDir);
  expect(token).toMatch(/^sk-admin-[0-9a-f]{64}$/);
  expect(loadAdminToken(dataDir)).toBe(token);
  writeFileSync(join(dataDir, "admin.token"), "\n");
  expect(() => loadAdminToken(dataDir)).toThrow("rm ");
});

test.each([0o640, 0o604, 0o660, 0o777])(
  "loadEncryptionKeys() refuses a file of mode %o and says how to mend it",
  (mode) => {
    loadEncryptionKeys(dataDir);
    const path = join(dataDir, "encryption.key");
    chmodSync(path, mode);
    expect(() => loadEncryptionKeys(dataDir)).toThrow(`chmod 600 ${path}`);
    chmodSync(path, 0o600);
    expect(loadEncryptionKeys(dataDir)).toHaveLength(1);
  },
);

test.each([
  "",
  "nonsense",
  "id:",
  "id:AAAA",
  ":".padEnd(45, "A"),
  `${generateKey()}:x`,
  `${generateKey()}\nnonsense`,
  `${generateKey()}\n\n${generateKey()}`,
])("loadEncryptionKeys() refuses a file holding %j without showing it", (text) => {
  writeFileSync(join(dataDir, "encryption.key"), text, { mode: 0o600 });
  const refused = () => loadEncryptionKeys(dataDir);
  expect(refused).toThrow("is damaged");
  if (text.length > 8) expect(refused).not.toThrow(text);
});

test("readEncryptionKeys() makes no key: one that is gone is not replaced by another", () => {
  expect(() => readEncryptionKeys(dataDir)).toThrow("Restore it from a backup");
  expect(readdirSync(dataDir)).toEqual([]);
  const keys = loadEncryptionKeys(dataDir);
  expect(readEncryptionKeys(dataDir)).toEqual(keys);
});

test("addEncryptionKey() puts a key first, removeEncryptionKeys() never takes that one", () => {
  const [first] = loadEncryptionKeys(dataDir);
  const [second, third] = [makeEncryptionKey(), makeEncryptionKey()];
  addEncryptionKey(dataDir, second);
  addEncryptionKey(dataDir, third);
  const keys = readEncryptionKeys(dataDir);
  expect(keys).toEqual([third, second, ...(first === undefined ? [] : [first])]);
  expect(new Set(keys.map(({ id }) => id)).size).toBe(3);
  expect(modeOf(join(dataDir, "encryption.key"))).toBe(0o600);
  expect(readdirSync(dataDir)).toEqual(["encryption.key"]);
  removeEncryptionKeys(dataDir, new Set([keys[0]?.id ?? "", keys[1]?.id ?? ""]));
  expect(readEncryptionKeys(dataDir).map(({ id }) => id)).toEqual([
    keys[0]?.id ?? "",
    keys[2]?.id ?? "",
  ]);
  removeEncryptionKeys(dataDir, new Set(["other"]));
  expect(readEncryptionKeys(dataDir)).toHaveLength(2);
});

test("lockEncryptionKeys() is held by one at a time", () => {
  const lock = lockEncryptionKeys(dataDir);
  expect(() => lockEncryptionKeys(dataDir)).toThrow("being rotated already");
  lock.release();
  lockEncryptionKeys(dataDir).release();
});

test("generateKey() is <id>:<base64 of 32 bytes>, new each time", () => {
  expect(generateKey()).toMatch(/^k[0-9a-f]{8}:[A-Za-z0-9+/]{43}=$/);
  expect(generateKey()).not.toBe(generateKey());
});

test("writeAdminAccess() replaces the file whole, with mode 0600, for readAdminAccess()", () => {
  expect(readAdminAccess(dataDir)).toBeNull();
  const access = { url: "http://127.0.0.1:9090", token: "sk-admin-x", pid: 42 };
  writeAdminAccess(dataDir, { ...access, url: "http://127.0.0.1:1" });
  writeAdminAccess(dataDir, access);
  expect(readAdminAccess(dataDir)).toEqual(access);
  expect(readdirSync(dataDir)).toEqual(["admin.json"]);
  expect(modeOf(join(dataDir, "admin.json"))).toBe(0o600);
  chmodSync(join(dataDir, "admin.json"), 0o644);
  expect(() => readAdminAccess(dataDir)).toThrow("chmod 600");
});

test.each(["", "{", "null", "[]", '{"url":1,"token":"x"}'])(
  "readAdminAccess() refuses a file holding %j",
  (text) => {
    writeFileSync(join(dataDir, "admin.json"), text, { mode: 0o600 });
    expect(() => readAdminAccess(dataDir)).toThrow("is damaged");
  },
);
