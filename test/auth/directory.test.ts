import { describe, expect, test } from "bun:test";
import { Directory } from "../../src/auth/directory.ts";
import { sealCredential } from "../../src/auth/vault.ts";
import type { CredentialRow, ProjectRow } from "../../src/store/store.ts";
import { FakeCipher } from "../support/fake_cipher.ts";
import { BY_ADMIN } from "../support/identity.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { UNRESTRICTED } from "../support/unrestricted.ts";

const NOW_MS = 1_795_190_000_000;

function project(id: string, change: Partial<ProjectRow> = {}): ProjectRow {
  const times = { created_at: NOW_MS, updated_at: NOW_MS, deactivated_at: null };
  return { id, name: id, is_active: true, ...times, ...UNRESTRICTED, ...change };
}

async function setUp() {
  const store = new MemoryStore();
  const cipher = new FakeCipher();
  const directory = new Directory(store, cipher);
  const ended: string[][] = [];
  directory.onDeactivated((ids) => ended.push([...ids]));
  await store.insertProject(project("p"), BY_ADMIN);
  await store.putCredential(await credential(cipher, "c1", "sk-first-key"), BY_ADMIN);
  await directory.reload();
  return { store, cipher, directory, ended };
}

async function credential(cipher: FakeCipher, id: string, key: string): Promise<CredentialRow> {
  const identity = { id, project_id: "p", provider: "openai" };
  const ciphertext = await sealCredential(cipher, identity, key);
  const times = { created_at: NOW_MS, updated_at: NOW_MS };
  return { ...identity, label: null, ciphertext, masked: "****", ...times };
}

describe("Directory.credential()", () => {
  test("decrypts once and answers without a promise from then on", async () => {
    const { cipher, directory, store } = await setUp();
    const calls = store.calls.length;
    expect(await directory.credential("p", "openai")).toBe("sk-first-key");
    expect(directory.credential("p", "openai")).toBe("sk-first-key");
    expect(cipher.decryptions).toBe(1);
    expect(store.calls).toHaveLength(calls);
  });

  test("is null for another provider, another project and names that run together", async () => {
    const { directory } = await setUp();
    expect(directory.credential("p", "gemini")).toBeNull();
    expect(directory.credential("q", "openai")).toBeNull();
    expect(directory.credential('p","openai', "")).toBeNull();
  });

  test("gives the new one as soon as it was put, and forgets the old", async () => {
    const { cipher, directory } = await setUp();
    await directory.credential("p", "openai");
    expect(directory.secrets()).toEqual(["sk-first-key"]);
    directory.putCredential(await credential(cipher, "c2", "sk-second-key"));
    expect(directory.secrets()).toEqual([]);
    expect(await directory.credential("p", "openai")).toBe("sk-second-key");
    expect(directory.credentialsOf("p").map(({ id }) => id)).toEqual(["c2"]);
    directory.removeCredential("c2");
    expect(directory.credential("p", "openai")).toBeNull();
    expect(directory.secrets()).toEqual([]);
  });

  test("does not keep a credential that was replaced while it was decrypted", async () => {
    const { cipher, directory } = await setUp();
    const slow = directory.credential("p", "openai");
    directory.putCredential(await credential(cipher, "c2", "sk-second-key"));
    expect(await slow).toBe("sk-first-key");
    expect(directory.secrets()).toEqual([]);
  });

  test("throws for a ciphertext of another row", async () => {
    const { directory, store, cipher } = await setUp();
    const moved = { ...(await credential(cipher, "c1", "sk-x")), id: "c9" };
    await store.putCredential(moved, BY_ADMIN);
    await directory.reload();
    await expect(Promise.resolve(directory.credential("p", "openai"))).rejects.toThrow(
      "another row",
    );
  });
});

