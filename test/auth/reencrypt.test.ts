import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rotateEncryption, verifyKeys } from "../../src/auth/reencrypt.ts";
import { credentialBinding, openCredential, signingKeyBinding } from "../../src/auth/vault.ts";
import type { EncryptionKeyConfig } from "../../src/config/config.ts";
import type { Timer } from "../../src/runtime/clock.ts";
import { Cipher, keyIdOf } from "../../src/store/cipher.ts";
import {
  loadEncryptionKeys,
  lockEncryptionKeys,
  readEncryptionKeys,
} from "../../src/store/key_file.ts";
import type { AuditEntry } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { Prng } from "../support/prng.ts";

const prng = new Prng(1);
const KEY_A = { id: "a", key: prng.bytes(32) };
const KEY_B = { id: "b", key: prng.bytes(32) };
const KEY_C = { id: "c", key: prng.bytes(32) };
const BY: AuditEntry = {
  actor: "ops",
  action: "keys.rotate",
  subject: "",
  outcome: "done",
  request_id: "req_1",
  client_address: "127.0.0.1",
  details: {},
};

/** A clock on which waiting takes no time; something may happen meanwhile. */
class HastyClock extends FakeClock {
  readonly waits: number[] = [];
  meanwhile: () => Promise<void> = () => Promise.resolve();

  override after(delayMs: number, run: () => void): Timer {
    this.waits.push(delayMs);
    void this.meanwhile().then(run);
    return { cancel() {} };
  }
}

let store: MemoryStore;
let clock: HastyClock;

beforeEach(() => {
  clock = new HastyClock();
  store = new MemoryStore(clock);
});

async function putCredential(id: string, cipher: Cipher, secret = `secret of ${id}`) {
  const row = { id, project_id: "default", provider: `p-${id}` };
  const ciphertext = await cipher.encrypt(secret, credentialBinding(row));
  const rest = { label: null, ciphertext, masked: "****", created_at: 0, updated_at: 0 };
  await store.putCredential({ ...row, ...rest }, BY);
}

async function putSigningKey(kid: string, cipher: Cipher) {
  const ciphertext = await cipher.encrypt(`secret of ${kid}`, signingKeyBinding(kid));
  const row = { kid, algorithm: "EdDSA", public_jwk: "{}", ciphertext, created_at: 0 };
  await store.insertSigningKey(row, BY);
}

/** Key ids of all that is stored, and that all of it reads as it was put there with these keys. */
async function expectReadable(keys: readonly EncryptionKeyConfig[]): Promise<Set<string>> {
  const cipher = new Cipher(keys);
  const ids = new Set<string>();
  for (const row of await store.listCredentials()) {
    expect(await openCredential(cipher, row)).toBe(`secret of ${row.id}`);
    ids.add(keyIdOf(row.ciphertext));
  }
  for (const { kid, ciphertext } of await store.listSigningKeys()) {
    expect(await cipher.decrypt(ciphertext, signingKeyBinding(kid))).toBe(`secret of ${kid}`);
    ids.add(keyIdOf(ciphertext));
  }
  return ids;
}

