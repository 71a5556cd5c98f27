import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Cipher } from "../../src/store/cipher.ts";
import {
  generateKey,
  loadAdminToken,
  loadEncryptionKey,
  makeDataDir,
  readAdminAccess,
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

test("loadEncryptionKey() makes a key once, with mode 0600 and nothing beside it", async () => {
  const key = loadEncryptionKey(dataDir);
  expect(key.key).toHaveLength(32);
  expect(loadEncryptionKey(dataDir)).toEqual(key);
  expect(readdirSync(dataDir)).toEqual(["encryption.key"]);
  expect(modeOf(join(dataDir, "encryption.key"))).toBe(0o600);
  expect(await new Cipher([key]).encrypt("x", "row")).toStartWith(`v1.${key.id}.`);
});

test("loadEncryptionKey() of two processes at once gives both the same key", async () => {
  const module = join(import.meta.dir, "../../src/store/key_file.ts");
  const script = `
    import { loadEncryptionKey } from ${JSON.stringify(module)};
    console.log(loadEncryptionKey(${JSON.stringify(dataDir)}).id);`;
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
  "loadEncryptionKey() refuses a file of mode %o and says how to mend it",
  (mode) => {
    loadEncryptionKey(dataDir);
    const path = join(dataDir, "encryption.key");
    chmodSync(path, mode);
    expect(() => loadEncryptionKey(dataDir)).toThrow(`chmod 600 ${path}`);
    chmodSync(path, 0o600);
    expect(loadEncryptionKey(dataDir).id).toStartWith("k");
  },
);

test.each(["", "nonsense", "id:", "id:AAAA", ":".padEnd(45, "A"), `${generateKey()}:x`])(
  "loadEncryptionKey() refuses a file holding %j without showing it",
  (text) => {
    writeFileSync(join(dataDir, "encryption.key"), text, { mode: 0o600 });
    const refused = () => loadEncryptionKey(dataDir);
    expect(refused).toThrow("is damaged");
    if (text.length > 8) expect(refused).not.toThrow(text);
  },
);

test("generateKey() is <id>:<base64 of 32 bytes>, new each time", () => {
  expect(generateKey()).toMatch(/^k[0-9a-f]{8}:[A-Za-z0-9+/]{43}=$/);
  expect(generateKey()).not.toBe(generateKey());
});

test("writeAdminAccess() replaces the file whole, with mode 0600, for readAdminAccess()", () => {
  expect(readAdminAccess(dataDir)).toBeNull();
  const access = { url: "http://127.0.0.1:9090", token: "sk-admin-x" };
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