describe("Directory.isActive()", () => {
  test("is true of active projects and false of unknown ones", async () => {
    const { directory } = await setUp();
    expect(["default", "p", "q", "__proto__"].map((id) => directory.isActive(id))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test("turns false with putProject() and removeProject(), and listeners hear once", async () => {
    const { directory, ended } = await setUp();
    directory.putProject(project("p", { is_active: false }));
    directory.putProject(project("p", { is_active: false, name: "renamed" }));
    expect(directory.isActive("p")).toBe(false);
    directory.removeProject("p");
    directory.removeProject("default");
    expect(directory.isActive("default")).toBe(false);
    expect(ended).toEqual([["p"], ["default"]]);
  });

  test("removeProject() takes the credentials along", async () => {
    const { directory } = await setUp();
    await directory.credential("p", "openai");
    directory.removeProject("p");
    expect(directory.credential("p", "openai")).toBeNull();
    expect(directory.secrets()).toEqual([]);
  });
});

describe("Directory.project()", () => {
  test("knows a project's limits, as they are told and as they are read", async () => {
    const { directory, store } = await setUp();
    const limits = { requests_per_minute: 60 };
    directory.putProject(project("p", { limits }));
    expect(directory.project("p")?.limits).toEqual(limits);
    await directory.reload();
    expect(directory.project("p")?.limits).toEqual({});
    await store.updateProject("p", { limits }, NOW_MS, BY_ADMIN);
    await directory.reload();
    expect(directory.project("p")?.limits).toEqual(limits);
    expect(directory.project("q")).toBeNull();
  });
});

describe("Directory.suspend()", () => {
  test("deactivates a project ahead of the store, and no reload undoes it", async () => {
    const { directory, store, ended } = await setUp();
    const settle = directory.suspend("p");
    expect([directory.isActive("p"), ended]).toEqual([false, [["p"]]]);
    await directory.reload();
    expect(directory.isActive("p")).toBe(false);
    expect(directory.project("p")?.is_active).toBe(false);
    expect(directory.projects().map(({ is_active }) => is_active)).toEqual([true, false]);
    settle();
    expect(directory.isActive("p")).toBe(false);
    await store.updateProject("p", { is_active: true }, NOW_MS, BY_ADMIN);
    await directory.reload();
    expect(directory.isActive("p")).toBe(true);
  });
});

describe("Directory.reload()", () => {
  test("tells of projects that another node deactivated or deleted", async () => {
    const { directory, store, ended } = await setUp();
    await store.updateProject("default", { is_active: false }, NOW_MS, BY_ADMIN);
    await store.deleteProject("p", BY_ADMIN);
    await directory.reload();
    expect(ended).toEqual([["default", "p"]]);
    expect(directory.credential("p", "openai")).toBeNull();
  });

  test("keeps decrypted credentials that did not change", async () => {
    const { directory, cipher } = await setUp();
    await directory.credential("p", "openai");
    await directory.reload();
    expect(directory.credential("p", "openai")).toBe("sk-first-key");
    expect(cipher.decryptions).toBe(1);
  });

  test("keeps the last known state when the store fails", async () => {
    const { directory, store } = await setUp();
    store.failWith = new Error("database is gone");
    await expect(directory.reload()).rejects.toThrow("database is gone");
    expect(directory.isActive("p")).toBe(true);
  });

  test("leaves the newer rows where two of them overlap", async () => {
    const { directory, store } = await setUp();
    const held = Promise.withResolvers<void>();
    const read = store.listCredentials.bind(store);
    store.listCredentials = async () => {
      store.listCredentials = read;
      const rows = await read();
      await held.promise;
      return rows;
    };
    const older = directory.reload();
    await store.updateProject("p", { is_active: false }, NOW_MS, BY_ADMIN);
    await directory.reload();
    held.resolve();
    await older;
    expect(directory.isActive("p")).toBe(false);
  });

  test("does not undo a change that was told while it was reading", async () => {
    const { directory, store, ended } = await setUp();
    const reloading = directory.reload();
    const row = await store.updateProject("p", { is_active: false }, NOW_MS, BY_ADMIN);
    directory.putProject(row ?? project("p"));
    await reloading;
    expect(directory.isActive("p")).toBe(false);
    expect(ended).toEqual([["p"]]);
  });
});