describe("rotateEncryption() with configured keys", () => {
  const rotate = (keys: readonly EncryptionKeyConfig[]) =>
    rotateEncryption({ store, cipher: new Cipher(keys), clock, dataDir: null })(BY);

  test("moves what is under an older key to the first one, and audits it", async () => {
    for (const id of ["c1", "c2"]) await putCredential(id, new Cipher([KEY_A]));
    await putCredential("c3", new Cipher([KEY_B]));
    await putSigningKey("s1", new Cipher([KEY_A]));
    expect(await rotate([KEY_B, KEY_A, KEY_C])).toEqual({
      key_id: "b",
      key_source: "configuration",
      key_made: false,
      credentials: { rotated: 2, current: 1, failed: 0 },
      signing_keys: { rotated: 1, current: 0, failed: 0 },
      failures: [],
      unused_key_ids: ["a", "c"],
      kept_key_id: null,
    });
    expect(await expectReadable([KEY_B])).toEqual(new Set(["b"]));
    const subject = "encryption_key:b";
    expect(store.audit.slice(-2)).toMatchObject([
      { ...BY, subject, details: { phase: "begun", key_made: false } },
      {
        ...BY,
        subject,
        details: {
          phase: "ended",
          key_made: false,
          credentials_rotated: 2,
          signing_keys_rotated: 1,
          failed: 0,
          keys_removed: null,
        },
      },
    ]);
    expect(clock.waits).toEqual([]);
  });

  test("is in the audit before anything changes, and does nothing where it cannot be", async () => {
    await putCredential("c1", new Cipher([KEY_A]));
    const replace = store.replaceCredentialCiphertext.bind(store);
    store.replaceCredentialCiphertext = (id, from, to) => {
      expect(store.audit.at(-1)).toMatchObject({ details: { phase: "begun" } });
      return replace(id, from, to);
    };
    expect((await rotate([KEY_B, KEY_A])).credentials.rotated).toBe(1);
    store.appendAudit = () => Promise.reject(new Error("store away"));
    await expect(rotate([KEY_C, KEY_B])).rejects.toThrow("store away");
    expect(await expectReadable([KEY_B])).toEqual(new Set(["b"]));
  });

  test("changes nothing where everything is under the newest key", async () => {
    await putCredential("c1", new Cipher([KEY_A]));
    const [before] = await store.listCredentials();
    const report = await rotate([KEY_A]);
    expect(report.credentials).toEqual({ rotated: 0, current: 1, failed: 0 });
    expect(report.unused_key_ids).toEqual([]);
    expect(await store.listCredentials()).toEqual(before === undefined ? [] : [before]);
  });

  test("goes past what cannot be read, lists it, and keeps its key needed", async () => {
    for (const id of ["c1", "c2", "c3"]) await putCredential(id, new Cipher([KEY_A]));
    await putCredential("c4", new Cipher([KEY_C]));
    await putCredential("c5", new Cipher([KEY_A]));
    const [one, two] = [store.credentials.get("c1"), store.credentials.get("c2")];
    // Moved to another row.
    if (one !== undefined && two !== undefined) one.ciphertext = two.ciphertext;
    const three = store.credentials.get("c3");
    if (three !== undefined) three.ciphertext = "sk-in-the-clear";
    const report = await rotate([KEY_B, KEY_A]);
    expect(report.credentials).toEqual({ rotated: 2, current: 0, failed: 3 });
    expect(report.failures.map(({ kind, id }) => [kind, id])).toEqual([
      ["credential", "c1"],
      ["credential", "c3"],
      ["credential", "c4"],
    ]);
    expect(report.failures.map(({ reason }) => reason)).toEqual([
      expect.stringContaining("belongs to another row"),
      expect.stringContaining("no ciphertext of sluice"),
      expect.stringContaining("not in the key ring"),
    ]);
    expect(report.unused_key_ids).toEqual([]);
    expect(store.audit.at(-1)).toMatchObject({ outcome: "failed", details: { failed: 3 } });
    expect(JSON.stringify([report, store.audit])).not.toMatch(/secret of|sk-in-the-clear/);
  });

  test("leaves a row that was changed meanwhile as it was changed", async () => {
    await putCredential("c1", new Cipher([KEY_A]), "before");
    const replace = store.replaceCredentialCiphertext.bind(store);
    store.replaceCredentialCiphertext = async (id, from, to) => {
      store.replaceCredentialCiphertext = replace;
      await putCredential("c1", new Cipher([KEY_A]));
      return replace(id, from, to);
    };
    const report = await rotate([KEY_B, KEY_A]);
    // The second time around finds it.
    expect(report.credentials).toEqual({ rotated: 1, current: 0, failed: 0 });
    expect(report.unused_key_ids).toEqual(["a"]);
    expect(await expectReadable([KEY_B])).toEqual(new Set(["b"]));
  });

  test("calls no key unused that a node may be writing under", async () => {
    await putCredential("c1", new Cipher([KEY_A]));
    const replace = store.replaceCredentialCiphertext.bind(store);
    store.replaceCredentialCiphertext = async (id, from, to) => {
      await putCredential("c1", new Cipher([KEY_A]));
      return replace(id, from, to);
    };
    expect((await rotate([KEY_B, KEY_A])).unused_key_ids).toEqual([]);
  });
});

describe("rotateEncryption() with keys made in data_dir", () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), "sluice-rotate-"));
  });
  afterEach(() => {
    chmodSync(dataDir, 0o700);
    rmSync(dataDir, { recursive: true });
  });

  const openCipher = () =>
    new Cipher(loadEncryptionKeys(dataDir), () => readEncryptionKeys(dataDir));
  const fileIds = () => readEncryptionKeys(dataDir).map(({ id }) => id);
  const rotate = (cipher: Cipher) => rotateEncryption({ store, cipher, clock, dataDir })(BY);

  test("makes a key that is on the disk before it is used, and keeps the one before", async () => {
    const cipher = openCipher();
    const [former = ""] = fileIds();
    await putCredential("c1", cipher);
    await putSigningKey("s1", cipher);
    const replace = store.replaceCredentialCiphertext.bind(store);
    store.replaceCredentialCiphertext = (id, from, to) => {
      expect(fileIds()).toEqual([keyIdOf(to), keyIdOf(from)]);
      return replace(id, from, to);
    };
    const report = await rotate(cipher);
    const [made = "", ...rest] = fileIds();
    expect([made === former, rest]).toEqual([false, [former]]);
    expect(report).toMatchObject({ key_id: made, key_source: "data_dir", key_made: true });
    expect([report.unused_key_ids, report.kept_key_id]).toEqual([[], former]);
    expect(await expectReadable(readEncryptionKeys(dataDir))).toEqual(new Set([made]));
  });

  test("removes with the next rotation the key that it kept", async () => {
    await putCredential("c1", openCipher());
    const [first = ""] = fileIds();
    await rotate(openCipher());
    const [second = ""] = fileIds();
    const report = await rotate(openCipher());
    const [third = "", ...rest] = fileIds();
    expect([new Set([first, second, third]).size, rest]).toEqual([3, [second]]);
    expect(report).toMatchObject({ key_id: third, key_made: true, kept_key_id: second });
    expect(report.unused_key_ids).toEqual([first]);
    expect(store.audit.at(-1)).toMatchObject({
      subject: `encryption_key:${third}`,
      details: { phase: "ended", key_made: true, keys_removed: first },
    });
    expect(await expectReadable(readEncryptionKeys(dataDir))).toEqual(new Set([third]));
  });

  test("loses nothing stored after it under the key before: the next one moves it", async () => {
    const former = new Cipher(loadEncryptionKeys(dataDir));
    await putCredential("c1", former);
    await rotate(openCipher());
    const ids = fileIds();
    await putCredential("late", former);
    expect(await expectReadable(readEncryptionKeys(dataDir))).toEqual(new Set(ids));
    const report = await rotate(openCipher());
    expect(report).toMatchObject({ key_id: ids[0], key_made: false, kept_key_id: ids[1] });
    expect(report.credentials).toEqual({ rotated: 1, current: 1, failed: 0 });
    expect(fileIds()).toEqual(ids);
  });

  test("makes no key that the audit does not name, and none where there is no audit", async () => {
    openCipher();
    const ids = fileIds();
    const append = store.appendAudit.bind(store);
    store.appendAudit = () => {
      expect(fileIds()).toEqual(ids);
      return Promise.reject(new Error("store away"));
    };
    await expect(rotate(openCipher())).rejects.toThrow("store away");
    expect(fileIds()).toEqual(ids);
    store.appendAudit = append;
    const { key_id } = await rotate(openCipher());
    expect(store.audit.at(-2)).toMatchObject({
      subject: `encryption_key:${key_id}`,
      details: { phase: "begun", key_made: true },
    });
  });

  test("is completed by the next run when it was cut short, without another key", async () => {
    for (const id of ["c1", "c2", "c3"]) await putCredential(id, openCipher());
    const replace = store.replaceCredentialCiphertext.bind(store);
    let writes = 0;
    store.replaceCredentialCiphertext = (id, from, to) => {
      writes += 1;
      return writes === 2 ? Promise.reject(new Error("disk full")) : replace(id, from, to);
    };
    await expect(rotate(openCipher())).rejects.toThrow("disk full");
    const [made = "", former = ""] = fileIds();
    expect(await expectReadable(readEncryptionKeys(dataDir))).toEqual(new Set([made, former]));

    const report = await rotate(openCipher());
    expect(report).toMatchObject({
      key_id: made,
      key_made: false,
      credentials: { rotated: 2, current: 1, failed: 0 },
      unused_key_ids: [],
      kept_key_id: former,
    });
    expect(fileIds()).toEqual([made, former]);
    expect(await expectReadable(readEncryptionKeys(dataDir))).toEqual(new Set([made]));
  });

  test("keeps every key while something cannot be read", async () => {
    for (const id of ["c1", "c2"]) await putCredential(id, openCipher());
    // Names no key, so that nothing is under the former one in the end.
    const one = store.credentials.get("c1");
    if (one !== undefined) one.ciphertext = "damaged";
    const ids = fileIds();
    const report = await rotate(openCipher());
    expect([report.credentials.failed, report.unused_key_ids]).toEqual([1, []]);
    expect(fileIds()).toEqual([report.key_id, ...ids]);
  });

  test("lets another process read what moved, and moves what that one wrote", async () => {
    const mine = openCipher();
    const other = openCipher();
    const former = new Cipher(loadEncryptionKeys(dataDir));
    await putCredential("c1", mine);
    const before = await store.listCredentials();
    // Encrypted before the new key was there, stored after everything else was moved.
    clock.meanwhile = () => putCredential("late", former);
    const report = await rotate(mine);
    expect(clock.waits).toHaveLength(1);
    expect(report.credentials).toEqual({ rotated: 2, current: 0, failed: 0 });
    for (const row of [...before, ...(await store.listCredentials())]) {
      expect(await openCredential(other, row)).toBe(`secret of ${row.id}`);
    }
    await putCredential("next", other);
    expect(await expectReadable(readEncryptionKeys(dataDir))).toEqual(new Set([report.key_id]));
  });

  test("reaches a process that started before: it decrypts what is under the new key", async () => {
    await putCredential("c1", openCipher());
    const [cipher, keyFile] = ["store/cipher.ts", "store/key_file.ts"].map((file) =>
      JSON.stringify(join(import.meta.dir, "../../src", file)),
    );
    const script = `
      import { Cipher } from ${cipher};
      import { readEncryptionKeys } from ${keyFile};
      const read = () => readEncryptionKeys(${JSON.stringify(dataDir)});
      const ring = new Cipher(read(), read);
      console.log("started");
      const [ciphertext, binding] = JSON.parse(await Bun.stdin.text());
      console.log(await ring.decrypt(ciphertext, binding));`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe" });
    const output = child.stdout.getReader();
    await output.read();
    await rotate(openCipher());
    const [row] = await store.listCredentials();
    if (row === undefined) return never();
    child.stdin.write(JSON.stringify([row.ciphertext, credentialBinding(row)]));
    await child.stdin.end();
    const { value } = await output.read();
    expect(new TextDecoder().decode(value)).toBe("secret of c1\n");
    expect(await child.exited).toBe(0);
  });

  test("is refused while another one runs, and changes nothing", async () => {
    await putCredential("c1", openCipher());
    const ids = fileIds();
    const lock = lockEncryptionKeys(dataDir);
    await expect(rotate(openCipher())).rejects.toThrow("being rotated already");
    lock.release();
    expect(fileIds()).toEqual(ids);
    expect(await expectReadable(readEncryptionKeys(dataDir))).toEqual(new Set(ids));
  });
});

describe("verifyKeys()", () => {
  test("passes over an empty store, and one that the keys fit", async () => {
    await verifyKeys(store, new Cipher([KEY_A]));
    await putCredential("c1", new Cipher([KEY_A]));
    await putSigningKey("s1", new Cipher([KEY_B]));
    await verifyKeys(store, new Cipher([KEY_B, KEY_A]));
  });

  test.each<[string, (cipher: Cipher) => Promise<void>]>([
    ["credential one", (cipher) => putCredential("one", cipher)],
    ["signing_key one", (cipher) => putSigningKey("one", cipher)],
  ])("refuses a missing and a wrong key of %s, also of an older one", async (what, put) => {
    await put(new Cipher([KEY_A]));
    await putCredential("c9", new Cipher([KEY_B]));
    await putSigningKey("s9", new Cipher([KEY_B]));
    const missing = verifyKeys(store, new Cipher([KEY_B, KEY_C]));
    await expect(missing).rejects.toThrow(`Cannot start: ${what} cannot be read`);
    await expect(missing).rejects.toThrow("(key a): its key is not in the key ring");
    await expect(missing).rejects.toThrow("Keys that there are: b, c");
    const wrong = verifyKeys(store, new Cipher([KEY_B, { id: "a", key: KEY_C.key }]));
    await expect(wrong).rejects.toThrow("Restore the former key");
  });

  test("lets a node start that has one damaged row", async () => {
    await putCredential("c1", new Cipher([KEY_A]));
    const row = store.credentials.get("c1");
    if (row !== undefined) row.ciphertext = "sk-in-the-clear";
    await verifyKeys(store, new Cipher([KEY_A]));
    await expect(openCredential(new Cipher([KEY_A]), row ?? never())).rejects.toThrow("again");
  });
});

function never(): never {
  throw new Error("The row is gone");
}
